package index

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"

	"github.com/garner-backup/garner/crypto"
)

// packSet numbers packs. It is a hash table with open addressing over an
// array of IDs, as a map would take several times the memory: where packs are
// full of large blobs, there is a pack for a dozen of them.
type packSet struct {
	ids   []crypto.ID // by number
	slots []uint32    // number + 1, or 0 where free; a power of two, at most 3/4 full
	seed  maphash.Seed
}

// slot returns where an ID is, or else where it belongs. There are slots.
func (s *packSet) slot(id *crypto.ID) int {
	mask := len(s.slots) - 1
	at := int(maphash.Bytes(s.seed, id[:])) & mask
	for s.slots[at] != 0 && s.ids[s.slots[at]-1] != *id {
		at = (at + 1) & mask
	}
	return at
}

// add returns the number of a pack, a new one if it has none yet.
func (s *packSet) add(id crypto.ID) (number uint32, known bool) {
	if 4*len(s.ids) >= 3*len(s.slots) {
		s.grow()
	}
	at := s.slot(&id)
	if n := s.slots[at]; n != 0 {
		return n - 1, true
	}
	s.ids = append(s.ids, id)
	s.slots[at] = uint32(len(s.ids))
	return uint32(len(s.ids) - 1), false
}

func (s *packSet) grow() {
	if len(s.slots) == 0 {
		s.seed = maphash.MakeSeed()
	}
	s.slots = make([]uint32, max(8, 2*len(s.slots)))
	for i := range s.ids {
		s.slots[s.slot(&s.ids[i])] = uint32(i + 1)
	}
}

// PackInfo is what the index says about a pack as a whole.
type PackInfo struct {
	Blobs      [NumBlobTypes]int // how many of each type
	Compressed int               // how many of them are compressed
	Stored     int64             // sum of the blobs' stored lengths, bytes
}

// Sizes of what a pack file holds besides its blobs, as the format lays down:
// an entry of its header is type, length and ID, and the length of the
// plaintext if the blob is compressed; the header is sealed and followed by
// its length.
const (
	headerEntry  = 1 + 4 + crypto.IDSize
	headerPlain  = 4
	headerExtras = crypto.Overhead + 4
)

// FileSize returns the size in bytes that the pack file must have if the
// index lists all of it.
func (p PackInfo) FileSize() int64 {
	n := 0
	for _, blobs := range p.Blobs {
		n += blobs
	}
	return p.Stored + int64(n)*headerEntry + int64(p.Compressed)*headerPlain + headerExtras
}

// Mixed reports whether the pack has blobs of more than one type, as only old
// repositories of version 1 may.
func (p PackInfo) Mixed() bool { return p.Blobs[DataBlob] > 0 && p.Blobs[TreeBlob] > 0 }

// Packs yields what the index says about each pack, in no particular order.
// It shows the table as it is when the loop begins, and takes 32 bytes for
// each pack.
func (t *Table) Packs() iter.Seq2[crypto.ID, PackInfo] {
	return func(yield func(crypto.ID, PackInfo) bool) {
		v := t.View()
		for i, p := range v.PackInfos() {
			if p != (PackInfo{}) && !yield(v.packs[i], p) {
				return
			}
		}
	}
}

// ByPack yields each pack with its blobs, sorted by offset, in no particular
// order of packs. The slice is valid until the next one. It shows the table as
// it is when the loop begins, and takes four more bytes for each blob.
func (t *Table) ByPack() iter.Seq2[crypto.ID, []Blob] {
	return func(yield func(crypto.ID, []Blob) bool) {
		entries, packs := t.flatten()
		starts, order := byPack(&entries, len(packs))
		var blobs []Blob
		for p, id := range packs {
			blobs = blobs[:0]
			for _, at := range order[starts[p]:starts[p+1]] {
				blobs = append(blobs, entries.at(int(at)).blob())
			}
			slices.SortFunc(blobs, func(a, b Blob) int { return cmp.Compare(a.Offset, b.Offset) })
			if len(blobs) > 0 && !yield(id, blobs) {
				return
			}
		}
	}
}

// byPack sorts the positions of entries by pack number, counting: those of
// pack p are order[starts[p]:starts[p+1]].
func byPack(entries *entryList, packs int) (starts, order []uint32) {
	starts = make([]uint32, packs+1)
	for i := range entries.n {
		starts[entries.at(i).pack&^treeBit+1]++
	}
	for p := range packs {
		starts[p+1] += starts[p]
	}
	order = make([]uint32, entries.n)
	next := slices.Clone(starts)
	for i := range entries.n {
		p := entries.at(i).pack &^ treeBit
		order[next[p]] = uint32(i)
		next[p]++
	}
	return starts, order
}
