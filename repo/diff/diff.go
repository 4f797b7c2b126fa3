// Package diff compares two snapshots, or folders of them: which items were
// added, removed and changed, and which blobs only one of the two needs.
//
// Start with [Run]. It compares what trees say and loads no file; equal blobs
// have equal IDs.
package diff

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

// Change is one item that differs.
type Change struct {
	Path string // from the compared folders on; ends with a slash for folders
	// Modifier is "+" for an item that only the second side has, "-" for one
	// that only the first has, or one or more of: "T" the type changed, "M"
	// the content changed, "U" only metadata did. "M?" means that the content
	// changed and nothing else, not even the times: damage, perhaps.
	Modifier string
}

// Counts is what one side has more than the other.
type Counts struct {
	Files, Dirs, Others  int // items by name
	DataBlobs, TreeBlobs int // that the other side does not need
	Bytes                uint64
}

// Totals is the outcome of a comparison.
type Totals struct {
	ChangedFiles   int // content changed
	Added, Removed Counts
}

// Options say how Run compares; nil is the default.
type Options struct {
	// Metadata also tells of items of which only metadata changed.
	Metadata bool
	// Change is called for each change, in the order of the paths. An error
	// ends the comparison.
	Change func(Change) error
	// Problem is called for what can't be read below the two trees. If it is
	// nil, or returns an error, the comparison ends; otherwise it goes on
	// without.
	Problem func(path string, err error) error
}

// Run compares two trees, a being the older one. The index must be loaded.
func Run(ctx context.Context, r *repo.Repo, a, b crypto.ID, opts *Options) (*Totals, error) {
	if opts == nil {
		opts = &Options{}
	}
	common := r.NewMarker()
	view, _ := common.Marks()
	c := &comparison{
		ctx: ctx, repo: r, opts: opts, ahead: r.TreesAhead(nil),
		before: newBlobSet(view), after: newBlobSet(view), common: common,
	}
	c.before.add(index.BlobHandle{Type: index.TreeBlob, ID: a})
	c.after.add(index.BlobHandle{Type: index.TreeBlob, ID: b})
	if err := c.run(a, b); err != nil {
		var caller callerError
		if errors.As(err, &caller) {
			return nil, caller.error
		}
		return nil, err
	}
	return &c.totals, nil
}

// comparison is one call of Run.
type comparison struct {
	ctx    context.Context
	repo   *repo.Repo
	opts   *Options
	ahead  *repo.TreesAhead // for folders that only one side has
	totals Totals

	before, after *blobSet // what is in folders that were compared
	common        *repo.Marker
	equal         []crypto.ID // trees that both sides have, to be marked in common
}

func (c *comparison) run(a, b crypto.ID) error {
	if a != b {
		if err := c.dirs("/", a, b); err != nil {
			return err
		}
	}
	if err := c.markCommon(1); err != nil {
		return err
	}
	if err := c.blobs(c.before, c.after, &c.totals.Removed); err != nil {
		return err
	}
	return c.blobs(c.after, c.before, &c.totals.Added)
}

// dirs compares two folders with different trees. Each tree is loaded and
// verified before the first item of it is told of.
func (c *comparison) dirs(prefix string, a, b crypto.ID) error {
	return tree.Pairs(c.ctx, c.repo, &a, &b, func(x, y *tree.Node) error {
		switch {
		case y == nil:
			return c.oneSided(prefix, x, "-", c.before, &c.totals.Removed)
		case x == nil:
			return c.oneSided(prefix, y, "+", c.after, &c.totals.Added)
		}
		return c.both(prefix, x, y)
	})
}

// both compares two items of one name.
func (c *comparison) both(prefix string, x, y *tree.Node) error {
	c.before.addNode(x)
	c.after.addNode(y)
	path := itemPath(prefix, y)
	mod := ""
	if x.Type != y.Type {
		mod = "T"
	}
	switch {
	case x.Type == tree.TypeFile && y.Type == tree.TypeFile && !sameContent(x.Content, y.Content):
		mod += "M"
		c.totals.ChangedFiles++
		if sameButContent(x, y) {
			mod += "?"
		}
	case c.opts.Metadata && !x.Equal(y):
		mod += "U"
	}
	if mod != "" {
		if err := c.change(path, mod); err != nil {
			return err
		}
	}
	if x.Type != tree.TypeDir || y.Type != tree.TypeDir {
		return nil
	}
	if x.Subtree == y.Subtree {
		c.equal = append(c.equal, x.Subtree)
		return c.markCommon(equalAtOnce)
	}
	return c.problem(path, c.dirs(path, x.Subtree, y.Subtree))
}

// sameContent is restic's comparison: a missing list is not an empty one.
func sameContent(a, b []crypto.ID) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

func sameButContent(x, y *tree.Node) bool {
	a, b := *x, *y
	a.Content, b.Content = nil, nil
	return a.Equal(&b)
}

func itemPath(prefix string, n *tree.Node) string {
	if n.Type == tree.TypeDir {
		return prefix + n.Name + "/"
	}
	return prefix + n.Name
}

// oneSided tells of an item, and all that is below it, that the other side
// does not have.
func (c *comparison) oneSided(prefix string, n *tree.Node, mod string, blobs *blobSet, counts *Counts) error {
	count := func(path string, n *tree.Node) error {
		switch n.Type {
		case tree.TypeFile:
			counts.Files++
		case tree.TypeDir:
			counts.Dirs++
		default:
			counts.Others++
		}
		blobs.addNode(n)
		return c.change(path, mod)
	}
	top := itemPath(prefix, n)
	if err := count(top, n); err != nil || n.Type != tree.TypeDir {
		return err
	}
	return tree.Walk(c.ctx, c.ahead, n.Subtree, func(path string, n *tree.Node, err error) error {
		path = top + path[1:]
		switch {
		case err != nil && !errors.As(err, new(*tree.NameError)): // an odd name is a name
			return c.problem(path, err)
		case n.Type == tree.TypeDir:
			path += "/"
		}
		return count(path, n)
	})
}

func (c *comparison) change(path, mod string) error {
	if c.opts.Change == nil {
		return nil
	}
	if err := c.opts.Change(Change{Path: path, Modifier: mod}); err != nil {
		return callerError{err}
	}
	return nil
}

// callerError marks what ends the comparison whatever Problem thinks.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

// problem decides whether an error below the two trees ends the comparison.
func (c *comparison) problem(path string, err error) error {
	if err == nil || c.ctx.Err() != nil || errors.As(err, new(callerError)) {
		return err
	}
	if c.opts.Problem == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := c.opts.Problem(path, err); err != nil {
		return callerError{err}
	}
	return nil
}

// equalAtOnce is how many equal trees are gathered before they are walked.
const equalAtOnce = 1000

// markCommon walks the trees that both sides have, if there are enough of
// them: a blob in them is nothing that was added or removed elsewhere.
func (c *comparison) markCommon(enough int) error {
	if len(c.equal) < enough {
		return nil
	}
	list := c.equal
	c.equal = c.equal[:0]
	err := c.common.Mark(c.ctx, list, nil)
	if errors.As(err, new(*repo.MissingBlobsError)) {
		return nil // nothing that is missing can be counted
	}
	return c.problem("/", err)
}

// blobs counts those of one set that are neither in the other nor in common.
func (c *comparison) blobs(set, other *blobSet, counts *Counts) error {
	view, common := c.common.Marks()
	for at := range view.Len() {
		if !set.known.Has(at) || other.known.Has(at) || common.Has(at) {
			continue
		}
		b := view.At(at)
		counts.blob(b.Type)
		counts.Bytes += uint64(b.PlaintextLength())
	}
	for h := range set.missing {
		if _, ok := other.missing[h]; ok {
			continue
		}
		counts.blob(h.Type)
		if err := c.problem("/", &repo.MissingBlobError{Blob: h}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Counts) blob(t index.BlobType) {
	if t == index.TreeBlob {
		c.TreeBlobs++
	} else {
		c.DataBlobs++
	}
}

// blobSet is a bit for each blob of the index. Those that the index lacks are
// kept by their names.
type blobSet struct {
	view    *index.View
	known   index.Bitmap
	missing map[index.BlobHandle]struct{}
}

func newBlobSet(v *index.View) *blobSet {
	return &blobSet{v, index.NewBitmap(v.Len()), make(map[index.BlobHandle]struct{})}
}

func (s *blobSet) add(h index.BlobHandle) {
	if at, ok := s.view.Ordinal(h); ok {
		s.known.Add(at)
	} else {
		s.missing[h] = struct{}{}
	}
}

// addNode adds what an item refers to itself.
func (s *blobSet) addNode(n *tree.Node) {
	switch n.Type {
	case tree.TypeFile:
		for _, id := range n.Content {
			s.add(index.BlobHandle{Type: index.DataBlob, ID: id})
		}
	case tree.TypeDir:
		s.add(index.BlobHandle{Type: index.TreeBlob, ID: n.Subtree})
	}
}
