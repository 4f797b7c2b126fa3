package repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/tree"
)

// TreeBuilder collects the JSON of a tree, in memory while it is small and
// then in a temporary file, so that memory does not grow with the folder. It
// is not safe for concurrent use. Close releases it.
type TreeBuilder struct {
	temp    string // folder for the file
	buf     []byte // not in file yet
	entries int
	last    string // name that Add added last

	file *os.File // nil: all in buf
	size int64    // of file
	sum  hash.Hash

	finished bool
	id       crypto.ID
}

// NewTreeBuilder returns a TreeBuilder for a tree without nodes.
func (r *Repo) NewTreeBuilder() *TreeBuilder {
	return &TreeBuilder{temp: r.opts.TempDir, buf: append([]byte(nil), tree.Header...)}
}

// Len returns the number of nodes.
func (b *TreeBuilder) Len() int { return b.entries }

// Add adds a node. A name that does not come after that of the node before
// gives a [*tree.OrderError]; like a node that can't be encoded it is left
// out, and the tree may go on.
func (b *TreeBuilder) Add(n *tree.Node) error {
	if b.entries > 0 && n.Name <= b.last {
		return &tree.OrderError{Previous: b.last, Name: n.Name}
	}
	buf, err := tree.AppendNode(b.buf, n)
	if err != nil {
		return err
	}
	b.buf, b.last = append(buf, ','), n.Name
	b.entries++
	return b.spillLarge()
}

// Append adds nodes that [tree.AppendNode] has encoded, each with a comma
// behind it. The caller sees to their order.
func (b *TreeBuilder) Append(nodes []byte, count int) error {
	b.buf = append(b.buf, nodes...)
	b.entries += count
	return b.spillLarge()
}

func (b *TreeBuilder) spillLarge() error {
	if len(b.buf) < LargeBlob {
		return nil
	}
	return b.spill(1) // the last byte may be a comma too many
}

// spill moves buf to the file, but for the last keep bytes.
func (b *TreeBuilder) spill(keep int) error {
	if b.file == nil {
		f, err := os.CreateTemp(b.temp, "garner-tree-")
		if err != nil {
			return fmt.Errorf("temporary file for a large folder: %w", err)
		}
		_ = os.Remove(f.Name()) // where an open file can't be removed, Close does it
		b.file, b.sum = f, sha256.New()
	}
	n := len(b.buf) - keep
	b.sum.Write(b.buf[:n])
	if _, err := b.file.Write(b.buf[:n]); err != nil {
		return fmt.Errorf("temporary file for a large folder: %w", err)
	}
	b.size += int64(n)
	b.buf = append(b.buf[:0], b.buf[n:]...)
	return nil
}

// Finish completes the tree and returns its ID. Nothing can be added after
// that.
func (b *TreeBuilder) Finish() (crypto.ID, error) {
	if b.finished {
		return b.id, nil
	}
	if n := len(b.buf) - 1; b.entries > 0 && b.buf[n] == ',' {
		b.buf = b.buf[:n]
	}
	b.buf = append(b.buf, tree.Trailer...)
	if b.file == nil {
		b.id = crypto.Hash(b.buf)
	} else {
		if err := b.spill(0); err != nil {
			return crypto.ID{}, err
		}
		b.id = crypto.ID(b.sum.Sum(nil))
	}
	b.finished = true
	return b.id, nil
}

// Size returns the length of the finished tree in bytes.
func (b *TreeBuilder) Size() int64 { return b.size + int64(len(b.buf)) }

// Save completes the tree, if Finish has not, and stores it.
func (b *TreeBuilder) Save(ctx context.Context, w *Writer) (SavedBlob, error) {
	id, err := b.Finish()
	if err != nil {
		return SavedBlob{}, err
	}
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	if b.file == nil {
		return w.SaveHashed(ctx, h, b.buf)
	}
	return w.SaveLarge(ctx, h, io.NewSectionReader(b.file, 0, b.size))
}

// Close releases the builder.
func (b *TreeBuilder) Close() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	if rerr := os.Remove(b.file.Name()); rerr != nil && !errors.Is(rerr, os.ErrNotExist) && err == nil {
		err = rerr
	}
	b.file = nil
	return err
}
