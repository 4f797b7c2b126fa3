//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo/repotest"
)

// peers is garner and the real restic on the same repository, to compare what
// they print.
type peers struct {
	garner, restic *program
	// volatile names the members of JSON objects, at any depth, that differ
	// between two runs of one program: they are compared by type only.
	volatile []string
	// unordered compares lines, documents and elements, not their order.
	unordered bool
}

func newPeers(t testing.TB, repository string) *peers {
	return &peers{garner: garner(t, repository), restic: restic(t, repository)}
}

// in lets both programs work in a directory.
func (p *peers) in(dir string) *peers {
	p.garner.in(dir)
	p.restic.in(dir)
	return p
}

// password opens the repository with another password than the usual one.
func (p *peers) password(password string) *peers {
	p.garner.env = append(p.garner.env, "RESTIC_PASSWORD="+password)
	p.restic.env = append(p.restic.env, "RESTIC_PASSWORD="+password)
	return p
}

// ignoring returns peers that do not compare the values of JSON members with
// these names.
func (p *peers) ignoring(members ...string) *peers {
	q := *p
	q.volatile = append(slices.Clone(p.volatile), members...)
	return &q
}

// anyOrder returns peers that compare lines, documents and the elements of a
// document that is an array in any order.
func (p *peers) anyOrder() *peers {
	q := *p
	q.unordered = true
	return &q
}

// sameJSON fails unless both programs, with the same arguments and --json,
// exit with the same code and print the same documents: the same members,
// types and values, in the same order. It returns garner's documents.
func (p *peers) sameJSON(t *testing.T, args ...string) []any {
	t.Helper()
	args = append(slices.Clone(args), "--json")
	g, r := p.garner.run(args...), p.restic.run(args...)
	if g.code != r.code {
		t.Errorf("%v: exit codes %d, restic %d\n%s\n%s", args, g.code, r.code, g.stderr, r.stderr)
		return nil
	}
	got, want := documents(t, args, g.stdout), documents(t, args, r.stdout)
	raw := [2]string{g.stdout, r.stdout}
	for _, list := range [][]any{got, want} {
		for i := range list {
			list[i] = masked(list[i], p.volatile)
		}
		if p.unordered {
			sortDocuments(list)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v: %d documents, restic prints %d\n%s\nrestic\n%s", args, len(got), len(want), raw[0], raw[1])
		return got
	}
	for i := range got {
		if list := differences("", got[i], want[i]); len(list) > 0 {
			t.Errorf("%v: document %d:\n%s", args, i, short(strings.Join(list, "\n")))
			break
		}
	}
	return got
}

func sortDocuments(list []any) {
	byText := func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	for _, v := range list {
		if elements, ok := v.([]any); ok {
			slices.SortFunc(elements, byText)
		}
	}
	slices.SortFunc(list, byText)
}

// sameText fails unless both programs exit with the same code and print the
// same to stdout.
func (p *peers) sameText(t *testing.T, args ...string) string {
	t.Helper()
	g, r := p.garner.run(args...), p.restic.run(args...)
	if g.code != r.code {
		t.Errorf("%v: exit codes %d, restic %d\n%s\n%s", args, g.code, r.code, g.stderr, r.stderr)
	}
	got, want := g.stdout, r.stdout
	if p.unordered {
		got, want = sortedLines(got), sortedLines(want)
	}
	a, b := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range max(len(a), len(b)) {
		if i == len(a) || i == len(b) || a[i] != b[i] {
			t.Errorf("%v prints from line %d on\n%s\nrestic\n%s", args, i+1,
				short(strings.Join(a[min(i, len(a)):], "")), short(strings.Join(b[min(i, len(b)):], "")))
			break
		}
	}
	return got
}

// sameCode fails unless both programs exit with the same code, and, if it is
// not 0, both say why. It returns what garner says.
func (p *peers) sameCode(t *testing.T, args ...string) result {
	t.Helper()
	g, r := p.garner.run(args...), p.restic.run(args...)
	if g.code != r.code {
		t.Errorf("%v: exit codes %d, restic %d\n%s\n%s", args, g.code, r.code, g.stderr, r.stderr)
	}
	if g.code != 0 && strings.TrimSpace(g.stderr) == "" {
		t.Errorf("%v: exit code %d without a word", args, g.code)
	}
	return g
}

func sortedLines(s string) string {
	lines := strings.SplitAfter(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func short(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

// documents splits the output of a program.
func documents(t *testing.T, args []string, out string) (list []any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(out))
	dec.UseNumber()
	for {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Errorf("%v: not JSON: %v in\n%s", args, err, short(out))
			return list
		}
		list = append(list, v)
	}
}

// masked replaces the values of the members that may differ.
func masked(v any, members []string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if slices.Contains(members, k) {
				v[k] = fmt.Sprintf("some %T", x)
			} else {
				v[k] = masked(x, members)
			}
		}
	case []any:
		for i := range v {
			v[i] = masked(v[i], members)
		}
	}
	return v
}

// differences lists where two documents are not the same.
func differences(path string, got, want any) (list []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for k, x := range w {
			if y, ok := g[k]; ok {
				list = append(list, differences(path+"."+k, y, x)...)
			} else {
				list = append(list, fmt.Sprintf("%s.%s is missing, restic has %v", path, k, x))
			}
		}
		for k, y := range g {
			if _, ok := w[k]; !ok {
				list = append(list, fmt.Sprintf("%s.%s = %v, restic has no such member", path, k, y))
			}
		}
		slices.Sort(list)
		return list
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		if len(g) != len(w) {
			return []string{fmt.Sprintf("%s has %d elements, restic's %d:\n%v\nrestic\n%v", path, len(g), len(w), short(fmt.Sprint(g)), short(fmt.Sprint(w)))}
		}
		for i := range w {
			list = append(list, differences(fmt.Sprintf("%s[%d]", path, i), g[i], w[i])...)
		}
		return list
	}
	if !reflect.DeepEqual(got, want) {
		return []string{fmt.Sprintf("%s = %#v, restic has %#v", path, got, want)}
	}
	return nil
}

// history makes a repository in which a program has backed up four states of
// a tree of files of every kind, with hosts and tags, and returns its folder.
func history(t *testing.T, version int, program func(testing.TB, string) *program) string {
	t.Helper()
	repository := newRepository(t, version)
	src := filepath.Join(t.TempDir(), "source")
	tree := filepath.Join(src, "x")
	repotest.MakeTree(t, tree)
	p := program(t, repository).in(src)
	in := func(name string) string { return filepath.Join(tree, name) }
	backup := func(args ...string) {
		t.Helper()
		p.ok(append([]string{"backup", "-q", "."}, args...)...)
	}
	check := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	backup("--host", "alpha", "--time", "2024-03-01 03:04:05")
	check(os.WriteFile(in("sub/other"), []byte("changed"), 0o600),
		os.Remove(in("sub/deep/er/file")),
		os.Mkdir(in("sub/deep/er/file"), 0o755), // a folder where a file was
		os.WriteFile(in("sub/deep/er/file/inner"), repotest.Random(7, 700_000), 0o644),
		os.Chmod(in("readonly"), 0o444),
		os.RemoveAll(in("emptydir")),
		os.Remove(in("link")), os.Symlink("empty", in("link")))
	backup("--host", "alpha", "--tag", "daily,second", "--time", "2024-03-02 03:04:05")
	check(os.Mkdir(in("a.dir"), 0o755), os.WriteFile(in("a.dir/new.TXT"), []byte("hello restic\n"), 0o644),
		os.Mkdir(in("adir"), 0o755), os.WriteFile(in("a-dir"), nil, 0o644),
		os.Chtimes(in("small"), time.Unix(1_710_000_000, 7), time.Unix(1_710_000_000, 7)),
		os.Remove(in("chunks")))
	backup("--host", "beta", "--tag", "daily", "--time", "2024-03-03 03:04:05")
	check(os.RemoveAll(in("sub")), os.Rename(in("adir"), in("moved")))
	backup("--host", "beta", "--time", "2024-03-04 03:04:05")
	return repository
}

// histories runs a test on what garner and restic have made, one in each
// version of the format.
func histories(t *testing.T, test func(t *testing.T, repository string)) {
	t.Run("format 1 by restic", func(t *testing.T) {
		t.Parallel()
		test(t, history(t, 1, restic))
	})
	t.Run("format 2 by garner", func(t *testing.T) {
		t.Parallel()
		test(t, history(t, 2, garner))
	})
}
