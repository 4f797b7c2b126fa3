package mount

import (
	"context"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
)

// Read-ahead doubles with each blob that is read in sequence, up to a share
// of the cache: what is loaded ahead must not push out what was loaded ahead
// of it.
const (
	maxAheadShift = 6 // 64 blobs
	aheadShare    = 4 // of the cache, for one file
	// startAhead is how far into a file somebody must read before the second
	// blob is loaded ahead: many programs read only the start of a file.
	startAhead = 256 << 10
)

// reader reads a file's content. It is safe for concurrent use.
type reader struct {
	view *View
	ids  []crypto.ID

	mu sync.Mutex
	// ends has the offset at which each blob ends, as far as that was needed
	// so far: a file may have a million blobs. Owned by mu, as the next ones.
	ends     []int64
	last     int // blob of the last read
	run      int // how many blobs were read in sequence up to it
	prepared int // blobs below it were asked for ahead
}

func (v *View) newReader(ids []crypto.ID) *reader { return &reader{view: v, ids: ids} }

// end returns where blob i ends. The caller holds mu.
func (r *reader) end(i int) (int64, error) {
	for len(r.ends) <= i {
		h := dataHandle(r.ids[len(r.ends)])
		n, ok := r.view.repo.Index().PlaintextLength(h)
		if !ok {
			return 0, &repo.MissingBlobError{Blob: h}
		}
		start := int64(0)
		if k := len(r.ends); k > 0 {
			start = r.ends[k-1]
		}
		r.ends = append(r.ends, start+int64(n))
	}
	return r.ends[i], nil
}

// size returns the sum of the blobs' lengths.
func (r *reader) size() (int64, error) {
	if len(r.ids) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end(len(r.ids) - 1)
}

// locate returns which blob has the byte at an offset, and where that blob
// begins; io.EOF if there is none.
func (r *reader) locate(off int64) (i int, start int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := len(r.ends); k < len(r.ids) && (k == 0 || r.ends[k-1] <= off); k++ {
		if _, err := r.end(k); err != nil {
			return 0, 0, err
		}
	}
	i = sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > off })
	if i == len(r.ends) {
		return 0, 0, io.EOF
	}
	if i > 0 {
		start = r.ends[i-1]
	}
	r.ahead(i, off)
	return i, start, nil
}

// ahead takes note of a read at off in blob i, and asks for the blobs after it
// if the reads are in sequence. The kernel reads ahead too, and its requests
// may overtake one another. The caller holds mu.
func (r *reader) ahead(i int, off int64) {
	switch {
	case i == 0 && r.run == 0 && off >= startAhead:
		r.run = 1
	case i == r.last+1:
		r.run++
	case i == r.last || i == r.last-1:
		return
	default:
		r.run, r.prepared = 0, 0
	}
	r.last = i
	if r.run == 0 {
		return
	}
	budget := r.view.opts.BlobCache / aheadShare
	until := min(i+1+1<<min(r.run, maxAheadShift), len(r.ids))
	for k := i + 1; k < until; k++ {
		end, err := r.end(k)
		if err != nil {
			return // who gets there will see it
		}
		if k > i+1 && end-r.ends[i] > budget {
			return
		}
		if k >= r.prepared {
			r.view.blobs.want(r.ids[k])
			r.prepared = k + 1
		}
	}
}

// slice returns content from an offset on: up to n bytes, and at least one
// unless the error is io.EOF. The caller must not change it.
func (r *reader) slice(ctx context.Context, off int64, n int) ([]byte, error) {
	if off < 0 {
		return nil, fmt.Errorf("negative offset %d", off)
	}
	i, start, err := r.locate(off)
	if err != nil {
		return nil, err
	}
	blob, err := r.view.blobs.get(ctx, r.ids[i])
	if err != nil {
		return nil, err
	}
	from := off - start
	if from >= int64(len(blob)) {
		return nil, fmt.Errorf("blob %s is shorter than the index says", r.ids[i].Short())
	}
	return blob[from:min(from+int64(n), int64(len(blob)))], nil
}

// readAt reads like io.ReaderAt.
func (r *reader) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		b, err := r.slice(ctx, off+int64(done), len(p)-done)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b)
	}
	return done, nil
}
