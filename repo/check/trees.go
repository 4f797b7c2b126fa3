package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// treeWalk visits every tree that the snapshots need, each once however many
// share it: a bit for each blob remembers it.
type treeWalk struct {
	c     *checker
	ctx   context.Context // of one checkTrees
	slots chan struct{}
	wg    sync.WaitGroup

	mu   sync.Mutex
	seen []uint64 // a bit for each blob of the index; owned by mu
}

// place is where in a snapshot a tree is; its path is joined when needed.
type place struct {
	snapshot crypto.ID
	parent   *place
	name     string
}

func (p *place) path() string {
	if p.parent == nil {
		return ""
	}
	return p.parent.path() + "/" + p.name
}

// checkTrees walks the trees of the snapshots.
func (c *checker) checkTrees(ctx context.Context, snapshots []*snapshot.Snapshot) error {
	c.phase(PhaseSnapshots, len(snapshots))
	for _, p := range c.unread {
		c.found(p)
	}
	w := &treeWalk{
		c:     c,
		ctx:   ctx,
		slots: make(chan struct{}, max(backend.Connections(c.repo.Backend()), 4)),
		seen:  make([]uint64, c.repo.Index().Len()/64+1),
	}
	for _, sn := range snapshots {
		top := &place{snapshot: sn.ID}
		if sn.Tree == nil || sn.Tree.IsZero() {
			c.found(Problem{Kind: DamagedSnapshot, Snapshot: sn.ID,
				File: backend.Handle{Type: backend.SnapshotFile, Name: sn.ID.String()}, Err: errors.New("snapshot without a tree")})
		} else {
			w.visit(top, *sn.Tree)
		}
		w.wg.Wait()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.report.Snapshots++
		c.done(PhaseSnapshots)
	}
	return nil
}

// mark reports whether the blob was not marked before.
func (w *treeWalk) mark(ordinal int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	word, bit := ordinal/64, uint64(1)<<(ordinal%64)
	if w.seen[word]&bit != 0 {
		return false
	}
	w.seen[word] |= bit
	return true
}

// visit checks a tree and those below it, in a goroutine of its own while
// there are slots.
func (w *treeWalk) visit(p *place, id crypto.ID) {
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	ordinal, ok := w.c.repo.Index().Ordinal(h)
	if !ok {
		w.problem(p, DamagedTree, h, fmt.Errorf("tree %s is not in the index", id))
		return
	}
	if !w.mark(ordinal) || w.ctx.Err() != nil {
		return
	}
	select {
	case w.slots <- struct{}{}:
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			defer func() { <-w.slots }()
			w.read(p, id)
		}()
	default:
		w.read(p, id)
	}
}

func (w *treeWalk) problem(p *place, kind Kind, blob index.BlobHandle, err error) {
	w.c.found(Problem{Kind: kind, Snapshot: p.snapshot, Path: p.path(), Blob: blob, Err: err})
}

// read checks the items of one tree.
func (w *treeWalk) read(p *place, id crypto.ID) {
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	nodes, err := w.c.repo.LoadTree(w.ctx, id)
	if err != nil {
		if w.ctx.Err() == nil {
			w.problem(p, DamagedTree, h, err)
		}
		return
	}
	defer nodes.Close()
	w.c.mu.Lock()
	w.c.report.Trees++
	w.c.mu.Unlock()
	var n tree.Node
	last := ""
	for first := true; w.ctx.Err() == nil; first = false {
		err := nodes.Next(&n)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.problem(p, DamagedTree, h, fmt.Errorf("tree %s: %w", id, err))
			return
		}
		if !first && n.Name <= last {
			w.problem(p, InvalidNode, h, fmt.Errorf("tree %s: %q follows %q: items are not in order or there are two of a name", id, n.Name, last))
		}
		last = n.Name
		w.node(p, h, &n)
	}
}

// node checks one item.
func (w *treeWalk) node(p *place, h index.BlobHandle, n *tree.Node) {
	at := &place{snapshot: p.snapshot, parent: p, name: n.Name}
	if err := tree.CheckName(n.Name); err != nil {
		w.problem(p, InvalidNode, h, err)
	}
	switch n.Type {
	case tree.TypeFile:
		w.file(at, h, n)
	case tree.TypeDir:
		if n.Subtree.IsZero() {
			w.problem(at, InvalidNode, h, errors.New("folder without a tree"))
			return
		}
		w.visit(at, n.Subtree)
	case tree.TypeSymlink, tree.TypeDevice, tree.TypeCharDevice, tree.TypeFifo, tree.TypeSocket:
	default:
		w.problem(at, InvalidNode, h, fmt.Errorf("item of unknown type %q", n.Type))
	}
}

func (w *treeWalk) file(p *place, h index.BlobHandle, n *tree.Node) {
	if n.Content == nil {
		w.problem(p, InvalidNode, h, errors.New("file without a list of its content"))
		return
	}
	for i, id := range n.Content {
		blob := index.BlobHandle{Type: index.DataBlob, ID: id}
		if !w.c.repo.HasBlob(blob) {
			w.problem(p, MissingBlob, blob, fmt.Errorf("part %d of the content, blob %s, is not in the index", i, id))
		}
	}
}
