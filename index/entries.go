package index

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"slices"
	"sync"
)

// entryList is a long array in blocks of equal length, but for the last. So it
// grows without being copied, and what a Builder collects is sorted where it
// lies: an array in one piece would need the memory twice.
type entryList struct {
	blocks [][]entry
	n      int
}

const (
	blockBits = 12 // 192 KiB
	blockLen  = 1 << blockBits
)

// makeEntries returns a list of n entries.
func makeEntries(n int) entryList {
	l := entryList{n: n, blocks: make([][]entry, 0, (n+blockLen-1)/blockLen)}
	for ; n > 0; n -= blockLen {
		l.blocks = append(l.blocks, make([]entry, min(n, blockLen)))
	}
	return l
}

func (l *entryList) at(i int) *entry { return &l.blocks[i>>blockBits][i&(blockLen-1)] }

// append copies entries to the end. All blocks must be full-sized, as those
// of a list that began empty are.
func (l *entryList) append(entries []entry) {
	for len(entries) > 0 {
		if l.n>>blockBits == len(l.blocks) {
			l.blocks = append(l.blocks, make([]entry, blockLen))
		}
		n := copy(l.blocks[l.n>>blockBits][l.n&(blockLen-1):], entries)
		l.n += n
		entries = entries[n:]
	}
}

// compact removes all but the first of equal neighbours, and the room behind
// the last entry.
func (l *entryList) compact() {
	n := min(l.n, 1)
	for i := 1; i < l.n; i++ {
		if e := l.at(i); *e != *l.at(n - 1) {
			*l.at(n) = *e
			n++
		}
	}
	full, rest := n>>blockBits, n&(blockLen-1)
	if rest > 0 {
		last := append(make([]entry, 0, rest), l.blocks[full][:rest]...)
		l.blocks[full] = last
		full++
	}
	clear(l.blocks[full:])
	l.blocks, l.n = l.blocks[:full], n
}

// buckets is into how many parts, by the type and the IDs' leading byte, the
// entries are sorted apart.
const buckets = 2 * 256

func bucketOf(e *entry) int { return int(e.pack>>31)<<8 | int(e.id[0]) }

// sort sorts the list in place, on all processors.
func (l *entryList) sort() {
	starts := l.distribute()
	var wg sync.WaitGroup
	work := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var s sorter
			for b := range work {
				s.sort(l, starts[b], starts[b+1])
			}
		})
	}
	for b := range buckets {
		work <- b
	}
	close(work)
	wg.Wait()
}

// distribute swaps entries until each is in the range of its bucket, and
// returns where the buckets begin. Each swap brings one entry home.
func (l *entryList) distribute() (starts [buckets + 1]int) {
	for i := range l.n {
		starts[bucketOf(l.at(i))+1]++
	}
	for i := range buckets {
		starts[i+1] += starts[i]
	}
	next := starts
	for b := range buckets {
		for next[b] < starts[b+1] {
			e := l.at(next[b])
			for home := bucketOf(e); home != b; home = bucketOf(e) {
				other := l.at(next[home])
				*e, *other = *other, *e
				next[home]++
			}
			next[b]++
		}
	}
	return starts
}

// sorter sorts buckets, one after another. It holds a copy of one.
type sorter struct {
	entries []entry
	starts  []uint32 // by the leading bits behind the first byte
}

const (
	// groupLen is how many entries share the leading bits, on average.
	groupLen = 4
	// maxGroupLen is from how many on a group is not sorted by insertion. IDs
	// are as good as random, unless somebody made them up.
	maxGroupLen = 16 * groupLen
)

// sort sorts a bucket: its entries go where their leading bits say, and few
// are left to compare.
func (s *sorter) sort(l *entryList, from, to int) {
	n := to - from
	width := min(bits.Len(uint(n/groupLen)), 16)
	lead := func(e *entry) uint32 {
		return uint32(uint64(binary.BigEndian.Uint32(e.id[1:5])) >> (32 - width)) // a shift of 32 is 0
	}
	s.entries = slices.Grow(s.entries[:0], n)[:n]
	s.starts = slices.Grow(s.starts[:0], 1<<width+1)[:1<<width+1]
	clear(s.starts)
	for i := from; i < to; i++ {
		s.starts[lead(l.at(i))+1]++
	}
	for i := range 1 << width {
		s.starts[i+1] += s.starts[i]
	}
	for i := from; i < to; i++ {
		e := l.at(i)
		next := &s.starts[lead(e)]
		s.entries[*next] = *e
		*next++
	}
	start := uint32(0)
	for _, end := range s.starts[:1<<width] { // each was moved to the end of its group
		sortGroup(s.entries[start:end])
		start = end
	}
	for i := range s.entries {
		*l.at(from + i) = s.entries[i]
	}
}

// sortGroup sorts entries of one type.
func sortGroup(group []entry) {
	if len(group) > maxGroupLen {
		slices.SortFunc(group, compareEntries)
		return
	}
	for i := 1; i < len(group); i++ {
		if compareWhole(&group[i], &group[i-1]) > 0 {
			continue
		}
		e, j := group[i], i
		for ; j > 0 && compareWhole(&e, &group[j-1]) < 0; j-- {
			group[j] = group[j-1]
		}
		group[j] = e
	}
}

// merge returns the entries of two sorted lists, sorted.
func merge(a, b *entryList) entryList {
	out := makeEntries(a.n + b.n)
	for i, j, k := 0, 0, 0; k < out.n; k++ {
		if j == b.n || i < a.n && compareEntries(*a.at(i), *b.at(j)) <= 0 {
			*out.at(k) = *a.at(i)
			i++
		} else {
			*out.at(k) = *b.at(j)
			j++
		}
	}
	return out
}
