//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// listZip describes what is in an archive, but for how it is compressed.
func listZip(t *testing.T, archive string) (list []string) {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%q %v method %d, %v, %d bytes %08x, extra %x, flags %x",
			f.Name, f.Mode(), f.Method, f.Modified, len(b), f.CRC32, f.Extra, f.Flags))
	}
	return list
}

func TestDumpIsRestics(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		first := p.garner.snapshotIDs()[0]
		for _, args := range [][]string{
			{"latest", "/"}, {"latest", "x"}, {"latest:x", "/"}, {"latest", "/x/", "--host", "alpha"}, {first, "/x/sub"},
			{"latest", "x/sparse"}, {first + ":x/sub", "other"}, {"latest", "x/empty"}, {"latest", "x/../x/small"}, {first, "x/chunks"},
		} {
			args = append([]string{"dump"}, args...)
			g, r := p.garner.run(args...), p.restic.run(args...)
			if g.code != 0 || r.code != 0 || g.stdout != r.stdout {
				t.Errorf("%v: %d bytes, code %d, restic %d bytes, code %d\n%s\n%s", args, len(g.stdout), g.code, len(r.stdout), r.code, g.stderr, r.stderr)
			}
		}
		got, want := listZip(t, p.garner.ok("dump", first, "/", "-a", "zip")), listZip(t, p.restic.ok("dump", first, "/", "-a", "zip"))
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("zip has\n%s\nrestic's\n%s", g, w)
		}
		for _, args := range [][]string{
			{}, {"latest"}, {"latest", "x", "y"}, {"latest", "nothing"}, {"latest", "x/small/y"}, {"latest", "x/link"}, {"latest", "x/fifo"},
			{"latest", "."}, {"latest", ""}, {"ffff", "/"}, {"latest:x/small", "/"}, {"latest", "/", "-a", "rar"}, {"latest", "/", "-t", "/nothing/there"},
		} {
			p.sameCode(t, append([]string{"dump"}, args...)...)
		}
	})
}

// TestDumpedTarUnpacks lets tar unpack what was dumped.
func TestDumpedTarUnpacks(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	g := garner(t, newRepository(t, 2)).in(src)
	g.ok("backup", "-q", ".")
	dir := t.TempDir()
	archive := filepath.Join(dir, "all.tar")
	g.ok("dump", "latest:x/sub", "/", "--target", archive)
	cmd := exec.Command("tar", "-x", "-p", "--xattrs", "-C", dir, "-f", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	for _, name := range []string{"hard2", "other", "deep/er/file"} {
		want, err := os.ReadFile(filepath.Join(src, "x/sub", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
}

func TestDumpOfGoldenRepositoriesIsRestics(t *testing.T) {
	t.Parallel()
	p := newPeers(t, repotest.Golden(t, "restic-0.14-v2")).password(repotest.GoldenPassword)
	if g, r := p.garner.ok("dump", "latest", "/"), p.restic.ok("dump", "latest", "/"); g != r {
		t.Errorf("%d bytes differ from restic's %d", len(g), len(r))
	}
}
