package repo

import (
	"context"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// TreesAhead loads trees for whoever walks them in order: while the nodes of
// a tree are read, the trees of the folders that come next are on their way.
// It is a [tree.Loader], for one goroutine at a time.
type TreesAhead struct {
	repo  *Repo
	want  func(id crypto.ID) bool
	slots chan struct{}              // for loads that nobody has asked for yet
	loads map[crypto.ID]*loadedAhead // by tree, those that nobody has asked for
	free  []*AheadReader             // closed, with memory to use again
}

// loadedAhead is a tree on its way.
type loadedAhead struct {
	id     crypto.ID
	cancel context.CancelFunc
	done   chan struct{}
	// What LoadTree returned, once done is closed.
	tree *TreeReader
	err  error
}

// nodesAhead is how many nodes of a tree are decoded before they are asked
// for, to find folders among them.
const nodesAhead = 64

// TreesAhead returns a loader for one walk after another. Of trees for which
// want is false nothing is loaded ahead; nil is all.
func (r *Repo) TreesAhead(want func(id crypto.ID) bool) *TreesAhead {
	return &TreesAhead{
		repo:  r,
		want:  want,
		slots: make(chan struct{}, max(backend.Connections(r.be), 4)),
		loads: make(map[crypto.ID]*loadedAhead),
	}
}

// LoadTree opens a tree, which must be closed before ctx ends.
func (a *TreesAhead) LoadTree(ctx context.Context, id crypto.ID) (*AheadReader, error) {
	var nodes *TreeReader
	var err error
	if l, ok := a.loads[id]; ok {
		a.release(l)
		nodes, err = l.tree, l.err
	} else {
		nodes, err = a.repo.LoadTree(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	t := new(AheadReader)
	if n := len(a.free); n > 0 {
		t = a.free[n-1]
		a.free = a.free[:n-1]
	}
	t.ahead, t.ctx, t.tree = a, ctx, nodes
	return t, nil
}

// start loads a tree in the background, unless that is under way. False means
// that no slot is free.
func (a *TreesAhead) start(ctx context.Context, id crypto.ID) (*loadedAhead, bool) {
	if _, ok := a.loads[id]; ok || id.IsZero() || a.want != nil && !a.want(id) {
		return nil, true
	}
	select {
	case a.slots <- struct{}{}:
	default:
		return nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &loadedAhead{id: id, cancel: cancel, done: make(chan struct{})}
	a.loads[id] = l
	go func() {
		defer close(l.done)
		l.tree, l.err = a.repo.LoadTree(ctx, id)
	}()
	return l, true
}

// release waits for a load and takes it from the list.
func (a *TreesAhead) release(l *loadedAhead) {
	<-l.done
	l.cancel()
	delete(a.loads, l.id)
	<-a.slots
}

// drop ends a load if nobody has asked for it.
func (a *TreesAhead) drop(l *loadedAhead) {
	if l == nil || a.loads[l.id] != l {
		return
	}
	l.cancel()
	a.release(l)
	if l.err == nil {
		_ = l.tree.Close()
	}
}

// AheadReader yields the nodes of a tree, as [TreeReader] does.
type AheadReader struct {
	ahead *TreesAhead
	ctx   context.Context // from LoadTree to Close
	tree  *TreeReader
	err   error // of reading tree; io.EOF at its end

	window [nodesAhead]struct { // a ring
		node tree.Node
		load *loadedAhead // nil: no folder, or loaded by another node
	}
	first, count int          // what is in the window
	started      int          // so many of count were looked at for folders
	last         *loadedAhead // that of the node that was returned last
}

// Next sets n to the next node, reusing its memory. After the last node the
// error is io.EOF.
func (t *AheadReader) Next(n *tree.Node) error {
	t.ahead.drop(t.last) // nobody went into that folder
	t.last = nil
	for t.err == nil && t.count < len(t.window) {
		w := &t.window[(t.first+t.count)%len(t.window)]
		if t.err = t.tree.Next(&w.node); t.err == nil {
			t.count++
		}
	}
	for t.started < t.count {
		w := &t.window[(t.first+t.started)%len(t.window)]
		if w.node.Type == tree.TypeDir {
			var ok bool
			if w.load, ok = t.ahead.start(t.ctx, w.node.Subtree); !ok {
				break
			}
		}
		t.started++
	}
	if t.count == 0 {
		return t.err
	}
	w := &t.window[t.first]
	*n, w.node = w.node, *n
	t.last, w.load = w.load, nil
	t.first = (t.first + 1) % len(t.window)
	t.count--
	t.started = max(0, t.started-1)
	return nil
}

// Close releases the reader, which must not be used any more, and what was
// loaded ahead.
func (t *AheadReader) Close() error {
	t.ahead.drop(t.last)
	t.last = nil
	for i := range t.count {
		w := &t.window[(t.first+i)%len(t.window)]
		t.ahead.drop(w.load)
		w.load = nil
	}
	t.first, t.count, t.started, t.err = 0, 0, 0, nil
	err := t.tree.Close()
	t.tree = nil
	t.ahead.free = append(t.ahead.free, t)
	return err
}
