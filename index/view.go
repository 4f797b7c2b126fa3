package index

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/garner-backup/garner/crypto"
)

// View is a [Table] as it was at one moment, with every location at a fixed
// position: data before trees, sorted by ID, so that all locations of a blob
// are neighbours. What is added to the table later does not show. It takes no
// memory besides the table's, as long as the table does not grow much, and is
// safe for concurrent use.
type View struct {
	run
	packs []crypto.ID
}

// View returns the table as it is now.
func (t *Table) View() *View {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.runs) > 1 {
		t.mergeLast()
	}
	v := &View{packs: t.packs.ids[:len(t.packs.ids):len(t.packs.ids)]}
	if len(t.runs) > 0 {
		v.run = t.runs[0]
	}
	return v
}

// Len returns the number of locations.
func (v *View) Len() int { return v.n }

// Ordinal returns the position of the blob's first location, which stands for
// the blob: a set of blobs is a [Bitmap] of these.
func (v *View) Ordinal(h BlobHandle) (int, bool) {
	if v.n == 0 {
		return 0, false
	}
	at := v.find(&h)
	return max(at, 0), at >= 0
}

// At returns the blob at a position.
func (v *View) At(position int) Blob { return v.at(position).blob() }

// First reports whether the position is the first one of its blob.
func (v *View) First(position int) bool {
	return position == 0 || compareHandles(v.at(position-1), v.at(position)) != 0
}

// End returns the position behind the last location of the blob whose first
// one is given.
func (v *View) End(first int) int {
	end := first + 1
	for end < v.n && compareHandles(v.at(first), v.at(end)) == 0 {
		end++
	}
	return end
}

// Packs returns how many packs there are. They are numbered from 0.
func (v *View) Packs() int { return len(v.packs) }

// PackOf returns the number of the pack at a position.
func (v *View) PackOf(position int) int { return int(v.at(position).pack &^ treeBit) }

// PackID returns the ID of a pack by its number.
func (v *View) PackID(number int) crypto.ID { return v.packs[number] }

// PackInfos returns what the view says of each pack, by number.
func (v *View) PackInfos() []PackInfo {
	infos := make([]PackInfo, len(v.packs))
	for i := range v.n {
		e := v.at(i)
		p := &infos[e.pack&^treeBit]
		p.Blobs[e.typ()]++
		p.Stored += int64(e.length)
		if e.plain != 0 {
			p.Compressed++
		}
	}
	return infos
}

// ByPack yields the number of each pack that select chooses, nil being all,
// with the positions of its blobs, sorted by offset. The slice is the
// caller's. It takes four bytes for each location meanwhile.
func (v *View) ByPack(choose func(number int) bool) iter.Seq2[int, []int] {
	return func(yield func(int, []int) bool) {
		starts, order := byPack(&v.entryList, len(v.packs))
		for p := range v.packs {
			if choose != nil && !choose(p) {
				continue
			}
			positions := make([]int, 0, starts[p+1]-starts[p])
			for _, at := range order[starts[p]:starts[p+1]] {
				positions = append(positions, int(at))
			}
			slices.SortFunc(positions, func(a, b int) int { return cmp.Compare(v.at(a).offset, v.at(b).offset) })
			if !yield(p, positions) {
				return
			}
		}
	}
}

// Bitmap is a set of small numbers, a bit for each. It is safe for concurrent
// use.
type Bitmap []uint64

// NewBitmap returns an empty set of numbers below n.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+63)/64) }

// Add reports whether the number was not in the set before.
func (b Bitmap) Add(n int) bool {
	bit := uint64(1) << (n % 64)
	return atomic.OrUint64(&b[n/64], bit)&bit == 0
}

// Remove takes a number out of the set.
func (b Bitmap) Remove(n int) { atomic.AndUint64(&b[n/64], ^(uint64(1) << (n % 64))) }

// Has reports whether the number is in the set.
func (b Bitmap) Has(n int) bool { return atomic.LoadUint64(&b[n/64])&(1<<(n%64)) != 0 }

// Len returns how many numbers are in the set.
func (b Bitmap) Len() int {
	n := 0
	for i := range b {
		n += bits.OnesCount64(atomic.LoadUint64(&b[i]))
	}
	return n
}
