package index_test

import (
	"fmt"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
)

func Example() {
	blob := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash([]byte("hello restic\n"))}
	pack := crypto.Hash([]byte("the bytes of a pack"))

	c := index.NewCollector(time.Now)
	c.Add(pack, []index.Blob{{BlobHandle: blob, Offset: 0, Length: 54, UncompressedLength: 13}})
	file := c.Take(true)

	b := index.NewBuilder()
	f := b.File()
	if err := index.Decode(file, func(pack crypto.ID, blobs []index.Blob) error {
		f.Add(pack, blobs)
		return nil
	}); err != nil {
		fmt.Println(err)
	}
	f.Commit()
	table := b.Table()

	for _, l := range table.Lookup(nil, blob) {
		fmt.Println(l.BlobHandle, l.Pack == pack, l.Offset, l.Length, l.PlaintextLength())
	}
	// Output: data/fbbd6919 true 0 54 13
}
