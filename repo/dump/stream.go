package dump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// piece is the beginning of an item or, if node is nil, the next blob of the
// item before.
type piece struct {
	path string
	node *tree.Node
	blob *loadedBlob
}

// loadedBlob is a blob on its way.
type loadedBlob struct {
	done chan struct{}
	// The rest is set once done is closed.
	content []byte
	err     error
}

// piecesAhead is how many items and blobs wait for the writer. It is the
// buffers that limit memory.
const piecesAhead = 256

// producer finds the items of a dump and loads their blobs. Whoever has taken
// a blob gives its buffer back.
type producer struct {
	ctx     context.Context // of one stream
	repo    *repo.Repo
	pieces  chan piece
	buffers chan []byte // a blob is loaded only when there is one
	wg      sync.WaitGroup
}

// stream passes an item, or all that is in a folder, to a sink.
func stream(ctx context.Context, r *repo.Repo, item *Item, s sink) error {
	ctx, cancel := context.WithCancel(ctx)
	p := &producer{
		ctx: ctx, repo: r,
		pieces:  make(chan piece, piecesAhead),
		buffers: make(chan []byte, max(backend.Connections(r.Backend()), runtime.GOMAXPROCS(0))+2),
	}
	for range cap(p.buffers) {
		p.buffers <- nil
	}
	var walked error // to be read when pieces is closed
	p.wg.Go(func() {
		defer close(p.pieces)
		if item.File != nil {
			walked = p.item(item.Path, item.File)
		} else {
			walked = p.folder(item)
		}
	})
	err := p.consume(s)
	cancel()
	p.wg.Wait()
	if err == nil {
		err = walked
	}
	return err
}

// consume writes pieces until there are no more.
func (p *producer) consume(s sink) error {
	var w io.Writer
	var at string
	for next := range p.pieces {
		if next.node != nil {
			at = next.path
			var err error
			if w, err = s.item(next.path, next.node); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			continue
		}
		<-next.blob.done
		err := next.blob.err
		if err == nil {
			_, err = w.Write(next.blob.content)
		}
		p.buffers <- next.blob.content
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// folder produces all that is in a folder, in order.
func (p *producer) folder(top *Item) error {
	return tree.Walk(p.ctx, p.repo.TreesAhead(nil), top.Tree, func(below string, n *tree.Node, err error) error {
		at := path.Join(top.Path, below)
		if err != nil { // also a name that would lead out of the archive's folder
			return fmt.Errorf("%s: %w", at, err)
		}
		switch n.Type {
		case tree.TypeFile, tree.TypeDir, tree.TypeSymlink:
		default:
			if path.Dir(below) != "/" {
				return nil
			}
		}
		return p.item(at, n)
	})
}

// item produces an item and starts to load its blobs. Only the node's content
// list may be long, and that is not kept.
func (p *producer) item(at string, n *tree.Node) error {
	head := *n
	head.Content = nil
	head.GenericAttributes = nil
	head.ExtendedAttributes = slices.Clone(n.ExtendedAttributes)
	for i := range head.ExtendedAttributes {
		head.ExtendedAttributes[i].Value = bytes.Clone(head.ExtendedAttributes[i].Value)
	}
	if err := p.send(piece{path: at, node: &head}); err != nil {
		return err
	}
	if n.Type != tree.TypeFile {
		return nil
	}
	for _, id := range n.Content {
		b, err := p.load(id)
		if err != nil {
			return err
		}
		if err := p.send(piece{blob: b}); err != nil {
			return err
		}
	}
	return nil
}

func (p *producer) send(next piece) error {
	select {
	case p.pieces <- next:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func (p *producer) load(id crypto.ID) (*loadedBlob, error) {
	var buf []byte
	select {
	case buf = <-p.buffers:
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
	b := &loadedBlob{done: make(chan struct{})}
	p.wg.Go(func() {
		defer close(b.done)
		b.content, b.err = p.repo.LoadBlob(p.ctx, index.BlobHandle{Type: index.DataBlob, ID: id}, buf)
	})
	return b, nil
}
