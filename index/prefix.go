package index

import (
	"encoding/binary"

	"github.com/garner-backup/garner/crypto"
)

// Prefix is the beginning of a blob's ID. Two of a thousand million blobs
// have the same with a chance of one in thirty; that a given one, which is
// not there, has that of any other is out of the question.
type Prefix [8]byte

// PrefixOf returns the prefix of an ID.
func PrefixOf(id crypto.ID) Prefix { return Prefix(id[:8]) }

// HasPrefix reports whether a blob of the type whose ID begins with p is
// stored anywhere.
func (t *Table) HasPrefix(typ BlobType, p Prefix) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		if t.runs[i].hasPrefix(typ, p) {
			return true
		}
	}
	return false
}

func (r *run) hasPrefix(t BlobType, p Prefix) bool {
	var id crypto.ID
	copy(id[:], p[:])
	b := r.bucket(t, &id)
	want := binary.BigEndian.Uint64(p[:])
	for i := r.first[b]; i < r.first[b+1]; i++ {
		if e := r.at(int(i)); binary.BigEndian.Uint64(e.id[:]) == want {
			return true
		}
	}
	return false
}
