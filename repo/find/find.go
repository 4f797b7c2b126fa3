// Package find looks through snapshots: [Names] for items by name and time,
// [Objects] for the places where blobs and trees are in use.
//
// A search is made once and goes through as many snapshots as are wanted, one
// after another. It remembers the trees below which there is nothing, so that
// what snapshots share is read once unless something was found in it.
package find

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

// walk visits the nodes of a snapshot in order and tells which trees have no
// hit in or below them.
type walk struct {
	repo  *repo.Repo
	ahead *repo.TreesAhead
	// barren reports whether a tree at a path is known to have no hit.
	barren func(path string, id crypto.ID) bool
	// setBarren notes one.
	setBarren func(path string, id crypto.ID)
	// problem is told of trees that can't be read.
	problem func(path string, err error) error

	open []openTree // the folders around the node that was visited last
	hits int        // so far
}

// openTree is a folder that is being visited.
type openTree struct {
	path string
	id   crypto.ID
	hits int  // when it was entered
	bad  bool // not all of it could be read
}

// leave ends the folders that the next node is not in. Depth is that of the
// node: 1 for what is in the root.
func (w *walk) leave(depth int) {
	for len(w.open) > depth {
		o := w.open[len(w.open)-1]
		w.open = w.open[:len(w.open)-1]
		if o.hits == w.hits && !o.bad {
			w.setBarren(o.path, o.id)
		}
		if o.bad && len(w.open) > 0 {
			w.open[len(w.open)-1].bad = true
		}
	}
}

// run calls visit for each node with its path and the tree that lists it.
// What it returns is as in [tree.WalkFunc]; a hit is counted by the caller.
func (w *walk) run(ctx context.Context, root crypto.ID, visit func(path string, in crypto.ID, n *tree.Node) error) error {
	if w.barren("/", root) {
		return nil
	}
	w.open = append(w.open[:0], openTree{path: "/", id: root, hits: w.hits})
	ended := false
	err := tree.Walk(ctx, w.ahead, root, func(path string, n *tree.Node, err error) error {
		if err != nil && !errors.As(err, new(*tree.NameError)) { // odd names are names
			return w.failed(path, n, err)
		}
		w.leave(strings.Count(path, "/"))
		err = visit(path, w.open[len(w.open)-1].id, n)
		if err == fs.SkipAll {
			ended = true
		}
		if err != nil || n.Type != tree.TypeDir {
			return err
		}
		if w.barren(path, n.Subtree) {
			return fs.SkipDir
		}
		w.open = append(w.open, openTree{path: path, id: n.Subtree, hits: w.hits})
		return nil
	})
	if err == nil && !ended {
		w.leave(0)
	}
	return err
}

// failed takes note of a folder that can't be read, or not to its end.
func (w *walk) failed(path string, n *tree.Node, err error) error {
	depth := 1
	if n != nil {
		depth = strings.Count(path, "/") + 1
	}
	w.leave(depth)
	w.open[len(w.open)-1].bad = true
	if w.problem == nil {
		return err
	}
	return w.problem(path, err)
}

// treeAt returns the position of a tree in the index.
func treeAt(v *index.View, id crypto.ID) (int, bool) {
	return v.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id})
}
