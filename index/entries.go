package index

import (
	"bytes"
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
			var scratch []entry
			for b := range work {
				scratch = l.sortRange(starts[b], starts[b+1], scratch[:0])
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

// sortRange sorts a part of a bucket by way of scratch, which it returns.
func (l *entryList) sortRange(from, to int, scratch []entry) []entry {
	for i := from; i < to; i++ {
		scratch = append(scratch, *l.at(i))
	}
	slices.SortFunc(scratch, func(a, b entry) int {
		if c := bytes.Compare(a.id[:], b.id[:]); c != 0 {
			return c
		}
		return comparePlaces(&a, &b)
	})
	for i, e := range scratch {
		*l.at(from + i) = e
	}
	return scratch
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
