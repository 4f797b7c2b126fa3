package index

import (
	"testing"

	"github.com/garner-backup/garner/crypto"
)

func TestHasPrefix(t *testing.T) {
	table := NewTable()
	var blobs []Blob
	for i := range 3000 {
		blobs = append(blobs, Blob{BlobHandle: BlobHandle{Type: BlobType(i % 2), ID: crypto.Hash([]byte{byte(i), byte(i >> 8)})}, Offset: uint32(i) * 100, Length: 100})
	}
	table.Add(crypto.RandomID(), blobs[:2000])
	table.Add(crypto.RandomID(), blobs[2000:2900])
	for i, b := range blobs {
		if got, want := table.HasPrefix(b.Type, PrefixOf(b.ID)), i < 2900; got != want {
			t.Errorf("blob %d: %v", i, got)
		}
		if table.HasPrefix(1-b.Type, PrefixOf(b.ID)) {
			t.Errorf("blob %d is found as of the other type", i)
		}
		for bit := range 64 {
			p := PrefixOf(b.ID)
			p[bit/8] ^= 1 << (bit % 8)
			if table.HasPrefix(b.Type, p) {
				t.Errorf("blob %d is found with bit %d flipped", i, bit)
			}
		}
	}
	if NewTable().HasPrefix(DataBlob, Prefix{}) {
		t.Error("an empty table has something")
	}
}
