package index

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/garner-backup/garner/crypto"
)

// run is a sorted list of entries with a fan-out table on the leading bits of
// the IDs, which are as good as random: a bucket has two to four entries.
type run struct {
	entryList
	// first is, for each type and each value of the leading bits, where its
	// entries begin; one element follows as the end.
	first []uint32
	shift uint8 // 32 less the number of leading bits
}

func newRun(entries entryList) run {
	n := min(bits.Len(uint(entries.n)/4), 31) // leading bits
	r := run{entryList: entries, shift: uint8(32 - n), first: make([]uint32, 2<<n+1)}
	for i := range r.n {
		e := r.at(i)
		r.first[r.bucket(e.typ(), &e.id)+1]++
	}
	for i := range len(r.first) - 1 {
		r.first[i+1] += r.first[i]
	}
	return r
}

func (r *run) bucket(t BlobType, id *crypto.ID) uint32 {
	lead := uint64(binary.BigEndian.Uint32(id[:4])) >> r.shift // a shift of 32 is 0
	return uint32(uint64(t)<<(32-r.shift) | lead)
}

// find returns the position of the first entry of a blob, or -1.
func (r *run) find(h *BlobHandle) int {
	b := r.bucket(h.Type, &h.ID)
	lo, end := int(r.first[b]), int(r.first[b+1])
	for hi := end; lo < hi; {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(r.at(mid).id[:], h.ID[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < end && r.at(lo).id == h.ID {
		return lo
	}
	return -1
}

// span returns the range of a blob's entries, empty if it has none.
func (r *run) span(h *BlobHandle) (from, to int) {
	from = r.find(h)
	if from < 0 {
		return 0, 0
	}
	to = from + 1
	for to < r.n && r.at(to).id == h.ID && r.at(to).typ() == h.Type {
		to++
	}
	return from, to
}
