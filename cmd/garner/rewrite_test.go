package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
)

// TestRewriteMakesTheTreesThatResticMakes compares new snapshots: their
// trees, totals, tags and origin.
func TestRewriteMakesTheTreesThatResticMakes(t *testing.T) {
	t.Parallel()
	repository, src := snapshotsOfMany(t, 2)
	lists := t.TempDir()
	for name, content := range map[string]string{"some": "# comment\n*.txt\n\n$NOTHING/big\n", "none": "# nothing\n"} {
		if err := os.WriteFile(filepath.Join(lists, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	some, none := filepath.Join(lists, "some"), filepath.Join(lists, "none")
	for _, args := range [][]string{
		{"-e", "*.txt"}, {"-e", "big"}, {"-e", "/big"}, {"-e", "/a"}, {"-e", "/a/b/*"}, {"-e", "b/c"}, {"-e", "**/c"}, {"-e", "/**/void"},
		{"-e", "*"}, {"-e", "/**"}, {"-e", "/"}, {"-e", "**"}, {"-e", "nothing"}, {"-e", ""}, {"-e", "*", "-e", "!*.o"}, {"-e", "a/*", "-e", "!a/b"},
		{"--iexclude", "*.TXT"}, {"--iexclude", "DOCS/*", "-e", "x.o"}, {"--exclude-file", some}, {"--iexclude-file", some}, {"--exclude-file", none},
		{"-e", "with\\\\back"}, {"-e", "ü*"}, {"-e", src},
		{"-i", "*.txt"}, {"-i", "/a"}, {"-i", "a/b"}, {"-i", "/a/b"}, {"-i", "void"}, {"-i", "/deep/void"}, {"-i", "/deep/*/void"}, {"-i", "docs/*.md"},
		{"-i", "*"}, {"-i", "/"}, {"-i", "**"}, {"-i", "/**"}, {"-i", "/**/c"}, {"-i", "nothing"}, {"-i", ""}, {"-i", "/a", "-i", "!/a/b"}, {"-i", "!/a"},
		{"--iinclude", "*.TXT"}, {"--iinclude", "DOCS"}, {"--include-file", some}, {"--iinclude-file", some}, {"--include-file", none},
		{"-i", "/a/b/c/d/e"}, {"-i", "?.o"}, {"-i", "zero"},
	} {
		sameChange(t, repository, true, append([]string{"rewrite", "-q", "--no-lock"}, args...)...)
	}
	if t.Failed() {
		t.Logf("the files are in %s", src)
	}
}

// TestRewriteDoesWhatResticDoes compares messages and decisions.
func TestRewriteDoesWhatResticDoes(t *testing.T) {
	t.Parallel()
	repository, _ := snapshotsOfMany(t, 2)
	for _, args := range [][]string{
		{}, {"-e", "big"}, {"-e", "big", "-n"}, {"-e", "big", "-vv"}, {"-e", "big", "-n", "-vv"}, {"-e", "big", "--forget"}, {"-e", "big", "--forget", "-n"},
		{"-e", "big", "--json"}, {"-e", "big", "-q"}, {"-i", "*.txt", "-vv"}, {"-i", "void", "-vv"}, {"-i", "nothing", "--forget"}, {"-i", "nothing", "--new-host", "x"},
		{"-i", "", "--new-host", "x"}, {"-e", "nothing"}, {"-e", "nothing", "-n"}, {"-e", "nothing", "--new-host", "x"}, {"-e", "", "--new-host", "x"},
		{"--new-host", "x"}, {"--new-host", "x", "-n"}, {"--new-host", "alpha", "--host", "alpha"}, {"--new-host", ""}, {"--new-time", "1999-12-31 23:59:59"},
		{"--new-time", "1999-12-31 23:59:59", "--new-host", "x", "--forget"}, {"--new-time", "1999-12-31 23:59:59", "--new-host", "x", "--forget", "-n"},
		{"--new-time", "yesterday"}, {"--new-time", "1999-12-31T23:59:59Z"}, {"-s"}, {"-s", "-n"}, {"-e", "a", "-i", "b"}, {"-e", "["}, {"-i", "["},
		{"-e", "big", "latest"}, {"-e", "big", "--host", "beta"}, {"-e", "big", "--tag", "one"}, {"-e", "big", "nothing"}, {"-e", "big", "latest:a"},
		{"-e", "big", "--host", "nobody"}, {"--exclude-file", "nothing"}, {"--include-file", "nothing"},
	} {
		args = append([]string{"rewrite"}, args...)
		got := sameChange(t, repository, comparable(args), args...)
		if len(got) < 4 {
			t.Errorf("%q leaves %d snapshots", args, len(got))
		}
	}
}

// comparable reports whether what is printed can be compared. Restic finds
// some errors when it has begun already, and says that it locks the
// repository when it does not.
func comparable(args []string) bool {
	all := strings.Join(args, " ")
	for _, other := range []string{"[", "yesterday", "T23", "file nothing", "--forget -n"} {
		if strings.Contains(all, other) {
			return false
		}
	}
	return true
}

// TestRewriteAfterResticAndBack lets the programs rewrite what the other has
// rewritten, on all versions of the format.
func TestRewriteAfterResticAndBack(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		repository, src := snapshotsOfMany(t, version)
		g, r := garner(t, repository).in(src), restic(t, repository).in(src)
		g.ok("rewrite", "-e", "big", "--forget")
		if out := r.ok("rewrite", "-e", "big"); !strings.Contains(out, "no snapshots were modified") {
			t.Errorf("restic finds something to do:\n%s", out)
		}
		r.ok("rewrite", "-e", "*.o", "--forget")
		if out := g.ok("rewrite", "-e", "*.o"); !strings.Contains(out, "no snapshots were modified") {
			t.Errorf("garner finds something to do:\n%s", out)
		}
		for _, p := range []*program{g, r} {
			p.ok("check", "--read-data")
		}
		want := repotest.Manifest(t, src, false)
		for path := range want {
			if path == "big" || strings.HasSuffix(path, ".o") {
				delete(want, path)
			}
		}
		r.ok("forget", "--keep-last", "100", "--prune")
		target := filepath.Join(t.TempDir(), "target")
		g.ok("restore", "latest", "--host", "beta", "--target", target)
		repotest.Same(t, want, repotest.Manifest(t, target, false))
	}
}

// TestRewriteGivesOldSnapshotsASummary takes snapshots of a restic that made
// none.
func TestRewriteGivesOldSnapshotsASummary(t *testing.T) {
	t.Parallel()
	repository, src := snapshotsOfMany(t, 2)
	oldRestic(t, repository).in(src).ok("backup", "-q", ".", "--host", "old")
	for _, args := range [][]string{
		{"-s"}, {"-s", "--forget"}, {"-e", "nothing"}, {"-e", "big"}, {"-i", "*.txt"}, {"--new-host", "x"}, {"-s", "-n"},
	} {
		list := sameChange(t, repository, true, append([]string{"rewrite"}, args...)...)
		summaries := 0
		for _, line := range list {
			var sn struct {
				Summary *struct {
					Files int `json:"total_files_processed"`
					New   int `json:"files_new"`
				} `json:"summary"`
				Host string `json:"hostname"`
			}
			if err := json.Unmarshal([]byte(line), &sn); err != nil {
				t.Fatal(err)
			}
			if sn.Summary != nil && sn.Host == "old" {
				summaries++
				if sn.Summary.Files == 0 || sn.Summary.New != 0 {
					t.Errorf("%q: summary of %s", args, line)
				}
			}
		}
		if want := args[0] != "--new-host" && args[len(args)-1] != "-n"; (summaries == 1) != want {
			t.Errorf("%q: %d old snapshots have a summary:\n%s", args, summaries, strings.Join(list, "\n"))
		}
	}
}

// TestRewriteRefusesWhatResticRefuses takes trees that no program can store
// again as they are.
func TestRewriteRefusesWhatResticRefuses(t *testing.T) {
	t.Parallel()
	const node = `{"name":"%s","type":"fifo","mode":420,"mtime":"2020-01-01T00:00:00Z","atime":"2020-01-01T00:00:00Z","ctime":"2020-01-01T00:00:00Z","uid":0,"gid":0,"content":null%s}`
	a, b := fmt.Sprintf(node, "a", ""), fmt.Sprintf(node, "b", "")
	for name, json := range map[string]string{
		"as it should be": `{"nodes":[` + a + "," + b + "]}\n", "unknown member": `{"nodes":[` + fmt.Sprintf(node, "a", `,"future":1`) + "]}\n",
		"white space": `{"nodes":[ ` + a + "]}\n", "no line feed": `{"nodes":[` + a + "]}", "disorder": `{"nodes":[` + b + "," + a + "]}\n",
		"twice": `{"nodes":[` + a + "," + a + "]}\n", "no tree": "[]",
	} {
		repository := newRepository(t, 2)
		r := openHere(t, repository)
		var id crypto.ID
		err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
			saved, err := w.SaveBlob(ctx, index.TreeBlob, []byte(json))
			id = saved.ID
			return err
		})
		if err == nil {
			_, err = r.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: time.Unix(1_600_000_000, 0), Tree: &id, Paths: []string{"/"}, Hostname: "h"})
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"-e", "x"}, {"-s"}, {"--new-host", "x"}} {
			if list := sameChange(t, repository, false, append([]string{"rewrite"}, args...)...); t.Failed() {
				t.Fatalf("%s, %q: %v", name, args, list)
			}
		}
	}
}
