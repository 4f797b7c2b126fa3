package scenario

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/local"
)

// blobsPerPack makes packs of about 16 MiB.
const blobsPerPack = 160

// fillIndex adds index files that list n blobs in packs that do not exist, as
// many to a file as both programs write.
func fillIndex(ctx context.Context, dir, password string, seed uint64, n int) error {
	be, err := local.Open(dir, nil)
	if err != nil {
		return err
	}
	defer be.Close()
	r, err := repo.Open(ctx, be, password, nil)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < n; first += index.FullFile {
		count := min(index.FullFile, n-first)
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := r.SaveUnpacked(ctx, backend.IndexFile, indexFile(rand.NewPCG(seed, uint64(first)), count))
			return err
		})
	}
	return g.Wait()
}

// indexFile returns an index file of n blobs, one in twenty a tree.
func indexFile(rnd *rand.PCG, n int) []byte {
	c := index.NewCollector(time.Now)
	id := func() (id crypto.ID) {
		for i := range len(id) / 8 {
			binary.LittleEndian.PutUint64(id[i*8:], rnd.Uint64())
		}
		return id
	}
	for pack := 0; pack*blobsPerPack < n; pack++ {
		t := index.DataBlob
		if pack%20 == 0 {
			t = index.TreeBlob
		}
		var blobs []index.Blob
		offset := uint32(0)
		for range min(blobsPerPack, n-pack*blobsPerPack) {
			length := uint32(50_000 + rnd.Uint64()%100_000)
			blobs = append(blobs, index.Blob{BlobHandle: index.BlobHandle{Type: t, ID: id()}, Offset: offset, Length: length, UncompressedLength: 2 * length})
			offset += length
		}
		c.Add(id(), blobs)
	}
	return c.Take(true)
}
