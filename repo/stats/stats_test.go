package stats_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/stats"
	"github.com/garner-backup/garner/repo/tree"
)

// counted counts the loads of a backend.
type counted struct {
	backend.Backend
	mu    sync.Mutex
	loads int
}

func newRepo(t *testing.T) (*repo.Repo, *counted) {
	t.Helper()
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	c := &counted{}
	c.Backend = layer.Observe(be, func(e layer.Event) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.Op == layer.OpLoad && e.Handle.Type == backend.PackFile {
			c.loads++
		}
	})
	r, err := repo.Open(t.Context(), c, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func (c *counted) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.loads
	c.loads = 0
	return n
}

type saver struct {
	t   *testing.T
	ctx context.Context
	w   *repo.Writer
}

func write(t *testing.T, r *repo.Repo, fn func(s saver)) {
	t.Helper()
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		fn(saver{t, ctx, w})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s saver) blob(typ index.BlobType, content []byte) crypto.ID {
	saved, err := s.w.SaveBlob(s.ctx, typ, content)
	if err != nil {
		s.t.Fatal(err)
	}
	return saved.ID
}

func (s saver) data(content string) crypto.ID { return s.blob(index.DataBlob, []byte(content)) }

func (s saver) tree(nodes ...tree.Node) crypto.ID {
	b, err := tree.Encode(nodes)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.blob(index.TreeBlob, b)
}

func file(name string, size uint64, content ...crypto.ID) tree.Node {
	return tree.Node{Name: name, Type: tree.TypeFile, Size: size, Links: 1, Inode: 1, Content: append([]crypto.ID{}, content...)}
}

func linked(n tree.Node, inode uint64) tree.Node {
	n.Links, n.Inode = 2, inode
	return n
}

func dir(name string, id crypto.ID) tree.Node {
	return tree.Node{Name: name, Type: tree.TypeDir, Subtree: id}
}

func snapshots(roots ...crypto.ID) (list []*snapshot.Snapshot) {
	for i := range roots {
		list = append(list, &snapshot.Snapshot{Tree: &roots[i]})
	}
	return list
}

func count(t *testing.T, r *repo.Repo, mode stats.Mode, roots ...crypto.ID) stats.Totals {
	t.Helper()
	got, err := stats.Run(t.Context(), r, snapshots(roots...), &stats.Options{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	return *got
}

func TestNamesOfOneFileCountOnceInEachSnapshot(t *testing.T) {
	r, _ := newRepo(t)
	var one, two crypto.ID
	write(t, r, func(s saver) {
		a := s.data("a")
		shared := s.tree(linked(file("x", 100, a), 7), file("y", 1, a))
		one = s.tree(dir("d", shared), dir("e", shared), linked(file("f", 100, a), 7))
		two = s.tree(dir("d", shared), linked(file("f", 50, a), 8), linked(file("g", 50, a), 8), linked(file("h", 9, a), 0), linked(file("i", 9, a), 0))
	})
	// Names: 2 folders, 2 times 2 files, 1 file; 1 folder and 6 files.
	got := count(t, r, stats.RestoreSize, one, two, one)
	if want := uint64(7 + 7 + 7); got.Files != want {
		t.Errorf("%d items, want %d", got.Files, want)
	}
	if want := uint64(102 + 100 + 1 + 50 + 18 + 102); got.Size != want {
		t.Errorf("%d bytes, want %d", got.Size, want)
	}
}

func TestEachTreeIsReadOnce(t *testing.T) {
	r, c := newRepo(t)
	var roots []crypto.ID
	const trees = 1 + 100 + 20
	write(t, r, func(s saver) {
		shared := s.tree(file("f", 5, s.data("12345")))
		rnd := rand.New(rand.NewPCG(1, 1))
		var dirs []tree.Node
		for i := range 100 {
			id := s.tree(file("g", uint64(i), s.data(fmt.Sprint(i)), s.data("12345")), dir("shared", shared))
			dirs = append(dirs, dir(fmt.Sprintf("%03d", i), id))
		}
		for i := range 20 {
			var some []tree.Node
			for _, d := range dirs {
				if i == 0 || rnd.IntN(10) < 8 {
					some = append(some, d)
				}
			}
			roots = append(roots, s.tree(some...))
		}
	})
	for _, mode := range []stats.Mode{stats.FilesByContents, stats.BlobsPerFile, stats.RawData} {
		c.take()
		got := count(t, r, mode, roots...)
		if n := c.take(); n != trees {
			t.Errorf("%v loaded %d trees, want %d", mode, n, trees)
		}
		if got.Snapshots != 20 {
			t.Errorf("%v: %d snapshots", mode, got.Snapshots)
		}
	}
	// Several goroutines may come to a tree at the same time here.
	c.take()
	count(t, r, stats.RestoreSize, roots...)
	if n := c.take(); n > 2*trees {
		t.Errorf("restore-size loaded %d trees of %d", n, trees)
	}
	got := count(t, r, stats.BlobsPerFile, roots...)
	if got.Files != 101 || got.Blobs != 1+200 || got.Size != 5+100*5+10+2*90 {
		t.Errorf("blobs per file: %+v", got)
	}
	got = count(t, r, stats.FilesByContents, roots...)
	if got.Files != 1+1+100 || got.Size != 5+99*100/2 { // all folders are one item
		t.Errorf("files by contents: %+v", got)
	}
	got = count(t, r, stats.RawData, roots...)
	if got.Blobs != trees+101 || !got.Compresses() || got.Uncompressed < got.Size || got.Ratio() < 1 || got.Progress() > 100 || got.Saving() < 0 {
		t.Errorf("raw data: %+v", got)
	}
}

func TestMissingTreesEndTheCount(t *testing.T) {
	r, _ := newRepo(t)
	var root, file2 crypto.ID
	missing := crypto.Hash([]byte("missing"))
	write(t, r, func(s saver) {
		root = s.tree(dir("d", missing))
		file2 = s.tree(file("f", 3, missing, missing))
	})
	for mode := stats.RestoreSize; mode <= stats.RawData; mode++ {
		if _, err := stats.Run(t.Context(), r, snapshots(root), &stats.Options{Mode: mode}); err == nil {
			t.Errorf("%v counts without a tree", mode)
		}
	}
	_, err := stats.Run(t.Context(), r, snapshots(file2), &stats.Options{Mode: stats.BlobsPerFile})
	if !errors.As(err, new(*repo.MissingBlobError)) {
		t.Errorf("blob without a size: %v", err)
	}
	if _, err := stats.Run(t.Context(), r, []*snapshot.Snapshot{{}}, nil); err == nil {
		t.Error("counts a snapshot without a tree")
	}
	if _, err := stats.ParseMode("nothing"); err == nil {
		t.Error("unknown mode passes")
	}
}
