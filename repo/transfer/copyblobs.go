package transfer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

const (
	// treesAtOnce is how many trees are sorted by where they are stored
	// before they are read. Trees of folders that belong together mostly are
	// neighbours in a pack, so that one request brings many.
	treesAtOnce = 1024
	// dataAtOnce is the same for the blobs of files. It bounds the memory for
	// the list of what is to be copied.
	dataAtOnce = 1 << 16
	// minPart is how many bytes of a pack are left to one worker at least, so
	// that requests are large, and few packs keep all workers busy.
	minPart = 4 << 20
)

// copyRun copies the blobs of one snapshot.
//
// Trees are read in groups, from a stack, so that all that is waiting is the
// subtrees of folders on the way down. A tree is stored at once, and visited
// even if dst has it: an earlier attempt may have ended before the blobs of
// its files arrived. Those gather in a list which is copied when it is full.
type copyRun struct {
	c   *copier
	w   *repo.Writer
	ctx context.Context // of w, which outlives the reading: packs are stored in the background

	copying sync.Mutex // held while a list of data blobs is copied

	mu       sync.Mutex
	stack    []crypto.ID      // trees to visit; owned by mu
	data     []index.Location // to copy; owned by mu
	progress CopyProgress     // owned by mu
}

// copyTrees copies a tree and all that it needs.
func (r *copyRun) copyTrees(root crypto.ID) error {
	r.stack = append(r.stack, root)
	for len(r.stack) > 0 {
		n := max(0, len(r.stack)-treesAtOnce)
		group, err := r.locate(r.stack[n:])
		r.stack = r.stack[:n]
		if err != nil {
			return err
		}
		if err := r.read(r.ctx, group, r.visit); err != nil {
			return err
		}
	}
	return r.copyData(r.ctx, r.data)
}

// locate returns where trees are that were not visited yet.
func (r *copyRun) locate(ids []crypto.ID) ([]index.Location, error) {
	var found []index.Location
	for _, id := range ids {
		l, fresh, err := r.c.find(index.BlobHandle{Type: index.TreeBlob, ID: id})
		if err != nil {
			return nil, err
		}
		if fresh {
			found = append(found, l)
			r.progress.add(r.c, l)
		}
	}
	return found, nil
}

// find returns a place in src where a blob is, and whether it is asked for
// the first time.
func (c *copier) find(h index.BlobHandle) (l index.Location, fresh bool, err error) {
	at, ok := c.view.Ordinal(h)
	if !ok {
		return l, false, &repo.MissingBlobError{Blob: h}
	}
	if !c.seen.Add(at) {
		return l, false, nil
	}
	return index.Location{Blob: c.view.At(at), Pack: c.view.PackID(c.view.PackOf(at))}, true, nil
}

// add counts a blob unless dst has it.
func (p *CopyProgress) add(c *copier, l index.Location) {
	if !c.dst.HasBlob(l.BlobHandle) {
		p.Blobs++
		p.Bytes += int64(l.Length)
	}
}

// part is neighbouring blobs of one pack, or one large blob.
type part struct {
	pack  crypto.ID
	blobs []index.Blob
	large bool
}

// parts sorts blobs by pack and offset, and cuts the list where the pack
// changes and where a part is large enough to keep a worker busy.
func parts(list []index.Location) []part {
	slices.SortFunc(list, func(a, b index.Location) int {
		return cmp.Or(a.Pack.Compare(b.Pack), cmp.Compare(a.Offset, b.Offset))
	})
	var out []part
	var start uint32 // of the last part
	for _, l := range list {
		large := l.PlaintextLength() >= repo.LargeBlob
		last := len(out) - 1
		if large || last < 0 || out[last].large || out[last].pack != l.Pack || l.Offset-start >= minPart {
			out = append(out, part{pack: l.Pack, large: large})
			start = l.Offset
			last++
		}
		out[last].blobs = append(out[last].blobs, l.Blob)
	}
	return out
}

// blobFunc handles the verified content of a blob: plain, or a file if it is
// large.
type blobFunc func(ctx context.Context, b index.Blob, plain []byte, large *repo.BlobFile) error

// read reads blobs from src, neighbours together, and calls fn for each, from
// several goroutines.
func (r *copyRun) read(ctx context.Context, list []index.Location, fn blobFunc) error {
	all := parts(list)
	if len(all) == 0 {
		return nil
	}
	missing := make([]bool, len(all)) // parts with anything that dst lacks: trees are read in any case
	total := 0
	for i, p := range all {
		missing[i] = slices.ContainsFunc(p.blobs, func(b index.Blob) bool { return !r.c.dst.HasBlob(b.BlobHandle) })
		if missing[i] {
			total++
		}
	}
	r.tell(func(p *CopyProgress) { p.Packs += total })
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(r.c.workers)
	for i, p := range all {
		if group.Err() != nil {
			break
		}
		g.Go(func() error {
			err := r.readPart(group, p, fn)
			if err == nil && missing[i] {
				r.tell(func(p *CopyProgress) { p.Done++ })
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx) // some may not have been begun
}

func (r *copyRun) tell(change func(*CopyProgress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.progress)
	if r.c.opts.Progress != nil {
		r.c.opts.Progress(r.progress)
	}
}

func (r *copyRun) readPart(ctx context.Context, p part, fn blobFunc) error {
	if p.large {
		f, err := r.c.src.LoadLarge(ctx, p.blobs[0].BlobHandle)
		if err != nil {
			return err
		}
		defer f.Close()
		return fn(ctx, p.blobs[0], nil, f)
	}
	return r.c.src.LoadFromPack(ctx, p.pack, p.blobs, func(b index.Blob, plain []byte, err error) error {
		if err != nil {
			return err
		}
		return fn(ctx, b, plain, nil)
	})
}

// store hands a blob to dst.
func (r *copyRun) store(_ context.Context, b index.Blob, plain []byte, large *repo.BlobFile) error {
	var err error
	if large != nil {
		_, err = r.w.SaveLarge(r.ctx, b.BlobHandle, large)
	} else {
		_, err = r.w.SaveHashed(r.ctx, b.BlobHandle, plain)
	}
	return err
}

// visit stores a tree and notes what it lists.
func (r *copyRun) visit(ctx context.Context, b index.Blob, plain []byte, large *repo.BlobFile) error {
	if err := r.store(ctx, b, plain, large); err != nil {
		return err
	}
	dec := tree.NewDecoder(plain)
	if large != nil {
		dec = tree.NewStreamDecoder(bufio.NewReaderSize(io.NewSectionReader(large, 0, large.Size()), 1<<20))
	}
	var n tree.Node
	for {
		err := dec.Next(&n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.note(ctx, &n)
		}
		if err != nil {
			return fmt.Errorf("tree %s: %w", b.ID.Short(), err)
		}
	}
}

// note puts what a node needs on the lists, and copies the list of data blobs
// when it is full.
func (r *copyRun) note(ctx context.Context, n *tree.Node) error {
	if n.Type == tree.TypeDir && !n.Subtree.IsZero() {
		r.mu.Lock()
		r.stack = append(r.stack, n.Subtree)
		r.mu.Unlock()
	}
	for _, id := range n.Content {
		l, fresh, err := r.c.find(index.BlobHandle{Type: index.DataBlob, ID: id})
		if err != nil {
			return fmt.Errorf("file %q: %w", n.Name, err)
		}
		if !fresh || r.c.dst.HasBlob(l.BlobHandle) {
			continue
		}
		if full := r.want(l); full != nil {
			if err := r.copyData(ctx, full); err != nil {
				return err
			}
		}
	}
	return nil
}

// want puts a data blob on the list, which it returns when it is full.
func (r *copyRun) want(l index.Location) (full []index.Location) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.add(r.c, l)
	if r.data = append(r.data, l); len(r.data) < dataAtOnce {
		return nil
	}
	full, r.data = r.data, nil
	return full
}

// copyData copies data blobs. One list is copied at a time; who fills the
// next one meanwhile waits.
func (r *copyRun) copyData(ctx context.Context, list []index.Location) error {
	r.copying.Lock()
	defer r.copying.Unlock()
	return r.read(ctx, list, r.store)
}
