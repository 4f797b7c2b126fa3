package pack_test

import (
	"fmt"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/pack"
)

func ExampleBuilder() {
	key := crypto.NewKey()
	content := []byte("hello restic\n")
	blob := index.Blob{BlobHandle: index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}}

	b := pack.NewBuilder(key, new(pack.Memory))
	if err := b.Add(blob, key.Seal(nil, content)); err != nil {
		fmt.Println(err)
	}
	p, err := b.Finish()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(p.Content.Size(), "bytes")
	fmt.Println(p.Blobs[0].BlobHandle, "at", p.Blobs[0].Offset)
	// Output:
	// 118 bytes
	// data/fbbd6919 at 0
}
