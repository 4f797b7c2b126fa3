package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/garner-backup/garner/crypto"
)

// Reader yields the nodes of one tree, as a [Decoder] does. If it is an
// [io.Closer] too, Walk and Diff close it.
type Reader interface {
	Next(*Node) error
}

// Loader opens trees by their IDs. A repository is one.
type Loader[R Reader] interface {
	LoadTree(ctx context.Context, id crypto.ID) (R, error)
}

// WalkFunc is called by [Walk] for each node, first for a directory and then
// for what is in it. Path begins with a slash; n is valid until the function
// returns.
//
// An error with a node means that the directory's tree can't be read, or not
// to its end, and comes after the nodes that could be read; n is nil if it is
// the root's. A [*NameError] means that path is nothing to rely on; it comes
// instead of the call without an error.
//
// Returning nil goes on, [fs.SkipDir] leaves out what is in n, or if n is no
// directory the rest of the one it is in, [fs.SkipAll] ends the walk without
// an error, and any other error ends it with that.
type WalkFunc func(path string, n *Node, err error) error

var errNoSubtree = errors.New("directory without a tree")

// Walk visits all nodes below a tree in order. It needs memory for one tree
// on each level. It fails only if fn does or ctx is done.
func Walk[R Reader](ctx context.Context, trees Loader[R], root crypto.ID, fn WalkFunc) error {
	w := walker[R]{ctx, trees, fn}
	err := w.report("/", nil, w.dir("", root))
	if err == fs.SkipAll || err == fs.SkipDir {
		return nil
	}
	return err
}

type walker[R Reader] struct {
	ctx   context.Context // of one Walk
	trees Loader[R]
	fn    WalkFunc
}

// readError marks what is wrong with a tree, as opposed to what ends the walk.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// report hands a readError to fn.
func (w *walker[R]) report(path string, n *Node, err error) error {
	if unreadable, ok := err.(*readError); ok {
		return w.fn(path, n, unreadable.err)
	}
	return err
}

// dir visits what is in a directory. Its path is empty for the root.
func (w *walker[R]) dir(path string, id crypto.ID) error {
	nodes, err := open(w.ctx, w.trees, id)
	if err != nil {
		return err
	}
	defer nodes.close()
	for {
		more, err := nodes.advance()
		if err != nil || !more {
			return err
		}
		err = w.visit(path+"/"+nodes.n.Name, &nodes.n)
		if err == fs.SkipDir {
			if nodes.n.Type != TypeDir {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
	}
}

func (w *walker[R]) visit(path string, n *Node) error {
	if err := w.fn(path, n, CheckName(n.Name)); err != nil || n.Type != TypeDir {
		return err
	}
	return w.report(path, n, w.dir(path, n.Subtree))
}

// cursor reads one tree.
type cursor struct {
	ctx context.Context // of one Walk or Diff
	id  crypto.ID
	r   Reader
	n   Node // the last one read
}

// open returns a cursor before the first node, a *readError, or the context's
// error.
func open[R Reader](ctx context.Context, trees Loader[R], id crypto.ID) (*cursor, error) {
	if id.IsZero() {
		return nil, &readError{errNoSubtree}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := trees.LoadTree(ctx, id)
	c := &cursor{ctx: ctx, id: id, r: r}
	if err != nil {
		return nil, c.failed(err)
	}
	return c, nil
}

func (c *cursor) failed(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return &readError{fmt.Errorf("tree %s: %w", c.id.Short(), err)}
}

// advance reads the next node; false is the end.
func (c *cursor) advance() (bool, error) {
	if c.ctx.Err() != nil {
		return false, context.Cause(c.ctx)
	}
	err := c.r.Next(&c.n)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, io.EOF):
		return false, nil
	}
	return false, c.failed(err)
}

// close lets go of the reader. What it has read was verified, so an error of
// closing means nothing.
func (c *cursor) close() {
	if closer, ok := c.r.(io.Closer); ok {
		_ = closer.Close()
	}
}
