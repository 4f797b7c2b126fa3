//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

func makeTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	repotest.MakeTree(t, filepath.Join(dir, "x"))
	return dir
}

// sourceManifest is what a restore must give: no sockets.
func sourceManifest(t *testing.T, src string) map[string]string {
	m := repotest.Manifest(t, src, false)
	for path, line := range m {
		if strings.HasPrefix(line, "socket ") {
			delete(m, path)
		}
	}
	return m
}

func TestBothProgramsUseOneRepository(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		for _, first := range []string{"garner", "restic"} {
			t.Run(fmt.Sprintf("version %d, %s first", version, first), func(t *testing.T) {
				src := makeTree(t)
				repository := newRepository(t, version)
				a, b := garner(t, repository).in(src), restic(t, repository).in(src)
				if first == "restic" {
					a, b = b, a
				}
				made := summaryOf(t, a.ok("backup", "--json", "."))
				again := summaryOf(t, b.ok("backup", "--json", "."))
				if again.DataBlobs != 0 || again.TreeBlobs != 0 {
					t.Errorf("the second program added %d data and %d tree blobs", again.DataBlobs, again.TreeBlobs)
				}
				if again.FilesUnmodified != made.TotalFilesProcessed || again.FilesNew != 0 || again.FilesChanged != 0 {
					t.Errorf("the second program found %d of %d files unmodified", again.FilesUnmodified, made.TotalFilesProcessed)
				}
				forced := summaryOf(t, b.ok("backup", "--json", "--force", "."))
				if forced.DataBlobs != 0 || forced.TreeBlobs != 0 {
					t.Errorf("reading all again added %d data and %d tree blobs", forced.DataBlobs, forced.TreeBlobs)
				}
				want := sourceManifest(t, src)
				repotest.Same(t, want, restored(t, a))
				repotest.Same(t, want, restored(t, b))
				for _, p := range []*program{a, b} {
					p.ok("check", "--read-data")
				}
				sameListing(t, a, b)
			})
		}
	}
}

func sameListing(t *testing.T, a, b *program) {
	t.Helper()
	for _, args := range [][]string{{"ls", "latest", "--json"}, {"ls", "latest", "-l"}, {"snapshots", "--json"}, {"key", "list", "--json"}, {"cat", "config"}} {
		if x, y := a.ok(args...), b.ok(args...); x != y {
			t.Errorf("%v:\n%s\nand\n%s", args, x, y)
		}
	}
}

func TestResticPrunesAfterGarner(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	g, r := garner(t, repository).in(src), restic(t, repository).in(src)
	g.ok("backup", filepath.Join("x", "chunks"))
	g.ok("backup", ".")
	r.ok("forget", "--keep-last", "1", "--group-by", "", "--prune", "--max-unused", "0")
	g.ok("check", "--read-data")
	r.ok("check", "--read-data")
	repotest.Same(t, sourceManifest(t, src), restored(t, g))
	if s := summaryOf(t, g.ok("backup", "--json", ".")); s.DataBlobs != 0 || s.FilesNew != 0 {
		t.Errorf("after the prune: %+v", s)
	}
}

func TestOldResticReadsWhatGarnerWrites(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		src := makeTree(t)
		repository := newRepository(t, version)
		g, old := garner(t, repository).in(src), oldRestic(t, repository).in(src)
		g.ok("backup", ".")
		old.ok("check", "--read-data")
		// 0.14 loses bytes of link targets that are not UTF-8.
		want, got := sourceManifest(t, src), restored(t, old)
		delete(want, "x/badlink")
		delete(got, "x/badlink")
		repotest.Same(t, want, got)
		old.ok("backup", ".")
		g.ok("check", "--read-data")
	}
}

// TestTargetsLandWhereResticPutsThem compares the paths in the snapshots for
// all kinds of arguments.
func TestTargetsLandWhereResticPutsThem(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	g, r := garner(t, repository).in(src), restic(t, repository).in(src)
	for _, args := range [][]string{
		{"."}, {"x/sub"}, {"x/../x/sub/deep"}, {"x/sub", "x"}, {"x", "x/sub/deep"}, {"x", "x"}, {"../source/x/sub"},
		{"x/small", "x/empty"}, {filepath.Join(src, "x"), "x"}, {"x/link"}, {"x/sub", filepath.Join(src, "x/sub")},
		{"x", "-e", "sub"}, {"x/sub", "-e", "sub"}, {".", "-e", "x"}, {"x/sub/other", "x", "-e", "other"},
		{"x", "--iexclude", "SUB/DEEP"}, {"x", "-e", "*", "-e", "!small"}, {"x", "--exclude-larger-than", "1M"},
		{"x", "--exclude-if-present", "small"}, {"x/sub/deep", "x/chunks"}, {"x", "-x"}, {"x", "-e", "/**/deep"},
	} {
		// Absolute paths bring folders of the machine into the tree, which
		// others change at any time: of those only the paths are compared.
		absolute := strings.Contains(strings.Join(args, " "), src)
		tree := func(p *program) string {
			if r := p.run(append([]string{"backup", "-q", "--force"}, args...)...); r.code != 0 {
				return fmt.Sprintf("exit code %d", r.code)
			}
			if absolute {
				_, list, _ := strings.Cut(p.ok("ls", "latest", "--no-lock"), "\n")
				return list
			}
			var list []struct {
				Tree  string   `json:"tree"`
				Paths []string `json:"paths"`
			}
			if err := json.Unmarshal([]byte(p.ok("snapshots", "latest", "--json", "--no-lock")), &list); err != nil {
				t.Fatal(err)
			}
			return list[0].Tree + " " + strings.Join(list[0].Paths, ",")
		}
		if got, want := tree(g), tree(r); got != want {
			t.Errorf("%v: garner makes %s\n  restic %s", args, got, want)
			t.Logf("restic has %s", r.ok("ls", "latest"))
		}
	}
}

// TestFeatureFlagsMakeTheSameTrees compares the trees of backups with the
// flag that changes them.
func TestFeatureFlagsMakeTheSameTrees(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	p := newPeers(t, newRepository(t, 2)).in(src)
	trees := make(map[string]string)
	for _, flag := range []string{"device-id-for-hardlinks", "device-id-for-hardlinks=0"} {
		for name, q := range map[string]*program{"garner": p.garner, "restic": p.restic} {
			q.env = append(q.env, "RESTIC_FEATURES="+flag)
			q.ok("backup", "-q", ".")
			trees[name] = snapshotTree(t, q)
		}
		if trees["garner"] != trees["restic"] {
			t.Errorf("%s: garner makes the tree %s\n restic %s", flag, p.garner.ok("cat", "tree", "latest:x"), p.restic.ok("cat", "tree", p.garner.snapshotIDs()[0]+":x"))
		}
		if trees[flag] = trees["garner"]; flag != "device-id-for-hardlinks" && trees[flag] == trees["device-id-for-hardlinks"] {
			t.Error("the flag changes nothing")
		}
	}
}

func snapshotTree(t *testing.T, p *program) string {
	t.Helper()
	var list []struct {
		Tree string `json:"tree"`
	}
	if err := json.Unmarshal([]byte(p.ok("snapshots", "latest", "--json", "--no-lock")), &list); err != nil {
		t.Fatal(err)
	}
	return list[0].Tree
}
