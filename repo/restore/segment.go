package restore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

// segment is what the walk has collected and nobody has written yet.
type segment struct {
	files    []*file
	blobs    int // of files
	links    []hardLink
	specials []special
	// complete are folders whose last item is in this segment or an earlier
	// one, inner folders before outer ones.
	complete []*directory
}

type hardLink struct {
	dir   *directory
	node  *tree.Node
	first linkTarget
}

type special struct {
	dir  *directory
	node *tree.Node
}

func newSegment() *segment { return &segment{} }

func (s *segment) full() bool {
	return len(s.files)+len(s.specials)+len(s.links)+len(s.complete) >= segmentFiles || s.blobs >= segmentBlobs
}

// file is a regular file of the segment.
type file struct {
	dir  *directory
	node *tree.Node
	path string
	size int64 // sum of the blobs' lengths; node.Size may be wrong

	mu      sync.Mutex
	state   fileState    // owned by mu
	skipped bool         // left alone, or failed before anything was written
	left    int          // blobs that are neither written nor found; owned by mu
	err     error        // the first; owned by mu
	written atomic.Int64 // bytes
	offsets []int64      // where each blob begins; nil for a single blob
	present []bool       // blobs the existing file has at the right place; nil: none
}

// fileState says how far a file on the disk has come.
type fileState uint8

const (
	fileNew      fileState = iota // has to be made
	fileExisting                  // is there and is being updated
	fileStarted                   // was made by this restore
)

func dataHandle(id crypto.ID) index.BlobHandle {
	return index.BlobHandle{Type: index.DataBlob, ID: id}
}

// locate computes size and offsets from the index. A file with a blob that
// the repository lacks can't be restored.
func (rs *restorer) locate(f *file) error {
	if len(f.node.Content) > 1 {
		f.offsets = make([]int64, len(f.node.Content))
	}
	for i, id := range f.node.Content {
		n, ok := rs.repo.Index().PlaintextLength(dataHandle(id))
		if !ok {
			return &repo.MissingBlobError{Blob: dataHandle(id)}
		}
		if f.offsets != nil {
			f.offsets[i] = f.size
		}
		f.size += int64(n)
	}
	f.left = len(f.node.Content)
	return nil
}

func (f *file) offset(i int) int64 {
	if f.offsets == nil {
		return 0
	}
	return f.offsets[i]
}

// flush writes the segment and begins a new one.
func (rs *restorer) flush() error {
	seg := rs.seg
	rs.seg = newSegment()
	rs.makeDirs(seg)
	if err := rs.restoreFiles(seg); err != nil {
		return err
	}
	for _, s := range seg.specials {
		rs.restoreSpecial(s)
	}
	for _, l := range seg.links {
		rs.restoreLink(l)
	}
	if rs.opts.Verify && !rs.opts.DryRun {
		if err := rs.verify(seg.files); err != nil {
			return err
		}
	}
	for _, dir := range seg.complete {
		rs.finishDir(dir)
	}
	return context.Cause(rs.ctx)
}

// makeDirs makes the folders that the segment's items are in. The others are
// made with the segment that completes them.
func (rs *restorer) makeDirs(seg *segment) {
	for _, f := range seg.files {
		rs.makeDir(f.dir)
	}
	for _, s := range seg.specials {
		rs.makeDir(s.dir)
	}
	for _, l := range seg.links {
		rs.makeDir(l.dir)
	}
	for _, d := range seg.complete {
		if d.used {
			rs.makeDir(d)
		}
	}
}

// packWork is what the segment needs of one pack.
type packWork struct {
	blobs  []index.Blob
	wanted map[index.BlobHandle][]wanted
}

// wanted is a place where a blob goes.
type wanted struct {
	f *file
	i int // of f.node.Content
}

// restoreFiles decides for each file what has to be done, and does it pack by
// pack.
func (rs *restorer) restoreFiles(seg *segment) error {
	g, ctx := errgroup.WithContext(rs.ctx)
	g.SetLimit(rs.workers)
	plans := make([]bool, len(seg.files))
	const stride = 64
	for start := 0; start < len(seg.files); start += stride {
		g.Go(func() error {
			for i := start; i < min(start+stride, len(seg.files)); i++ {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				plans[i] = rs.prepare(seg.files[i])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	packs, order := rs.plan(seg.files, plans)
	g, ctx = errgroup.WithContext(rs.ctx)
	g.SetLimit(rs.workers)
	for _, id := range order {
		work := packs[id]
		g.Go(func() error {
			return rs.repo.LoadFromPack(ctx, id, work.blobs, func(b index.Blob, plain []byte, err error) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				for _, w := range work.wanted[b.BlobHandle] {
					rs.deliver(w, plain, err)
				}
				return nil
			})
		})
	}
	return g.Wait()
}

// plan groups the blobs that are still to be written by pack, in the order in
// which the files need them.
func (rs *restorer) plan(files []*file, need []bool) (map[crypto.ID]*packWork, []crypto.ID) {
	packs := make(map[crypto.ID]*packWork)
	var order []crypto.ID
	var locations []index.Location
	for fi, f := range files {
		if !need[fi] {
			continue
		}
		for i, id := range f.node.Content {
			if f.present != nil && f.present[i] {
				continue
			}
			locations = rs.repo.Index().Lookup(locations[:0], dataHandle(id))
			l := choose(locations, packs)
			work := packs[l.Pack]
			if work == nil {
				work = &packWork{wanted: make(map[index.BlobHandle][]wanted)}
				packs[l.Pack] = work
				order = append(order, l.Pack)
			}
			if _, ok := work.wanted[l.BlobHandle]; !ok {
				work.blobs = append(work.blobs, l.Blob)
			}
			work.wanted[l.BlobHandle] = append(work.wanted[l.BlobHandle], wanted{f, i})
		}
	}
	return packs, order
}

// choose picks a place of a blob, one in a pack that is read anyway if there
// is any.
func choose(locations []index.Location, packs map[crypto.ID]*packWork) index.Location {
	for _, l := range locations {
		if packs[l.Pack] != nil {
			return l
		}
	}
	return locations[0]
}

// deliver writes a blob to its place in a file, and completes the file with
// its last blob. Bad news is delivered the same way: the file is then left
// with a gap, without its metadata, and reported once.
func (rs *restorer) deliver(w wanted, plain []byte, err error) {
	f := w.f
	if err == nil {
		err = rs.writeBlob(f, f.offset(w.i), plain)
	} else {
		err = fmt.Errorf("content at offset %d: %w", f.offset(w.i), err)
	}
	f.mu.Lock()
	if f.err == nil {
		f.err = err
	}
	f.left--
	last := f.left == 0
	f.mu.Unlock()
	if last {
		rs.completeFile(f)
	}
}

// completeFile gives a file whose content is complete its metadata.
func (rs *restorer) completeFile(f *file) {
	err := f.err
	if err == nil {
		err = rs.finishFile(f)
	}
	if err != nil {
		rs.fail(f.path, err)
		return
	}
	action := Restored
	switch {
	case f.state == fileExisting && f.written.Load() == 0 && f.size > 0:
		action = Unchanged
	case f.state == fileExisting:
		action = Updated
	}
	rs.done(f.path, action, f.size)
}

// errIrregular means that something other than a regular file took a file's
// place while it was being restored.
var errIrregular = errors.New("is not a regular file any more")
