package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// RecoveredTag and RecoveredPath mark the snapshots that Recover makes.
const (
	RecoveredTag  = "recovered"
	RecoveredPath = "/recover"
)

// RecoverOptions say how Recover works; nil is the default.
type RecoverOptions struct {
	// Snapshot is what the new snapshot says of its maker: host, user, time
	// and program. Tree, Paths and Tags are set by Recover. A zero time is
	// now.
	Snapshot snapshot.Snapshot
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// RecoverResult tells what Recover found.
type RecoverResult struct {
	Roots    []crypto.ID // trees that no snapshot and no other tree has, sorted
	Trees    int         // read
	Snapshot crypto.ID   // zero if there are no roots
}

// Recover repairs the index, as Index does, and makes a snapshot with a folder
// for each tree that belongs to no snapshot and to no other tree: what is left
// of snapshots that were removed. A folder's name is the first 8 digits of the
// tree's ID.
func Recover(ctx context.Context, r *repo.Repo, opts *RecoverOptions) (*RecoverResult, error) {
	if opts == nil {
		opts = &RecoverOptions{}
	}
	c := &recovery{repo: r, watcher: watch(opts.Observer)}
	// Snapshots first: an index that is loaded later has all they need.
	var roots []crypto.ID
	for sn, err := range r.AllSnapshots(ctx) {
		switch {
		case sn == nil:
			return nil, err
		case err == nil && sn.Tree != nil:
			roots = append(roots, *sn.Tree)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		// What a snapshot that can't be read refers to is recovered.
	}
	if _, err := Index(ctx, r, &IndexOptions{Observer: opts.Observer}); err != nil {
		return nil, err
	}
	c.view = r.Index().View()
	c.inner = index.NewBitmap(c.view.Len())
	c.unreadable = index.NewBitmap(c.view.Len())
	for _, id := range roots {
		c.note(id)
	}
	if err := c.readTrees(ctx); err != nil {
		return nil, err
	}
	res := &RecoverResult{Trees: c.trees, Roots: c.roots()}
	if len(res.Roots) == 0 {
		return res, nil
	}
	sn := opts.Snapshot
	if sn.Time.IsZero() {
		sn.Time = time.Now()
	}
	sn.Paths, sn.Tags = []string{RecoveredPath}, []string{RecoveredTag}
	var err error
	if sn.Tree, err = c.saveTree(ctx, res.Roots, sn.Time); err != nil {
		return res, err
	}
	res.Snapshot, err = r.SaveSnapshot(ctx, &sn)
	return res, err
}

// recovery is the state of one Recover.
type recovery struct {
	*watcher
	repo       *repo.Repo
	view       *index.View
	inner      index.Bitmap // trees that a snapshot or another tree has
	unreadable index.Bitmap
	trees      int // read
}

// note marks a tree as one that is not to be recovered on its own.
func (c *recovery) note(id crypto.ID) {
	if at, ok := c.view.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id}); ok {
		c.inner.Add(at)
	}
}

// treePositions yields the position of each tree once.
func (c *recovery) treePositions(yield func(int) bool) {
	for at := range c.view.Len() {
		if c.view.First(at) && c.view.At(at).Type == index.TreeBlob && !yield(at) {
			return
		}
	}
}

// readTrees reads all trees and notes their subtrees. Those that can't be
// read are reported and left alone.
func (c *recovery) readTrees(ctx context.Context) error {
	for range c.treePositions {
		c.trees++
	}
	c.phase(PhaseTrees, c.trees)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(c.repo.Backend()), 4))
	for at := range c.treePositions {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			id := c.view.At(at).ID
			err := c.readTree(gctx, id)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			if err != nil {
				if format := (*tree.FormatError)(nil); !isDamage(err) && !errors.As(err, &format) {
					return fmt.Errorf("tree %s: %w", id.Short(), err)
				}
				c.unreadable.Add(at)
				c.found(Finding{Kind: UnreadableTree, Blob: index.BlobHandle{Type: index.TreeBlob, ID: id}, Err: err})
			}
			c.done()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (c *recovery) readTree(ctx context.Context, id crypto.ID) error {
	nodes, err := c.repo.LoadTree(ctx, id)
	if err != nil {
		return err
	}
	defer nodes.Close()
	var n tree.Node
	for {
		err := nodes.Next(&n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n.Type == tree.TypeDir {
			c.note(n.Subtree)
		}
	}
}

// roots returns the trees that nothing refers to.
func (c *recovery) roots() []crypto.ID {
	var ids []crypto.ID
	for at := range c.treePositions {
		if !c.inner.Has(at) && !c.unreadable.Has(at) {
			ids = append(ids, c.view.At(at).ID)
		}
	}
	slices.SortFunc(ids, crypto.ID.Compare)
	return ids
}

// saveTree stores a tree with a folder for each of the trees, which are
// sorted.
func (c *recovery) saveTree(ctx context.Context, ids []crypto.ID, now time.Time) (*crypto.ID, error) {
	b := c.repo.NewTreeBuilder()
	defer b.Close()
	last := ""
	for _, id := range ids {
		name := id.Short()
		if name == last || len(last) > len(name) && last[:len(name)] == name {
			name = id.String() // two trees whose IDs begin alike
		}
		last = name
		n := tree.Node{Name: name, Type: tree.TypeDir, Mode: fs.ModeDir | 0o755,
			ModTime: now, AccessTime: now, ChangeTime: now, Subtree: id}
		if err := b.Add(&n); err != nil {
			return nil, err
		}
	}
	var saved repo.SavedBlob
	err := c.repo.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		var err error
		saved, err = b.Save(ctx, w)
		return err
	})
	return &saved.ID, err
}
