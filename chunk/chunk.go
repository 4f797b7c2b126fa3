// Package chunk cuts content into chunks at positions that the content itself
// determines, so that the same content gives the same chunks wherever it lies.
// The cuts are those of restic: a position is a candidate if the Rabin
// fingerprint of the 64 bytes before it ends in zeros, and a cut if its chunk
// is neither too short nor too long.
//
// Finding candidates ([Table.Scan]) is apart from choosing cuts among them
// ([Cutter]). The package takes bytes and returns positions; [Reader] adds
// the reading for those who want no more than that.
package chunk

import (
	"errors"
	"fmt"
	"sync"
)

// The sizes that restic uses.
const (
	DefaultMinSize     = 512 << 10
	DefaultMaxSize     = 8 << 20
	DefaultAverageBits = 20 // a candidate every 2^20 bytes, on average
)

// Params determine where content is cut. Zero sizes are the defaults.
type Params struct {
	Pol         Pol
	MinSize     int // bytes; at least 64
	MaxSize     int // bytes; a chunk is never longer, but for MinSize
	AverageBits int // how many bits of the digest are zero at a candidate
}

// Table holds what scanning with one polynomial needs. It does not change and
// is safe for concurrent use.
type Table struct {
	tables   *tables
	planes   *planes // nil: no kernel is of use
	min, max int
	mask     uint64
}

// NewTable prepares the tables for a polynomial, which must be irreducible
// and of degree 53.
func NewTable(p Params) (*Table, error) {
	return newTableWith(p, kernels())
}

// newTableWith is NewTable that may use the first of the kernels.
func newTableWith(p Params, kernels []kernel) (*Table, error) {
	if p.MinSize == 0 {
		p.MinSize = DefaultMinSize
	}
	if p.MaxSize == 0 {
		p.MaxSize = DefaultMaxSize
	}
	if p.AverageBits == 0 {
		p.AverageBits = DefaultAverageBits
	}
	switch {
	case p.Pol>>degree != 1:
		return nil, fmt.Errorf("polynomial %v is not of degree %d", p.Pol, degree)
	case !p.Pol.Irreducible():
		return nil, fmt.Errorf("polynomial %v is not irreducible", p.Pol)
	case p.MinSize < windowSize:
		return nil, fmt.Errorf("minimum chunk size of %d is below the window of %d bytes", p.MinSize, windowSize)
	case p.MaxSize < 0:
		return nil, errors.New("maximum chunk size is negative")
	case p.AverageBits < 1 || p.AverageBits > degree:
		return nil, fmt.Errorf("average of 2^%d bytes is not between 2^1 and 2^%d", p.AverageBits, degree)
	}
	t := &Table{
		tables: newTables(p.Pol),
		min:    p.MinSize,
		max:    max(p.MinSize, p.MaxSize),
		mask:   1<<p.AverageBits - 1,
	}
	if p.AverageBits >= minKernelBits && len(kernels) > 0 {
		t.planes = newPlanes(t.tables, kernels[0], t.mask)
	}
	return t, nil
}

// Scan appends to dst all candidates in (from, to], in ascending order: the
// positions q for which the digest of buf[q-64:q] ends in zeros. from is
// taken as at least 64: before that no window is complete.
func (t *Table) Scan(dst []int, buf []byte, from, to int) []int {
	from = max(from, windowSize-1)
	// The window that ends at from+1 begins at from-63, which scanFirst,
	// rolling from a window that ends at from, needs the byte before.
	if from == windowSize-1 && to >= windowSize {
		if t.tables.digest(buf[:windowSize])&t.mask == 0 {
			dst = append(dst, windowSize)
		}
		from = windowSize
	}
	if t.planes != nil {
		return t.planes.scanAll(dst, new(kernelMemory), buf, from, to)
	}
	return t.tables.scanAll(dst, buf, from, to, t.mask)
}

// segmentSize is the least that a goroutine of ScanParallel scans.
const segmentSize = 256 << 10

// ScanParallel is Scan by up to workers goroutines at the same time.
func (t *Table) ScanParallel(dst []int, buf []byte, from, to, workers int) []int {
	workers = min(workers, (to-from)/segmentSize)
	if workers < 2 {
		return t.Scan(dst, buf, from, to)
	}
	found := make([][]int, workers)
	var wg sync.WaitGroup
	for w := range workers {
		begin, end := from+(to-from)*w/workers, from+(to-from)*(w+1)/workers
		wg.Go(func() { found[w] = t.Scan(nil, buf, begin, end) })
	}
	wg.Wait()
	for _, f := range found {
		dst = append(dst, f...)
	}
	return dst
}
