package stats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

// pathKey stands for a path, or for a blob at a path: 16 bytes are enough for
// none of a set that fits in memory to meet another.
type pathKey [16]byte

// blobsPerFile counts blobs by path. The trees are walked in order, as a
// content counts where it is seen first. A tree that was read once has no new
// content anywhere else.
func (c *counter) blobsPerFile(ctx context.Context, roots []crypto.ID) error {
	w := &pathWalk{
		counter: c, contents: c.newContents(),
		trees: index.NewBitmap(c.view.Len()), seen: make(map[pathKey]struct{}),
	}
	ahead := c.repo.TreesAhead(func(id crypto.ID) bool {
		at, ok := c.view.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id})
		return ok && !w.trees.Has(at)
	})
	for _, root := range roots {
		if known, err := w.visited(root); known || err != nil {
			if err != nil {
				return err
			}
			c.obs.Snapshots.Add(1)
			continue
		}
		if err := tree.Walk(ctx, ahead, root, w.node); err != nil {
			return err
		}
		c.obs.Snapshots.Add(1)
	}
	return nil
}

type pathWalk struct {
	*counter
	*contents
	trees index.Bitmap // that were read
	seen  map[pathKey]struct{}
	buf   []byte
}

// visited reports whether the tree was read before, and notes that it is.
func (w *pathWalk) visited(id crypto.ID) (bool, error) {
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	at, ok := w.counter.view.Ordinal(h)
	if !ok {
		return false, &repo.MissingBlobError{Blob: h}
	}
	return !w.trees.Add(at), nil
}

func (w *pathWalk) node(path string, n *tree.Node, err error) error {
	switch {
	case err != nil && !errors.As(err, new(*tree.NameError)): // odd names count as well
		return fmt.Errorf("%s: %w", path, err)
	case n.Type == tree.TypeDir && !n.Subtree.IsZero():
		known, err := w.visited(n.Subtree)
		if known {
			return fs.SkipDir
		}
		return err
	case len(n.Content) == 0 || !w.add(n.Content):
		return nil
	}
	if w.fresh(path, nil) {
		w.totals.Files++
		w.obs.Files.Add(1)
	}
	for i := range n.Content {
		if !w.fresh(path, &n.Content[i]) {
			continue
		}
		h := index.BlobHandle{Type: index.DataBlob, ID: n.Content[i]}
		size, ok := w.repo.Index().PlaintextLength(h)
		if !ok {
			return fmt.Errorf("%s: %w", path, &repo.MissingBlobError{Blob: h})
		}
		w.totals.Blobs++
		w.totals.Size += uint64(size)
		w.obs.Bytes.Add(uint64(size))
	}
	return nil
}

// fresh notes a blob at a path, or the path itself, and reports whether it is
// new. An ID is never part of a path, as no name has a NUL byte.
func (w *pathWalk) fresh(path string, blob *crypto.ID) bool {
	w.buf = append(append(w.buf[:0], path...), 0)
	if blob != nil {
		w.buf = append(w.buf, blob[:]...)
	}
	sum := crypto.Hash(w.buf)
	key := pathKey(sum[:16])
	_, known := w.seen[key]
	w.seen[key] = struct{}{}
	return !known
}
