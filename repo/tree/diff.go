package tree

import (
	"context"
	"io/fs"

	"github.com/garner-backup/garner/crypto"
)

// DiffFunc is called by [Diff] for each name whose nodes differ. One that is
// nil means that the name is missing on that side. For a directory it is
// called before what is in it. Path begins with a slash; the nodes are valid
// until the function returns.
//
// An error means that the directory can't be compared, or not to its end,
// because a tree can't be read or (an [*OrderError]) is not in order. Both
// nodes are nil if it is the root.
//
// Returning nil goes on, [fs.SkipDir] leaves out what is in the directory,
// [fs.SkipAll] ends the comparison without an error, and any other error ends
// it with that.
type DiffFunc func(path string, a, b *Node, err error) error

// Diff compares two trees and those below them. Nodes that are Equal are
// passed over, and directories with the same tree are not entered. A directory
// that is missing on the other side, or is something else there, is compared
// with an empty one. Diff fails only if fn does or ctx is done.
func Diff[R Reader](ctx context.Context, trees Loader[R], a, b crypto.ID, fn DiffFunc) error {
	if a == b {
		return nil
	}
	d := differ[R]{ctx, trees, fn}
	err := d.report("/", nil, nil, d.dirs("", &a, &b))
	if err == fs.SkipAll || err == fs.SkipDir {
		return nil
	}
	return err
}

type differ[R Reader] struct {
	ctx   context.Context // of one Diff
	trees Loader[R]
	fn    DiffFunc
}

func (d *differ[R]) report(path string, a, b *Node, err error) error {
	if unreadable, ok := err.(*readError); ok {
		return d.fn(path, a, b, unreadable.err)
	}
	return err
}

// dirs compares what is in two directories; nil stands for an empty one.
func (d *differ[R]) dirs(path string, a, b *crypto.ID) error {
	return Pairs(d.ctx, d.trees, a, b, func(x, y *Node) error {
		if err := d.pair(path, x, y); err != fs.SkipDir {
			return err
		}
		return nil
	})
}

// Pairs reads two directories in step, without those below them, and calls fn
// for each name with both nodes, of which one is nil if the name is missing
// on that side. A nil ID stands for an empty directory. The nodes are valid
// until fn returns. A tree that is not in order is an [*OrderError]; fn's
// error ends the reading.
func Pairs[R Reader](ctx context.Context, trees Loader[R], a, b *crypto.ID, fn func(a, b *Node) error) error {
	left, err := side(ctx, trees, a)
	if err != nil {
		return err
	}
	defer left.close()
	right, err := side(ctx, trees, b)
	if err != nil {
		return err
	}
	defer right.close()
	for {
		x, y := left.n, right.n
		switch {
		case x == nil && y == nil:
			return nil
		case x != nil && y != nil && x.Name < y.Name:
			y = nil
		case x != nil && y != nil && x.Name > y.Name:
			x = nil
		}
		if err := fn(x, y); err != nil {
			return err
		}
		if x != nil {
			err = left.advance()
		}
		if y != nil && err == nil {
			err = right.advance()
		}
		if err != nil {
			return err
		}
	}
}

// pair compares two nodes of one name, of which one may be nil.
func (d *differ[R]) pair(path string, a, b *Node) error {
	if a != nil && b != nil && a.Equal(b) {
		return nil
	}
	if a != nil {
		path += "/" + a.Name
	} else {
		path += "/" + b.Name
	}
	if err := d.fn(path, a, b, nil); err != nil {
		return err
	}
	x, y := subtree(a), subtree(b)
	if x == nil && y == nil || x != nil && y != nil && *x == *y {
		return nil
	}
	return d.report(path, a, b, d.dirs(path, x, y))
}

// subtree returns nil for what is no directory.
func subtree(n *Node) *crypto.ID {
	if n == nil || n.Type != TypeDir {
		return nil
	}
	return &n.Subtree
}

// diffSide is one of two trees that are read in step.
type diffSide struct {
	*cursor       // nil: an empty tree
	n       *Node // nil: no more
}

// side opens a tree and reads its first node.
func side[R Reader](ctx context.Context, trees Loader[R], id *crypto.ID) (*diffSide, error) {
	if id == nil {
		return &diffSide{}, nil
	}
	c, err := open(ctx, trees, *id)
	if err != nil {
		return nil, err
	}
	s := &diffSide{cursor: c}
	if err := s.advance(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// advance sets n to the next node. The tree must be in order, or the two
// sides would miss one another.
func (s *diffSide) advance() error {
	var last *string
	if s.n != nil {
		name := s.n.Name
		last = &name
	}
	s.n = nil
	more, err := s.cursor.advance()
	if err != nil || !more {
		return err
	}
	s.n = &s.cursor.n
	if last != nil && s.n.Name <= *last {
		return s.failed(&OrderError{Previous: *last, Name: s.n.Name})
	}
	return nil
}

func (s *diffSide) close() {
	if s.cursor != nil {
		s.cursor.close()
	}
}
