package restore

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/internal/osmeta"
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

func (s *segment) full() bool {
	return len(s.files)+len(s.specials)+len(s.links)+len(s.complete) >= segmentFiles || s.blobs >= segmentBlobs
}

// file is a regular file of the segment.
type file struct {
	dir  *directory
	node *tree.Node
	path string
	size int64 // sum of the blobs' lengths; node.Size may be wrong

	// twins counts the segment's files by name. It is worked out only when
	// somebody asks.
	twins func() map[twin]int

	mu      sync.Mutex
	state   fileState    // owned by mu
	unseen  bool         // nobody has looked for it, as its folder is new; owned by mu
	skipped bool         // left alone, or failed before anything was written
	left    int          // blobs that are neither written nor found; owned by mu
	err     error        // the first; owned by mu
	written atomic.Int64 // bytes
	offsets []int64      // where each blob begins; nil for a single blob
	present []bool       // blobs the existing file has at the right place; nil: none
	zeros   bool         // what is not written reads as zeros

	// Owned by fileCache.mu:
	handle *osmeta.OutFile // nil: not open now
	users  int
	elem   *list.Element // in fileCache.idle
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

// flush writes a segment.
func (rs *restorer) flush(seg *segment) error {
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
	return rs.finishDirs(seg.complete)
}

// each calls do for every index below n, from several goroutines, each with
// some neighbours at a time.
func (rs *restorer) each(n int, do func(i int)) error {
	const stride = 64
	g, ctx := errgroup.WithContext(rs.ctx)
	g.SetLimit(rs.workers)
	for start := 0; start < n; start += stride {
		g.Go(func() error {
			for i := start; i < min(start+stride, n); i++ {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				do(i)
			}
			return nil
		})
	}
	return g.Wait()
}

// want is a place where a blob goes.
type want struct {
	blob index.Blob
	f    *file
	i    int // of f.node.Content
}

// packWork is what is to be read from one pack.
type packWork struct {
	pack  crypto.ID
	wants []want
}

// workBytes is about how much of a pack one worker reads at a time, in bytes:
// little enough that all have something to do until the end.
const workBytes = 2 << 20

// restoreFiles decides for each file what has to be done, and does it pack by
// pack.
func (rs *restorer) restoreFiles(seg *segment) error {
	twins := sync.OnceValue(func() map[twin]int { return countTwins(seg.files) })
	plans := make([]bool, len(seg.files))
	err := rs.each(len(seg.files), func(i int) {
		f := seg.files[i]
		f.twins = twins
		plans[i] = rs.prepare(f)
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(rs.ctx)
	g.SetLimit(rs.workers)
	for _, work := range rs.plan(seg.files, plans) {
		slices.SortStableFunc(work.wants, func(a, b want) int { return cmp.Compare(a.blob.Offset, b.blob.Offset) })
		for len(work.wants) > 0 {
			n := piece(work.wants)
			wants := work.wants[:n]
			work.wants = work.wants[n:]
			g.Go(func() error { return rs.restoreWants(ctx, work.pack, wants) })
		}
	}
	return g.Wait()
}

// piece returns how many of the wants, which are sorted by offset, are done
// together. All wants of a blob are.
func piece(wants []want) int {
	first := wants[0].blob.Offset
	for i, w := range wants {
		if w.blob.Offset-first >= workBytes && w.blob.Offset != wants[i-1].blob.Offset {
			return i
		}
	}
	return len(wants)
}

// restoreWants loads the blobs of one pack and writes them to where they are
// wanted.
func (rs *restorer) restoreWants(ctx context.Context, pack crypto.ID, wants []want) error {
	blobs := make([]index.Blob, 0, len(wants))
	for i, w := range wants {
		if i == 0 || w.blob.Offset != wants[i-1].blob.Offset {
			blobs = append(blobs, w.blob)
		}
	}
	return rs.repo.LoadFromPack(ctx, pack, blobs, func(b index.Blob, plain []byte, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for len(wants) > 0 && wants[0].blob.Offset == b.Offset {
			rs.deliver(wants[0], plain, err)
			wants = wants[1:]
		}
		return nil
	})
}

// plan groups the blobs that are still to be written by pack, in the order in
// which the files need them.
func (rs *restorer) plan(files []*file, need []bool) []*packWork {
	packs := make(map[crypto.ID]*packWork)
	var order []*packWork
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
				work = &packWork{pack: l.Pack}
				packs[l.Pack] = work
				order = append(order, work)
			}
			work.wants = append(work.wants, want{l.Blob, f, i})
		}
	}
	return order
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
func (rs *restorer) deliver(w want, plain []byte, err error) {
	f := w.f
	if err != nil {
		err = fmt.Errorf("content at offset %d: %w", f.offset(w.i), err)
	} else if f.whole() && !rs.opts.Sparse {
		var done bool
		if done, err = rs.writeWhole(f, plain); done {
			return
		}
	}
	if err == nil {
		err = rs.writeBlob(f, f.offset(w.i), plain)
	}
	f.mu.Lock()
	if f.err == nil && err != errLeft {
		f.err = err
	}
	f.left--
	last := f.left == 0
	f.mu.Unlock()
	if last {
		rs.completeFile(f)
	}
}

// whole reports whether the file is new and its only blob all it needs.
func (f *file) whole() bool { return len(f.node.Content) <= 1 && f.state == fileNew }

// completeFile gives a file whose content is complete its metadata.
func (rs *restorer) completeFile(f *file) {
	switch err := rs.finishFile(f); {
	case f.skipped && err == nil:
		rs.skippedBytes(f.size)
		rs.done(f.path, Unchanged, f.size)
	case err != nil:
		rs.fail(f.path, err)
	case f.state == fileExisting && f.written.Load() == 0 && f.size > 0:
		rs.done(f.path, Unchanged, f.size)
	case f.state == fileExisting:
		rs.done(f.path, Updated, f.size)
	default:
		rs.done(f.path, Restored, f.size)
	}
}
