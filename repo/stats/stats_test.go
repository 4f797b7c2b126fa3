package stats_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/garner-backup/garner/crypto"
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
	c := &counted{}
	c.Backend = layer.Observe(mem.New(), func(e layer.Event) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.Op == layer.OpLoad && e.Handle.Type == backend.PackFile {
			c.loads++
		}
	})
	return repotest.Open(t, c), c
}

func (c *counted) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.loads
	c.loads = 0
	return n
}

func linked(n tree.Node, inode uint64) tree.Node {
	n.Links, n.Inode = 2, inode
	return n
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
	repotest.Build(t, r, func(s *repotest.Builder) {
		a := s.Data("a")
		shared := s.Tree(linked(repotest.File("x", 100, a), 7), repotest.File("y", 1, a))
		one = s.Tree(repotest.Folder("d", shared), repotest.Folder("e", shared), linked(repotest.File("f", 100, a), 7))
		two = s.Tree(repotest.Folder("d", shared), linked(repotest.File("f", 50, a), 8), linked(repotest.File("g", 50, a), 8), linked(repotest.File("h", 9, a), 0), linked(repotest.File("i", 9, a), 0))
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
	repotest.Build(t, r, func(s *repotest.Builder) {
		shared := s.Tree(repotest.File("f", 5, s.Data("12345")))
		rnd := rand.New(rand.NewPCG(1, 1))
		var dirs []tree.Node
		for i := range 100 {
			id := s.Tree(repotest.File("g", uint64(i), s.Data(fmt.Sprint(i)), s.Data("12345")), repotest.Folder("shared", shared))
			dirs = append(dirs, repotest.Folder(fmt.Sprintf("%03d", i), id))
		}
		for i := range 20 {
			var some []tree.Node
			for _, d := range dirs {
				if i == 0 || rnd.IntN(10) < 8 {
					some = append(some, d)
				}
			}
			roots = append(roots, s.Tree(some...))
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
	repotest.Build(t, r, func(s *repotest.Builder) {
		root = s.Tree(repotest.Folder("d", missing))
		file2 = s.Tree(repotest.File("f", 3, missing, missing))
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
