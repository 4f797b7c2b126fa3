package backup

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
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

func dataHandle(id crypto.ID) index.BlobHandle {
	return index.BlobHandle{Type: index.DataBlob, ID: id}
}

// treeSpool collects the JSON of a tree, in memory while it is small and then
// in a temporary file.
type treeSpool struct {
	buf     []byte // not in file yet
	entries int

	file *os.File // nil: all in buf
	size int64    // of file
	sum  hash.Hash
}

func newTreeSpool() *treeSpool {
	return &treeSpool{buf: append([]byte(nil), tree.Header...)}
}

// append adds encoded nodes, each with a comma behind it.
func (s *treeSpool) append(nodes []byte, count int) error {
	s.buf = append(s.buf, nodes...)
	s.entries += count
	if len(s.buf) < repo.LargeBlob {
		return nil
	}
	return s.spill()
}

// spill moves buf to the file, but for its last byte, which may be a comma
// too many.
func (s *treeSpool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "garner-tree-")
		if err != nil {
			return fmt.Errorf("temporary file for a large folder: %w", err)
		}
		_ = os.Remove(f.Name()) // where an open file can't be removed, close does it
		s.file, s.sum = f, sha256.New()
	}
	n := len(s.buf) - 1
	s.sum.Write(s.buf[:n])
	if _, err := s.file.Write(s.buf[:n]); err != nil {
		return fmt.Errorf("temporary file for a large folder: %w", err)
	}
	s.size += int64(n)
	s.buf = append(s.buf[:0], s.buf[n])
	return nil
}

// finish completes the JSON.
func (s *treeSpool) finish() error {
	if n := len(s.buf) - 1; s.entries > 0 && s.buf[n] == ',' {
		s.buf = s.buf[:n]
	}
	s.buf = append(s.buf, tree.Trailer...)
	if s.file == nil {
		return nil
	}
	s.buf = append(s.buf, 0) // spill keeps the last byte
	return s.spill()
}

func (s *treeSpool) close() {
	if s.file != nil {
		s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// saveTree stores the tree that the spool holds.
func (a *archiver) saveTree(ctx context.Context, s *treeSpool) (dirContent, error) {
	content := dirContent{entries: s.entries}
	err := s.finish()
	var saved repo.SavedBlob
	size := int64(len(s.buf))
	switch {
	case err != nil:
	case s.file == nil:
		saved, err = a.w.SaveBlob(ctx, index.TreeBlob, s.buf)
	default:
		size = s.size
		h := index.BlobHandle{Type: index.TreeBlob, ID: crypto.ID(s.sum.Sum(nil))}
		saved, err = a.w.SaveLarge(ctx, h, io.NewSectionReader(s.file, 0, size))
	}
	if err != nil {
		return content, &repoError{err}
	}
	content.tree = saved.ID
	content.added.tree(saved, size)
	return content, nil
}

// noTree stands for a folder that the parent snapshot does not have.
var noTree crypto.ID

// oldTree reads the nodes of the parent snapshot's folder in step with the
// names of the source's.
type oldTree struct {
	nodes *repo.TreeReader // nil: no more
	next  tree.Node
	have  bool // next is set
	fail  func(error)
}

// openOld opens the parent's tree. One that can't be read is reported, and
// its files are read again.
func (a *archiver) openOld(ctx context.Context, path *dirPath, id crypto.ID) *oldTree {
	o := &oldTree{}
	if id == noTree {
		return o
	}
	o.fail = func(err error) {
		name := "/"
		if path != nil {
			name = path.parent.join(path.name)
		}
		a.report(name, fmt.Errorf("parent snapshot: %w", err))
		o.close()
	}
	nodes, err := a.repo.LoadTree(ctx, id)
	if err != nil {
		o.fail(err)
		return o
	}
	o.nodes = nodes
	return o
}

// find sets n to the node of that name if there is one. Names must ascend
// from call to call; nodes that do not ascend, as old programs wrote them,
// are passed over.
func (o *oldTree) find(name string, n *tree.Node) bool {
	for o.nodes != nil {
		if !o.have {
			err := o.nodes.Next(&o.next)
			if errors.Is(err, io.EOF) {
				o.close()
				return false
			}
			if err != nil {
				o.fail(err)
				return false
			}
			o.have = true
		}
		switch {
		case o.next.Name > name:
			return false
		case o.next.Name == name:
			// Swapped, not copied: both nodes keep their memory for reuse.
			*n, o.next = o.next, *n
			o.have = false
			return true
		}
		o.have = false
	}
	return false
}

func (o *oldTree) close() {
	if o.nodes != nil {
		o.nodes.Close()
		o.nodes = nil
	}
}
