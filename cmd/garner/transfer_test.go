package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/repotest"
)

// cloned returns a copy of a repository, so that two programs can do the same
// to the same.
func cloned(t testing.TB, repository string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(dir, os.DirFS(repository)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// snapshotList returns the JSON of all snapshots as it is stored, sorted.
func snapshotList(t testing.TB, repository string) []string {
	t.Helper()
	be, err := local.Open(repository, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for fi, err := range r.List(t.Context(), backend.SnapshotFile) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.LoadUnpacked(t.Context(), backend.SnapshotFile, fi.ID)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

var (
	fullIDs  = regexp.MustCompile(`[0-9a-f]{64}`)
	shortIDs = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
)

// linesWithoutIDs returns the lines of an output in order, without IDs.
func linesWithoutIDs(out string) []string {
	out = shortIDs.ReplaceAllString(fullIDs.ReplaceAllString(out, "ID"), "ID")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}

// sameChange runs one command of both programs on clones of a repository, and
// compares exit codes, what is printed, if output is set, and the snapshots
// that are there afterwards. It returns these.
func sameChange(t *testing.T, repository string, output bool, args ...string) []string {
	t.Helper()
	a, b := cloned(t, repository), cloned(t, repository)
	got, want := garner(t, a).run(args...), restic(t, b).run(args...)
	if got.code != want.code {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, got.code, want.code, got.stderr, want.stderr)
	}
	if x, y := linesWithoutIDs(got.stdout), linesWithoutIDs(want.stdout); output && !slices.Equal(x, y) {
		t.Errorf("%q prints\n%s\nwant\n%s", args, strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	x, y := snapshotList(t, a), snapshotList(t, b)
	if !slices.Equal(x, y) {
		t.Errorf("%q leaves\n%s\nwant\n%s", args, strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	return x
}

// snapshotsOfMany makes a repository with several snapshots of a small tree
// that differ in content, host, paths and tags, by both programs.
func snapshotsOfMany(t testing.TB, version int) (repository, src string) {
	t.Helper()
	src = filepath.Join(t.TempDir(), "source")
	write := func(name string, content []byte) {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/1.txt", "a/b/2.TXT", "a/b/c/3.txt", "docs/readme.md", "docs/empty.o", "x.o", "üñí.txt", "with\\back"} {
		write(name, []byte(name))
	}
	write("big", repotest.Random(1, 3_000_000))
	write("docs/zero", nil)
	for _, dir := range []string{"void", "deep/void/void"} {
		if err := os.MkdirAll(filepath.Join(src, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	repository = newRepository(t, version)
	g, r := garner(t, repository).in(src), restic(t, repository).in(src)
	g.ok("backup", "-q", ".", "--tag", "one", "--host", "alpha")
	write("a/4.txt", repotest.Random(2, 700_000))
	r.ok("backup", "-q", ".", "--tag", "one,two", "--host", "beta")
	g.ok("backup", "-q", "a", "docs", "--host", "alpha", "-e", "*.md")
	r.ok("backup", "-q", "docs", "--tag", "three", "--host", "alpha")
	return repository, src
}

func TestTagChangesWhatResticChanges(t *testing.T) {
	t.Parallel()
	repository, _ := snapshotsOfMany(t, 2)
	for _, args := range [][]string{
		{"--add", "new"}, {"--add", "new,one", "--add", " last ,new"}, {"--remove", "one"}, {"--remove", "two,one"},
		{"--remove", "one", "--add", "new,newer"}, {"--add", "one", "--remove", "one"}, {"--remove", "none"},
		{"--set", "b,a,b"}, {"--set", "a,,c"}, {"--set", ""}, {"--add", ""}, {"--set", "one", "--tag", "one"},
		{"--set", "x", "--host", "alpha"}, {"--set", "x", "--host", "nobody"}, {"--add", "x", "latest"},
		{"--add", "x", "latest", "--tag", "two"}, {"--add", "x", "latest", "latest"}, {"--add", "x", "nothing"}, {"--add", "x", "latest:docs"},
		{"--add", "x", "--no-lock"}, {"--add", "x", "-q"}, {"--add", "x", "-vv"}, {}, {"--set", "a", "--add", "b"},
	} {
		sameChange(t, repository, true, append([]string{"tag", "--json"}, args...)...)
	}
	for _, args := range [][]string{{"--add", "new"}, {"--add", "one", "--tag", "one"}, {"--set", "b", "-vv"}, {"--set", "b", "-q"}} {
		sameChange(t, repository, true, append([]string{"tag"}, args...)...)
	}
}

// TestTagsChangedInTurnKeepTheirOrigin lets both programs change the tags of
// snapshots that the other has changed.
func TestTagsChangedInTurnKeepTheirOrigin(t *testing.T) {
	t.Parallel()
	repository, _ := snapshotsOfMany(t, 2)
	g, r := garner(t, repository), restic(t, repository)
	first := strings.Fields(r.ok("list", "snapshots"))
	for i, p := range []*program{g, r, g, r} {
		p.ok("tag", "--add", fmt.Sprintf("round%d", i))
	}
	var list []struct {
		Original string   `json:"original"`
		Tags     []string `json:"tags"`
	}
	if err := json.Unmarshal([]byte(r.ok("snapshots", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(first) {
		t.Errorf("%d snapshots, there were %d", len(list), len(first))
	}
	for _, sn := range list {
		if !slices.Contains(first, sn.Original) || len(sn.Tags) < 4 {
			t.Errorf("%+v", sn)
		}
	}
	r.ok("check", "--read-data")
}
