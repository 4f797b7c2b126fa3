package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// eachNode calls fn for the nodes of one tree and returns its subtrees. The
// tree is closed when it returns, so that memory does not grow with the depth.
func eachNode(ctx context.Context, r *repo.Repo, id crypto.ID, fn func(n *tree.Node)) (subtrees []crypto.ID, err error) {
	nodes, err := r.LoadTree(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", id.Short(), err)
	}
	defer nodes.Close()
	var n tree.Node
	for ctx.Err() == nil {
		switch err := nodes.Next(&n); {
		case errors.Is(err, io.EOF):
			return subtrees, nil
		case err != nil:
			return nil, fmt.Errorf("tree %s: %w", id.Short(), err)
		}
		fn(&n)
		if n.Type == tree.TypeDir && !n.Subtree.IsZero() {
			subtrees = append(subtrees, n.Subtree)
		}
	}
	return nil, context.Cause(ctx)
}

// forker runs work on trees in goroutines while there are free ones, and else
// where it is, so that work may fork again without waiting.
type forker struct {
	slots  chan struct{}
	cancel context.CancelCauseFunc
}

func newForker(ctx context.Context, r *repo.Repo) (*forker, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &forker{make(chan struct{}, max(backend.Connections(r.Backend()), 4)), cancel}, ctx
}

// all calls fn for each tree and waits for them. An error ends all work; it
// is the cause of the context from then on.
func (f *forker) all(ctx context.Context, ids []crypto.ID, fn func(i int, id crypto.ID) error) error {
	var wg sync.WaitGroup
	run := func(i int, id crypto.ID) {
		if err := fn(i, id); err != nil {
			f.cancel(err)
		}
	}
	for i, id := range ids {
		if ctx.Err() != nil {
			break
		}
		select {
		case f.slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-f.slots }()
				run(i, id)
			})
		default:
			run(i, id)
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// restoreSize counts every item of every snapshot. A tree that several
// snapshots share is read once, unless hard links are below it: which of
// their names counts depends on the snapshot.
func (c *counter) restoreSize(ctx context.Context, roots []crypto.ID) error {
	f, ctx := newForker(ctx, c.repo)
	defer f.cancel(nil)
	w := &sizeWalk{counter: c, ctx: ctx, forker: f, sums: make(map[int]sum)}
	for _, root := range roots {
		s, err := w.tree(root, &linkSet{seen: make(map[inode]struct{})})
		if err != nil {
			return err
		}
		c.totals.Files += s.items
		c.totals.Size += s.size
		c.obs.Snapshots.Add(1)
	}
	return nil
}

// sum is what is below a tree.
type sum struct {
	items, size uint64
	linked      bool // there are hard links, so it is valid for one snapshot
}

type inode struct{ device, number uint64 }

// linkSet is the files with several names that were seen in a snapshot.
type linkSet struct {
	mu   sync.Mutex
	seen map[inode]struct{}
}

func (l *linkSet) add(n *tree.Node) (fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := inode{n.DeviceID, n.Inode}
	_, known := l.seen[id]
	l.seen[id] = struct{}{}
	return !known
}

type sizeWalk struct {
	*counter
	*forker
	ctx context.Context

	mu   sync.Mutex
	sums map[int]sum // of trees without hard links, by ordinal; owned by mu
}

func (w *sizeWalk) tree(id crypto.ID, links *linkSet) (sum, error) {
	at, ok := w.view.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id})
	if !ok {
		return sum{}, &repo.MissingBlobError{Blob: index.BlobHandle{Type: index.TreeBlob, ID: id}}
	}
	w.mu.Lock()
	s, ok := w.sums[at]
	w.mu.Unlock()
	if ok {
		return s, nil
	}
	subtrees, err := eachNode(w.ctx, w.repo, id, func(n *tree.Node) {
		s.items++
		switch {
		case n.Type == tree.TypeDir || n.Links == 1 || n.Size == 0 || n.Inode == 0:
			s.size += n.Size
		case links.add(n):
			s.size += n.Size
			s.linked = true
		default:
			s.linked = true
		}
	})
	if err != nil {
		return sum{}, err
	}
	w.obs.Files.Add(s.items)
	w.obs.Bytes.Add(s.size)
	below := make([]sum, len(subtrees))
	err = w.all(w.ctx, subtrees, func(i int, id crypto.ID) (err error) {
		below[i], err = w.tree(id, links)
		return err
	})
	if err != nil {
		return sum{}, err
	}
	for _, b := range below {
		s.items += b.items
		s.size += b.size
		s.linked = s.linked || b.linked
	}
	if !s.linked {
		w.mu.Lock()
		w.sums[at] = s
		w.mu.Unlock()
	}
	return s, nil
}

// contents is a set of file contents: lists of blobs. A list of one blob,
// which most are, is a bit; of others the hash is kept.
type contents struct {
	view   *index.View
	single index.Bitmap

	mu    sync.Mutex
	other map[crypto.ID]struct{} // owned by mu
}

func (c *counter) newContents() *contents {
	return &contents{view: c.view, single: index.NewBitmap(c.view.Len()), other: make(map[crypto.ID]struct{})}
}

// add reports whether the content was not in the set before.
func (s *contents) add(list []crypto.ID) bool {
	if len(list) == 1 {
		if at, ok := s.view.Ordinal(index.BlobHandle{Type: index.DataBlob, ID: list[0]}); ok {
			return s.single.Add(at)
		}
	}
	joined := make([]byte, 0, len(list)*len(crypto.ID{}))
	for _, id := range list {
		joined = append(joined, id[:]...)
	}
	key := crypto.Hash(joined)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.other[key]
	s.other[key] = struct{}{}
	return !known
}

// filesByContents counts contents. A tree that was read once has nothing new
// anywhere else.
func (c *counter) filesByContents(ctx context.Context, roots []crypto.ID) error {
	f, ctx := newForker(ctx, c.repo)
	defer f.cancel(nil)
	w := &contentWalk{counter: c, ctx: ctx, forker: f, contents: c.newContents(), trees: index.NewBitmap(c.view.Len())}
	for _, root := range roots {
		if err := w.tree(root); err != nil {
			return err
		}
		c.obs.Snapshots.Add(1)
	}
	c.totals.Files, c.totals.Size = c.obs.Files.Load(), c.obs.Bytes.Load()
	return nil
}

type contentWalk struct {
	*counter
	*forker
	*contents
	ctx   context.Context
	trees index.Bitmap // that were read
}

func (w *contentWalk) tree(id crypto.ID) error {
	at, ok := w.counter.view.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id})
	if !ok {
		return &repo.MissingBlobError{Blob: index.BlobHandle{Type: index.TreeBlob, ID: id}}
	}
	if !w.trees.Add(at) {
		return nil
	}
	subtrees, err := eachNode(w.ctx, w.repo, id, func(n *tree.Node) {
		if w.add(n.Content) {
			w.obs.Files.Add(1)
			w.obs.Bytes.Add(n.Size)
		}
	})
	if err != nil {
		return err
	}
	return w.all(w.ctx, subtrees, func(_ int, id crypto.ID) error { return w.tree(id) })
}
