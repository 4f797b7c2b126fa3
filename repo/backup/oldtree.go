package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

func dataHandle(id crypto.ID) index.BlobHandle {
	return index.BlobHandle{Type: index.DataBlob, ID: id}
}

// saveTree stores a folder's tree.
func (a *archiver) saveTree(ctx context.Context, b *repo.TreeBuilder) (dirContent, error) {
	content := dirContent{entries: b.Len()}
	saved, err := b.Save(ctx, a.w)
	if err != nil {
		return content, &repoError{err}
	}
	content.tree = saved.ID
	content.added.tree(saved, b.Size())
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
