package repotest_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// golden are the repositories, with as few openings as possible: each takes
// the full price of restic's keys.
var golden = []struct {
	name     string
	password string
	host     string // of the key that the password opens
	version  int
	states   []string // of the snapshots, oldest first
}{
	{"restic-0.14-v1", "geheim", "alpha", 1, []string{"one", "two"}},
	{"restic-0.14-v2", "geheim", "alpha", 2, []string{"one", "two", "three"}},
	{"restic-0.19-v2", "geheim", "alpha", 2, []string{"one", "two", "three"}},
	{"restic-0.19-v2-migrated-from-v1", "geheim", "alpha", 2, []string{"one", "two", "three"}},
	{"restic-0.19-keys", "Schlüssel 鍵 🔑", "gamma", 2, []string{"one"}},
}

func TestGoldenRepositoriesAreSoundAndHoldWhatWasBackedUp(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name+" of "+g.host, func(t *testing.T) {
			t.Parallel()
			r := open(t, repotest.Golden(t, g.name), g.password)
			key, err := r.LoadKey(t.Context(), r.KeyID())
			if err != nil {
				t.Fatal(err)
			}
			if key.Hostname != g.host || r.Config().Version != g.version {
				t.Errorf("key of %q and format %d, want %q and %d", key.Hostname, r.Config().Version, g.host, g.version)
			}
			if err := r.LoadIndex(t.Context()); err != nil {
				t.Fatal(err)
			}
			list, err := r.Snapshots(t.Context(), snapshot.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			snapshot.SortOldestFirst(list)
			if len(list) != len(g.states) {
				t.Fatalf("%d snapshots, want %d", len(list), len(g.states))
			}
			for i, sn := range list {
				testRecord(t, i, sn, list)
				repotest.Same(t, want(t, g.states[i], sn), items(t, r, sn))
			}
			testSound(t, r, len(list))
		})
	}
}

// want is the list of a state as the snapshot should have it: restic kept no
// link target that is not UTF-8 before 0.16. Only snapshots since 0.17 name
// the program.
func want(t *testing.T, state string, sn *snapshot.Snapshot) map[string]string {
	items := repotest.GoldenItems(t, state)
	if sn.ProgramVersion == "" {
		const link = "names/badlink"
		items[link] = strings.Replace(items[link], `\xff`, `\xef\xbf\xbd`, 1)
	}
	return items
}

// testRecord looks at the i-th snapshot's own members.
func testRecord(t *testing.T, i int, sn *snapshot.Snapshot, list []*snapshot.Snapshot) {
	t.Helper()
	tags := [][]string{{"first"}, {"daily", "second"}, nil}[i]
	if at := sn.Time.UTC().Format("2006-01-02 15:04:05"); at != fmt.Sprintf("2024-03-%02d 03:04:05", i+1) {
		t.Errorf("snapshot %d is of %s", i, at)
	}
	if sn.Hostname != "alpha" || !slices.Equal(sn.Tags, tags) || !slices.Equal(sn.Paths, []string{"/tmp/garner-golden/source"}) {
		t.Errorf("snapshot %d: host %q, tags %q, paths %q", i, sn.Hostname, sn.Tags, sn.Paths)
	}
	if i == 0 && sn.Parent != nil || i > 0 && (sn.Parent == nil || *sn.Parent != list[i-1].ID) {
		t.Errorf("snapshot %d has the parent %v", i, sn.Parent)
	}
}

// testSound reads all of a repository.
func testSound(t *testing.T, r *repo.Repo, snapshots int) {
	t.Helper()
	rep, err := check.Run(t.Context(), r, &check.Options{SelectPacks: check.AllPacks})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Problems {
		t.Error(p)
	}
	if rep.Snapshots != snapshots || rep.PacksRead == 0 || rep.PacksRead != rep.Packs {
		t.Errorf("checked %d snapshots and %d of %d packs", rep.Snapshots, rep.PacksRead, rep.Packs)
	}
}

func open(t *testing.T, dir, password string) *repo.Repo {
	t.Helper()
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), be, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// items describes what a snapshot holds as make-golden describes files.
func items(t *testing.T, r *repo.Repo, sn *snapshot.Snapshot) map[string]string {
	t.Helper()
	list := make(map[string]string)
	names := make(map[uint64]string)
	err := tree.Walk(t.Context(), r, *sn.Tree, func(path string, n *tree.Node, err error) error {
		if err != nil {
			return err
		}
		path = path[1:]
		sum, err := content(t.Context(), r, n)
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		list[path] = fmt.Sprintf("%s %04o %d:%d %d %s %s %s %s", n.Type, mode(n.Mode), n.UID, n.GID, n.Size,
			n.ModTime.UTC().Format("2006-01-02T15:04:05.000000000Z"), sum, value(path, n, names), attributes(n))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func mode(m fs.FileMode) fs.FileMode {
	bits := m.Perm()
	for flag, bit := range map[fs.FileMode]fs.FileMode{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func content(ctx context.Context, r *repo.Repo, n *tree.Node) (string, error) {
	if n.Type != tree.TypeFile {
		return "-", nil
	}
	sum, size := sha256.New(), 0
	for _, id := range n.Content {
		b, err := r.LoadBlob(ctx, index.BlobHandle{Type: index.DataBlob, ID: id}, nil)
		if err != nil {
			return "", err
		}
		_, _ = sum.Write(b)
		size += len(b)
	}
	if uint64(size) != n.Size {
		return "", fmt.Errorf("%d bytes in blobs, size %d", size, n.Size)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// value is a link's target, a device's numbers, or the first name of a file
// that has several; names remembers those by inode.
func value(path string, n *tree.Node, names map[uint64]string) string {
	switch {
	case n.Type == tree.TypeSymlink:
		return quote(n.LinkTarget)
	case n.Type == tree.TypeDevice || n.Type == tree.TypeCharDevice:
		return fmt.Sprintf("%d:%d", n.Device>>8&0xfff, n.Device&0xff|n.Device>>12&^0xff)
	case n.Type == tree.TypeFile && n.Links > 1:
		if names[n.Inode] == "" {
			names[n.Inode] = path
		}
		return quote(names[n.Inode])
	}
	return "-"
}

func attributes(n *tree.Node) string {
	var list []string
	for _, x := range n.ExtendedAttributes {
		list = append(list, fmt.Sprintf("%s=%x", x.Name, x.Value))
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

// quote is strconv.Quote as plain as make-golden has it.
func quote(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 33 || c > 126 || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	if u, err := strconv.Unquote(`"` + b.String() + `"`); err != nil || u != s {
		return fmt.Sprintf("not quotable: %x", s)
	}
	return `"` + b.String() + `"`
}
