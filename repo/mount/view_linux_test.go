package mount

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// TestViewShowsTheTree compares the view with what is in the repository, for
// items of every kind.
func TestViewShowsTheTree(t *testing.T) {
	dir := t.TempDir()
	repotest.MakeTree(t, filepath.Join(dir, "x"))
	t.Chdir(dir)
	r := newRepo(t)
	src, err := source.Dir([]string{"x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sn := r.backup(t, src, nil)
	v := r.view(t, nil)
	seen := 0
	err = tree.Walk(t.Context(), r.Repo, *sn.Tree, func(p string, n *tree.Node, err error) error {
		if err != nil {
			return err
		}
		seen++
		it, err := v.resolve(t.Context(), "ids/"+sn.ID.Short()+p, false)
		if err != nil {
			t.Errorf("%q: %v", p, err)
			return nil
		}
		if got := it.node(); !got.Equal(want(n)) {
			t.Errorf("%q is %+v\nwant %+v", p, got, n)
		}
		if n.Type != tree.TypeFile {
			return nil
		}
		got, err := io.ReadAll(io.NewSectionReader(readerAt{v.newReader(it.content())}, 0, int64(n.Size)))
		onDisk, err2 := os.ReadFile(dir + p)
		if err != nil || err2 != nil || !bytes.Equal(got, onDisk) {
			t.Errorf("%q: %d bytes, %d on the disk; %v, %v", p, len(got), len(onDisk), err, err2)
		}
		return nil
	})
	if err != nil || seen < 30 {
		t.Fatalf("%d items, %v", seen, err)
	}
}

// want leaves out what a view has no use for: inodes of files with one name.
func want(n *tree.Node) *tree.Node {
	c := *n
	if c.Links <= 1 {
		c.Inode, c.DeviceID = 0, 0
	}
	return &c
}

type readerAt struct{ r *reader }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	return r.r.readAt(context.Background(), p, off)
}
