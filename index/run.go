package index

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/garner-backup/garner/crypto"
)

// run is a sorted array of entries with a fan-out table on the leading bits
// of the IDs, which are as good as random: a bucket has about eight entries.
type run struct {
	entries []entry
	// first is, for each type and each value of the leading bits, where its
	// entries begin; one element follows as the end.
	first []uint32
	shift uint8 // 32 less the number of leading bits
}

func newRun(entries []entry) run {
	n := bits.Len(uint(len(entries)) / 8) // leading bits
	r := run{entries: entries, shift: uint8(32 - n), first: make([]uint32, 2<<n+1)}
	for i := range entries {
		r.first[r.bucket(entries[i].typ(), &entries[i].id)+1]++
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
func (r *run) find(h BlobHandle) int {
	if len(r.entries) == 0 {
		return -1
	}
	id := h.ID
	b := r.bucket(h.Type, &id)
	lo, hi := int(r.first[b]), int(r.first[b+1])
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(r.entries[mid].id[:], id[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < int(r.first[b+1]) && r.entries[lo].id == h.ID {
		return lo
	}
	return -1
}

// all returns the entries of a blob.
func (r *run) all(h BlobHandle) []entry {
	at := r.find(h)
	if at < 0 {
		return nil
	}
	end := at + 1
	for end < len(r.entries) && r.entries[end].handle() == h {
		end++
	}
	return r.entries[at:end]
}

// merge returns the entries of a and b, sorted.
func merge(a, b []entry) []entry {
	out := make([]entry, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareEntries(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
