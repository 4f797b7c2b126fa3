package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// Marker finds out which blobs are in use: all that can be reached from the
// trees it is given. It reads every tree once however many snapshots share
// it, several at a time, and remembers a bit for each blob of the index.
type Marker struct {
	repo   *Repo
	layers []markLayer // the index as it grew, oldest first
}

// markLayer is the set of used blobs of a view. A blob counts in the first
// layer that knows it.
type markLayer struct {
	view *index.View
	used index.Bitmap
}

// NewMarker returns a Marker over the index as it is now, with no blob in
// use.
func (r *Repo) NewMarker() *Marker {
	m := &Marker{repo: r}
	m.Extend()
	return m
}

// Extend takes in what was added to the index since. What is marked stays.
func (m *Marker) Extend() {
	v := m.repo.index.View()
	m.layers = append(m.layers, markLayer{v, index.NewBitmap(v.Len())})
}

// Used reports whether a blob was reached.
func (m *Marker) Used(h index.BlobHandle) bool {
	for _, l := range m.layers {
		if at, ok := l.view.Ordinal(h); ok {
			return l.used.Has(at)
		}
	}
	return false
}

// Marks returns the view that the Marker began with, and the set of its blobs
// that were reached, by [index.View.Ordinal].
func (m *Marker) Marks() (*index.View, index.Bitmap) { return m.layers[0].view, m.layers[0].used }

// add reports whether the blob was not reached before.
func (m *Marker) add(h index.BlobHandle) (fresh, known bool) {
	for _, l := range m.layers {
		if at, ok := l.view.Ordinal(h); ok {
			return l.used.Add(at), true
		}
	}
	return false, false
}

// MissingBlobsError means that the index lacks blobs that snapshots need.
type MissingBlobsError struct {
	Blobs []index.BlobHandle // some of them
	Count int                // how many were found missing; one may count several times
}

func (e *MissingBlobsError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("blob %v is needed and not in the index", e.Blobs[0])
	}
	return fmt.Sprintf("%d blobs are needed and not in the index, for example %v", e.Count, e.Blobs[0])
}

// maxMissing is how many blobs a MissingBlobsError lists.
const maxMissing = 20

// Mark adds all blobs that the trees need, themselves included. done, if not
// nil, is called for each root, from one goroutine, about when it is
// finished. If blobs are not in the index, everything else is marked and the
// error is a [*MissingBlobsError]; a tree that can't be read ends the work.
func (m *Marker) Mark(ctx context.Context, roots []crypto.ID, done func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &markWalk{m: m, ctx: ctx, cancel: cancel, slots: make(chan struct{}, max(backend.Connections(m.repo.be), 4))}
	for _, root := range roots {
		w.visit(root)
		if done != nil {
			done()
		}
	}
	w.wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w.missing.Count > 0 {
		return &w.missing
	}
	return nil
}

// markWalk is one call of Mark.
type markWalk struct {
	m      *Marker
	ctx    context.Context
	cancel context.CancelCauseFunc
	slots  chan struct{} // for trees being read in goroutines of their own
	wg     sync.WaitGroup

	mu      sync.Mutex
	missing MissingBlobsError // owned by mu
}

func (w *markWalk) mark(h index.BlobHandle) (fresh bool) {
	fresh, known := w.m.add(h)
	if !known {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.missing.Count++
		if len(w.missing.Blobs) < maxMissing {
			w.missing.Blobs = append(w.missing.Blobs, h)
		}
	}
	return fresh
}

// visit marks a tree and all below it, in a goroutine of its own while there
// are slots.
func (w *markWalk) visit(id crypto.ID) {
	if !w.mark(index.BlobHandle{Type: index.TreeBlob, ID: id}) || w.ctx.Err() != nil {
		return
	}
	select {
	case w.slots <- struct{}{}:
		w.wg.Go(func() {
			defer func() { <-w.slots }()
			w.read(id)
		})
	default:
		w.read(id)
	}
}

// read marks what one tree lists. The tree is closed before the trees below
// it are opened, so that memory does not grow with the depth.
func (w *markWalk) read(id crypto.ID) {
	subtrees, err := w.scan(id)
	if err != nil {
		w.cancel(fmt.Errorf("tree %s: %w", id.Short(), err))
		return
	}
	for _, sub := range subtrees {
		w.visit(sub)
	}
}

// scan marks the contents of the files in a tree and returns its subtrees.
func (w *markWalk) scan(id crypto.ID) (subtrees []crypto.ID, err error) {
	nodes, err := w.m.repo.LoadTree(w.ctx, id)
	if err != nil {
		return nil, err
	}
	defer nodes.Close()
	var n tree.Node
	for w.ctx.Err() == nil {
		switch err := nodes.Next(&n); {
		case errors.Is(err, io.EOF):
			return subtrees, nil
		case err != nil:
			return nil, err
		case n.Type == tree.TypeDir && !n.Subtree.IsZero():
			subtrees = append(subtrees, n.Subtree)
		case n.Type == tree.TypeFile:
			for _, c := range n.Content {
				w.mark(index.BlobHandle{Type: index.DataBlob, ID: c})
			}
		}
	}
	return nil, context.Cause(w.ctx)
}
