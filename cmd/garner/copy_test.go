package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// copying returns the program with a source to copy from.
func copying(p *program, from string) *program {
	p.env = append(p.env, "RESTIC_FROM_REPOSITORY="+from, "RESTIC_FROM_PASSWORD=secret")
	return p
}

func TestBothProgramsCopyAlike(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}} {
		t.Run(fmt.Sprintf("version %d to %d", versions[0], versions[1]), func(t *testing.T) {
			src, _ := snapshotsOfMany(t, versions[0])
			a, b := newRepository(t, versions[1]), newRepository(t, versions[1])
			g, r := copying(garner(t, a), src), copying(restic(t, b), src)
			g.ok("copy")
			r.ok("copy")
			want := snapshotList(t, b)
			if got := snapshotList(t, a); !slices.Equal(got, want) || len(got) != 4 {
				t.Errorf("garner leaves\n%s\nrestic\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			// Each finds what the other has copied.
			g, r = copying(garner(t, b), src), copying(restic(t, a), src)
			for _, p := range []*program{g, r} {
				if out := p.ok("copy", "-v"); strings.Count(out, "was already copied") != 4 || strings.Contains(out, "saved") {
					t.Errorf("%s copies again:\n%s", p.path, out)
				}
				p.ok("check", "--read-data")
			}
			blobs := slices.Sorted(slices.Values(strings.Split(r.ok("list", "blobs"), "\n")))
			if other := slices.Sorted(slices.Values(strings.Split(g.ok("list", "blobs"), "\n"))); !slices.Equal(blobs, other) {
				t.Errorf("garner has copied %d blobs, restic %d", len(blobs), len(other))
			}
			repotest.Same(t, restored(t, restic(t, src)), restored(t, r))
			repotest.Same(t, restored(t, restic(t, src)), restored(t, garner(t, a)))
		})
	}
}

func TestBothProgramsCopyTheSameChoice(t *testing.T) {
	t.Parallel()
	src, dir := snapshotsOfMany(t, 2)
	for _, args := range [][]string{
		{"latest"}, {"--host", "alpha"}, {"--tag", "two"}, {"--tag", "one", "--host", "beta", "latest"}, {"--path", dir + "/docs"},
		{"nothing"}, {"nothing", "latest"}, {"latest:docs"}, {"--host", "nobody"}, {"latest", "latest"}, {"--json", "latest"}, {"-q", "latest"},
	} {
		a, b := newRepository(t, 2), newRepository(t, 2)
		got, want := copying(garner(t, a), src).run(append([]string{"copy"}, args...)...), copying(restic(t, b), src).run(append([]string{"copy"}, args...)...)
		if got.code != want.code {
			t.Errorf("%q: exit code %d, want %d", args, got.code, want.code)
		}
		// Blobs are read in other parts than by restic.
		noParts := func(s string) []string {
			return slices.DeleteFunc(linesWithoutIDs(s), func(l string) bool { return strings.HasSuffix(l, "packs copied") })
		}
		if x, y := noParts(got.stdout), noParts(want.stdout); !slices.Equal(x, y) {
			t.Errorf("%q prints\n%s\nwant\n%s", args, strings.Join(x, "\n"), strings.Join(y, "\n"))
		}
		if x, y := snapshotList(t, a), snapshotList(t, b); !slices.Equal(x, y) {
			t.Errorf("%q copies\n%s\nwant\n%s", args, strings.Join(x, "\n"), strings.Join(y, "\n"))
		}
	}
}

// TestCopiesKnowTheirOrigin goes in a circle through both programs and back
// with changed tags in between.
func TestCopiesKnowTheirOrigin(t *testing.T) {
	t.Parallel()
	first, _ := snapshotsOfMany(t, 2)
	second, third := newRepository(t, 2), newRepository(t, 2)
	copying(garner(t, second), first).ok("copy")
	copying(restic(t, third), second).ok("copy")
	for _, p := range []*program{copying(garner(t, first), third), copying(restic(t, first), third), copying(garner(t, third), first), copying(garner(t, third), third)} {
		if out := p.ok("copy", "-v"); strings.Count(out, "was already copied") != 4 || strings.Contains(out, "saved") {
			t.Errorf("%s copies again:\n%s", p.path, out)
		}
	}
	garner(t, second).ok("tag", "--add", "changed", "latest")
	a, b := cloned(t, third), cloned(t, third)
	copying(garner(t, a), second).ok("copy")
	copying(restic(t, b), second).ok("copy")
	got, want := snapshotList(t, a), snapshotList(t, b)
	if !slices.Equal(got, want) || len(got) != 5 {
		t.Errorf("after a change of tags\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestChunkerParametersAreCopied makes repositories that cut files alike.
func TestChunkerParametersAreCopied(t *testing.T) {
	t.Parallel()
	first, src := snapshotsOfMany(t, 2)
	second, third := first+"2", first+"3"
	copying(garner(t, second), first).ok("init", "--copy-chunker-params")
	copying(restic(t, third), second).ok("init", "--copy-chunker-params", "--repository-version", "1")
	polynomial := func(repository string) string {
		_, after, _ := strings.Cut(restic(t, repository).ok("cat", "config"), `"chunker_polynomial"`)
		return after
	}
	if a, b, c := polynomial(first), polynomial(second), polynomial(third); a != b || a != c || a == "" {
		t.Errorf("polynomials %s, %s and %s", a, b, c)
	}
	g := copying(garner(t, second), first).in(src)
	g.ok("copy")
	if s := summaryOf(t, g.ok("backup", "--json", "--force", ".")); s.DataBlobs != 0 {
		t.Errorf("%d blobs of the copied files are new", s.DataBlobs)
	}
}
