package repair

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// state says what is to be done about a tree.
type state uint8

const (
	sound   state = iota
	changed       // something in it or below it is lost
	lost          // it can't be read
)

// examiner finds the trees that are damaged, or are above damaged ones. Each
// tree is read once, however many snapshots share it. Sound trees are
// remembered in a bit, so that memory grows with the damage only.
type examiner struct {
	*watcher
	repo  *repo.Repo
	view  *index.View
	slots chan struct{} // goroutines beside the first

	sound index.Bitmap
	mu    sync.Mutex
	bad   map[crypto.ID]state         // owned by mu
	going map[crypto.ID]chan struct{} // closed when the tree is done; owned by mu
}

func newExaminer(r *repo.Repo, w *watcher) *examiner {
	view := r.Index().View()
	return &examiner{
		watcher: w,
		repo:    r,
		view:    view,
		slots:   make(chan struct{}, max(backend.Connections(r.Backend()), 4)),
		sound:   index.NewBitmap(view.Len()),
		bad:     make(map[crypto.ID]state),
		going:   make(map[crypto.ID]chan struct{}),
	}
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

func (p *place) child(name string) *place { return &place{p.snapshot, p, name} }

// examine returns the state of a tree. If another goroutine is at it, it
// waits: a tree can't be below itself, so there is always one that goes on.
func (x *examiner) examine(ctx context.Context, at *place, id crypto.ID) (state, error) {
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	ordinal, known := x.view.Ordinal(h)
	if id.IsZero() || !known {
		x.lost(at, &repo.MissingBlobError{Blob: h})
		return lost, nil
	}
	for {
		x.mu.Lock()
		if x.sound.Has(ordinal) {
			x.mu.Unlock()
			return sound, nil
		}
		if s, ok := x.bad[id]; ok {
			x.mu.Unlock()
			if s == lost {
				x.lost(at, nil) // each folder that has it becomes empty
			}
			return s, nil
		}
		if other, ok := x.going[id]; ok {
			x.mu.Unlock()
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return sound, context.Cause(ctx)
			}
		}
		done := make(chan struct{})
		x.going[id] = done
		x.mu.Unlock()
		s, err := x.read(ctx, at, id)
		x.mu.Lock()
		switch {
		case err != nil:
		case s == sound:
			x.sound.Add(ordinal)
		default:
			x.bad[id] = s
		}
		delete(x.going, id)
		close(done)
		x.mu.Unlock()
		x.done()
		return s, err
	}
}

func (x *examiner) lost(at *place, err error) {
	kind := LostTree
	if at.parent == nil {
		kind = LostRoot
	}
	x.found(Finding{Kind: kind, Snapshot: at.snapshot, Path: at.path(), Err: err})
}

// read examines the nodes of a tree, and the trees below it in goroutines of
// their own while there are slots. One that is not JSON to its end is lost.
func (x *examiner) read(ctx context.Context, at *place, id crypto.ID) (state, error) {
	nodes, err := x.repo.LoadTree(ctx, id)
	if err != nil {
		if !isDamage(err) {
			return sound, err
		}
		x.lost(at, err)
		return lost, nil
	}
	defer nodes.Close()
	g, ctx := errgroup.WithContext(ctx)
	var below changes
	var n tree.Node
	for ctx.Err() == nil {
		err := nodes.Next(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_ = g.Wait() // its error is of less interest: the tree goes
			x.lost(at, err)
			return lost, nil
		}
		if n.Type == tree.TypeDir {
			x.below(ctx, g, &below, at.child(n.Name), n.Subtree)
		} else if x.repairNode(at, &n) != untouched {
			below.note()
		}
	}
	if err := g.Wait(); err != nil {
		return sound, err
	}
	if below.any() {
		return changed, nil
	}
	return sound, nil
}

// changes notes whether something below a tree is damaged.
type changes struct {
	mu  sync.Mutex
	yes bool
}

func (c *changes) note() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.yes = true
}

func (c *changes) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.yes
}

// below examines a subtree, in g if there is a slot, else before it returns.
func (x *examiner) below(ctx context.Context, g *errgroup.Group, c *changes, at *place, id crypto.ID) {
	work := func() error {
		s, err := x.examine(ctx, at, id)
		if err == nil && s != sound {
			c.note()
		}
		return err
	}
	select {
	case x.slots <- struct{}{}:
		g.Go(func() error {
			defer func() { <-x.slots }()
			return work()
		})
	default:
		if err := work(); err != nil {
			g.Go(func() error { return err })
		}
	}
}

// touch says what was done to a node.
type touch uint8

const (
	untouched touch = iota
	mended
	dropped // the node is left out
)

// repairNode makes a node fit what is there, and tells of it unless at is nil.
// Folders are the caller's.
func (x *examiner) repairNode(at *place, n *tree.Node) touch {
	tell := func(kind Kind) {
		if at != nil {
			x.found(Finding{Kind: kind, Snapshot: at.snapshot, Path: at.path() + "/" + n.Name})
		}
	}
	switch n.Type {
	case "", tree.TypeIrregular:
		tell(InvalidNode)
		return dropped
	case tree.TypeFile:
	default:
		return untouched
	}
	kept := n.Content[:0]
	var size uint64
	for _, id := range n.Content {
		length, ok := x.repo.Index().PlaintextLength(index.BlobHandle{Type: index.DataBlob, ID: id})
		if ok {
			kept = append(kept, id)
			size += uint64(length)
		}
	}
	switch {
	case len(kept) < len(n.Content):
		tell(LostContent)
	case size != n.Size:
		tell(WrongSize)
	case n.Content == nil:
		tell(LostContent) // no list at all, which an empty file must have
	default:
		return untouched
	}
	if kept == nil {
		kept = []crypto.ID{}
	}
	n.Content, n.Size = kept, size
	return mended
}
