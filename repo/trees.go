package repo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/tree"
)

// TreeReader yields the nodes of a tree. It is not safe for concurrent use.
type TreeReader struct {
	dec *tree.Decoder
	r   *Repo
	buf *[]byte   // from r.trees; nil: the tree is in a file
	big *BlobFile // nil: in memory
}

// treeBufferSize is the streaming buffer for trees that are not in memory.
const treeBufferSize = 1 << 20

func newTreePool() *sync.Pool { return &sync.Pool{New: func() any { return new([]byte) }} }

// LoadTree opens a tree. Its content is verified before the first node is
// returned. Huge trees are kept in a temporary file, so Close the reader.
func (r *Repo) LoadTree(ctx context.Context, id crypto.ID) (*TreeReader, error) {
	h := index.BlobHandle{Type: index.TreeBlob, ID: id}
	size, ok := r.index.PlaintextLength(h)
	if !ok {
		return nil, &MissingBlobError{Blob: h}
	}
	if size >= LargeBlob {
		f, err := r.LoadLarge(ctx, h)
		if err != nil {
			return nil, err
		}
		return &TreeReader{dec: tree.NewStreamDecoder(bufio.NewReaderSize(f, treeBufferSize)), big: f}, nil
	}
	buf := r.trees.Get().(*[]byte)
	plain, err := r.LoadBlob(ctx, h, *buf)
	if err != nil {
		r.trees.Put(buf)
		return nil, err
	}
	*buf = plain
	return &TreeReader{dec: tree.NewDecoder(plain), buf: buf, r: r}, nil
}

// Next sets n to the next node, reusing its memory. After the last node the
// error is io.EOF; any other error means that the tree is no valid tree.
func (t *TreeReader) Next(n *tree.Node) error { return t.dec.Next(n) }

// Close releases the reader. What it returned stays valid.
func (t *TreeReader) Close() error {
	if t.big != nil {
		return t.big.Close()
	}
	if t.buf != nil {
		t.r.trees.Put(t.buf)
		t.buf = nil
	}
	return nil
}

// FindTree returns the tree of a folder: path, separated by slashes, below
// the tree root.
func (r *Repo) FindTree(ctx context.Context, root crypto.ID, path string) (crypto.ID, error) {
	id := root
	walked := ""
	for _, name := range strings.Split(path, "/") {
		if name == "" || name == "." {
			continue
		}
		n, err := r.findNode(ctx, id, name)
		if err != nil {
			return crypto.ID{}, fmt.Errorf("folder %q: %w", walked+"/"+name, err)
		}
		if n.Type != tree.TypeDir || n.Subtree.IsZero() {
			return crypto.ID{}, fmt.Errorf("%q is not a folder in the snapshot", walked+"/"+name)
		}
		id = n.Subtree
		walked += "/" + name
	}
	return id, nil
}

// ErrPathNotFound means that a snapshot does not have a path.
var ErrPathNotFound = errors.New("path not found in the snapshot")

func (r *Repo) findNode(ctx context.Context, id crypto.ID, name string) (*tree.Node, error) {
	nodes, err := r.LoadTree(ctx, id)
	if err != nil {
		return nil, err
	}
	defer nodes.Close()
	for {
		n := new(tree.Node)
		switch err := nodes.Next(n); {
		case isEOF(err):
			return nil, ErrPathNotFound
		case err != nil:
			return nil, err
		case n.Name == name:
			return n, nil
		}
	}
}
