package prune

import (
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
)

// Stats are the figures of a plan: how it is, and how it will be.
type Stats struct {
	Blobs BlobStats `json:"blobs"`
	Bytes ByteStats `json:"bytes"`
	Packs PackStats `json:"packfiles"`
}

// BlobStats count blobs; one that is stored twice counts twice.
type BlobStats struct {
	Used         int `json:"used"`
	Duplicate    int `json:"duplicate"` // stored elsewhere, too
	Unused       int `json:"unused"`
	Total        int `json:"total"`
	Repack       int `json:"repack"`        // in packs that are packed anew
	RepackRemove int `json:"repack_remove"` // of these, left behind
	Remove       int `json:"remove"`        // in packs that are deleted
	RemoveTotal  int `json:"remove_total"`
	Remaining    int `json:"remaining"`
}

// ByteStats are the same in bytes as stored, with the entries in the packs'
// headers.
type ByteStats struct {
	Used            int64 `json:"used"`
	Duplicate       int64 `json:"duplicate"`
	Unused          int64 `json:"unused"`
	Unreferenced    int64 `json:"unreferenced"` // packs that no index lists
	Total           int64 `json:"total"`
	Uncompressed    int64 `json:"uncompressed"` // of what stays where it is, not compressed
	Repack          int64 `json:"repack"`
	RepackRemove    int64 `json:"repack_remove"`
	Remove          int64 `json:"remove"`
	RemoveTotal     int64 `json:"remove_total"`
	Remaining       int64 `json:"remaining"`
	RemainingUnused int64 `json:"remaining_unused"`
}

// PackStats count packs.
type PackStats struct {
	Used         int `json:"used"` // in full
	Unused       int `json:"unused"`
	PartlyUsed   int `json:"partly_used"`
	Unreferenced int `json:"unreferenced"`
	Total        int `json:"total"`
	Keep         int `json:"keep"`
	Repack       int `json:"repack"`
	Remove       int `json:"remove"`
	RemoveTotal  int `json:"remove_total"`
}

// Stats returns the figures of the plan.
func (p *Plan) Stats() Stats { return p.stats }

// sum computes the figures.
func (p *Plan) sum() {
	var used, duplicate, unused, repack, repackRemove, remove count
	repacked := index.NewBitmap(len(p.packs))
	for _, n := range p.repack {
		repacked.Add(n)
	}
	s := &p.stats
	for n := range p.packs {
		pack := &p.packs[n]
		used.plus(pack.used)
		duplicate.plus(pack.duplicate)
		unused.plus(pack.unused)
		switch {
		case pack.used.blobs == 0:
			s.Packs.Unused++
		case pack.waste() == 0:
			s.Packs.Used++
		default:
			s.Packs.PartlyUsed++
		}
		switch waste := (count{pack.duplicate.blobs + pack.unused.blobs, pack.waste()}); {
		case repacked.Has(n):
			s.Packs.Repack++
			repack.plus(pack.used)
			repack.plus(waste)
			repackRemove.plus(waste)
		case p.remove.Has(n):
			s.Packs.Remove++
			remove.plus(waste)
		default:
			s.Packs.Keep++
			s.Bytes.RemainingUnused += waste.bytes
		}
	}
	s.Packs.Total = len(p.packs) + s.Packs.Unreferenced
	s.Packs.RemoveTotal = s.Packs.Remove + s.Packs.Unreferenced
	s.Blobs.Used, s.Bytes.Used = used.blobs, used.bytes
	s.Blobs.Duplicate, s.Bytes.Duplicate = duplicate.blobs, duplicate.bytes
	s.Blobs.Unused, s.Bytes.Unused = unused.blobs, unused.bytes
	s.Blobs.Total = used.blobs + duplicate.blobs + unused.blobs
	s.Bytes.Total = used.bytes + duplicate.bytes + unused.bytes + s.Bytes.Unreferenced
	s.Blobs.Repack, s.Bytes.Repack = repack.blobs, repack.bytes
	s.Blobs.RepackRemove, s.Bytes.RepackRemove = repackRemove.blobs, repackRemove.bytes
	s.Blobs.Remove, s.Bytes.Remove = remove.blobs, remove.bytes
	s.Blobs.RemoveTotal = remove.blobs + repackRemove.blobs
	s.Bytes.RemoveTotal = remove.bytes + repackRemove.bytes + s.Bytes.Unreferenced
	s.Blobs.Remaining = s.Blobs.Total - s.Blobs.RemoveTotal
	s.Bytes.Remaining = s.Bytes.Total - s.Bytes.RemoveTotal
	s.Bytes.Uncompressed = p.uncompressed(repacked)
}

// uncompressed returns how many bytes that stay where they are would be
// compressed now.
func (p *Plan) uncompressed(repacked index.Bitmap) (n int64) {
	for at := range p.view.Len() {
		if number := p.view.PackOf(at); !p.remove.Has(number) && !repacked.Has(number) {
			if b := p.view.At(at); p.repo.Recompresses(b) {
				n += stored(b)
			}
		}
	}
	return n
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return p.remove.Len() == 0 && len(p.orphan) == 0 }

// Repacks returns the packs that are going to be packed anew.
func (p *Plan) Repacks() []crypto.ID {
	ids := make([]crypto.ID, 0, len(p.repack))
	for _, n := range p.repack {
		ids = append(ids, p.view.PackID(n))
	}
	return ids
}

// Removes returns the packs that are going to be deleted without being packed
// anew.
func (p *Plan) Removes() []crypto.ID {
	var ids []crypto.ID
	for n := range p.packs {
		if p.remove.Has(n) && p.packs[n].used.blobs == 0 && p.packs[n].size > 0 {
			ids = append(ids, p.view.PackID(n))
		}
	}
	return append(ids, p.orphan...)
}
