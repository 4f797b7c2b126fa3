package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/pack"
)

// randomBlob returns size bytes that only their seed determines.
func randomBlob(seed uint64, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

// reopened returns the repository as another process finds it.
func reopened(t testing.TB, r *Repo) *Repo {
	t.Helper()
	other := sameRepo(t, r, "other")
	if err := other.LoadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	return other
}

func fileCount(t testing.TB, r *Repo, typ backend.FileType) int {
	t.Helper()
	n := 0
	for _, err := range r.List(context.Background(), typ) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestBlobsReadBack(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, mode := range []Compression{CompressionAuto, CompressionOff, CompressionFastest, CompressionBetter, CompressionMax} {
			t.Run(fmt.Sprintf("version %d %v", version, mode), func(t *testing.T) {
				r := newTestRepo(t, mem.New(), &Options{Compression: mode})
				r.config.Version = version
				var handles []index.BlobHandle
				var contents [][]byte
				err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
					for i, size := range []int{1, 13, 255, 256, 4096, 512 << 10, 1 << 20, 0} {
						for _, typ := range []index.BlobType{index.DataBlob, index.TreeBlob} {
							for _, content := range [][]byte{randomBlob(uint64(i), size), bytes.Repeat([]byte("text "), size/5)} {
								saved, err := w.SaveBlob(ctx, typ, content)
								if err != nil {
									return err
								}
								handles = append(handles, index.BlobHandle{Type: typ, ID: saved.ID})
								contents = append(contents, content)
							}
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				other := reopened(t, r)
				for i, h := range handles {
					got, err := other.LoadBlob(t.Context(), h, nil)
					if err != nil || !bytes.Equal(got, contents[i]) {
						t.Errorf("%v of %d bytes: %v", h, len(contents[i]), err)
					}
					for _, l := range other.index.Lookup(nil, h) {
						want := version == 2 && len(contents[i]) > 0 && (h.Type == index.TreeBlob || mode != CompressionOff)
						if l.Compressed() != want {
							t.Errorf("%v: compressed is %v", h, l.Compressed())
						}
					}
				}
			})
		}
	}
}

func TestTheSameBlobIsStoredOnce(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	var stored atomic.Int32
	for round := range 2 {
		err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for i := range 50 {
						saved, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 1000))
						if err != nil {
							t.Error(err)
						}
						if saved.New {
							stored.Add(1)
						}
					}
				})
			}
			wg.Wait()
			return nil
		})
		if err != nil || stored.Load() != 50 {
			t.Fatalf("round %d: %v, %d stored", round, err, stored.Load())
		}
		if n := reopened(t, r).index.Len(); n != 50 {
			t.Fatalf("the index has %d blobs", n)
		}
	}
}

func TestPacksHaveTheRightSizeAndOneType(t *testing.T) {
	for _, size := range []int{MinPackSize, 40 << 20} { // in memory, in temporary files
		r := newTestRepo(t, mem.New(), &Options{PackSize: size, Compression: CompressionOff, TempDir: t.TempDir()})
		total := 3*size + 1<<20
		err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
			for i := range total / (256 << 10) {
				if _, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 256<<10)); err != nil {
					return err
				}
				if _, err := w.SaveBlob(ctx, index.TreeBlob, fmt.Appendf(nil, "tree %d", i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		small, packs := 0, 0
		for fi, err := range r.List(t.Context(), backend.PackFile) {
			if err != nil {
				t.Fatal(err)
			}
			packs++
			if fi.Size < int64(size) {
				small++
			}
			if fi.Size > int64(size)+1<<20 {
				t.Errorf("a pack of %d bytes for a target of %d", fi.Size, size)
			}
			blobs, err := pack.ReadHeader(t.Context(), r.be, r.key, fi.ID, fi.Size)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range blobs {
				if b.Type != blobs[0].Type {
					t.Errorf("pack %v has both types", fi.ID)
				}
			}
		}
		if packs < 4 || small > 3 {
			t.Errorf("target %d: %d packs, %d of them small", size, packs, small)
		}
		if n := fileCount(t, r, backend.IndexFile); n != 1 {
			t.Errorf("%d index files", n)
		}
	}
}

func TestABlobLargerThanAPackGetsItsOwn(t *testing.T) {
	r := newTestRepo(t, mem.New(), &Options{PackSize: MinPackSize, Compression: CompressionOff})
	big := randomBlob(1, 7<<20)
	err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
		for i := range 10 {
			if _, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i+10), 100_000)); err != nil {
				return err
			}
		}
		_, err := w.SaveBlob(ctx, index.DataBlob, big)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	other := reopened(t, r)
	l := other.index.Lookup(nil, index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(big)})
	if len(l) != 1 || l[0].Offset != 0 {
		t.Fatalf("the large blob is at %+v", l)
	}
	for pack, blobs := range other.index.ByPack() {
		if pack == l[0].Pack && len(blobs) != 1 {
			t.Errorf("it shares its pack with %d blobs", len(blobs)-1)
		}
	}
}

func TestLargeBlobsNeedNoMemory(t *testing.T) {
	for _, version := range []int{1, 2} {
		r := newTestRepo(t, mem.New(), &Options{TempDir: t.TempDir()})
		r.config.Version = version
		content := append(bytes.Repeat([]byte("a folder with many files; "), 100_000), randomBlob(1, 300_000)...)
		h := index.BlobHandle{Type: index.TreeBlob, ID: crypto.Hash(content)}
		for round := range 2 {
			err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
				saved, err := w.SaveLarge(ctx, h, backend.Bytes(content))
				if saved.New != (round == 0) {
					t.Errorf("round %d: new is %v", round, saved.New)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		other := reopened(t, r)
		if got, err := other.LoadBlob(t.Context(), h, nil); err != nil || !bytes.Equal(got, content) {
			t.Errorf("version %d, LoadBlob: %v", version, err)
		}
		f, err := other.LoadLarge(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
			t.Errorf("version %d, LoadLarge: %v", version, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAFailedSaveFailsTheWrite(t *testing.T) {
	be := &failing{Backend: mem.New()}
	r := newTestRepo(t, be, &Options{PackSize: MinPackSize})
	be.broken.Store(true)
	err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
		for i := range 100 {
			if _, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 1<<20)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v, want the backend's", err)
	}
}

func TestAnInterruptedWriteKeepsWhatIsStored(t *testing.T) {
	r := newTestRepo(t, mem.New(), &Options{PackSize: MinPackSize})
	ctx, cancel := context.WithCancel(t.Context())
	err := r.Write(ctx, func(ctx context.Context, w *Writer) error {
		for i := range 100 {
			if _, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 1<<20)); err != nil {
				return err
			}
			if i == 30 {
				w.uploads.Wait()
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	other := reopened(t, r)
	if n := other.index.Len(); n < 16 || n > 31 {
		t.Errorf("%d blobs are indexed", n)
	}
	if packs, indexes := fileCount(t, r, backend.PackFile), fileCount(t, r, backend.IndexFile); packs < 3 || indexes != 1 {
		t.Errorf("%d packs, %d index files", packs, indexes)
	}
}

func TestDamagedBlobsAreReadFromAnotherPlace(t *testing.T) {
	be := mem.New()
	r := newTestRepo(t, be, nil)
	content := randomBlob(1, 10_000)
	for range 2 { // two writers that do not know of each other
		err := sameRepo(t, r, "other").Write(t.Context(), func(ctx context.Context, w *Writer) error {
			_, err := w.SaveBlob(ctx, index.DataBlob, content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	other := reopened(t, r)
	h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}
	places := other.index.Lookup(nil, h)
	if len(places) != 2 {
		t.Fatalf("%d places", len(places))
	}
	for i, l := range places {
		file := fileHandle(backend.PackFile, l.Pack)
		data, err := be.Load(t.Context(), file, 0, -1, nil)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.Clone(data)
		data[l.Offset+20] ^= 1
		if err := be.Remove(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if err := be.Save(t.Context(), file, backend.Bytes(data)); err != nil {
			t.Fatal(err)
		}
		got, err := other.LoadBlob(t.Context(), h, nil)
		if i == 0 {
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("with one copy damaged: %v", err)
			}
			continue
		}
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Blob == nil || *corrupt.Blob != h {
			t.Fatalf("with both copies damaged: %v", err)
		}
	}
	missing := index.BlobHandle{Type: index.DataBlob, ID: crypto.RandomID()}
	if _, err := other.LoadBlob(t.Context(), missing, nil); !errors.As(err, new(*MissingBlobError)) {
		t.Errorf("a blob that is not there: %v", err)
	}
}

func TestLoadFromPackReadsEveryBlobOnce(t *testing.T) {
	r := newTestRepo(t, mem.New(), &Options{Compression: CompressionOff})
	err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
		for i := range 200 {
			if _, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 1000+i*500)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pack, blobs := range reopened(t, r).index.ByPack() {
		var wanted []index.Blob
		for i, b := range blobs {
			if i%3 != 1 {
				wanted = append(wanted, b)
			}
		}
		rand.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
		seen := make(map[crypto.ID]int)
		last := int64(-1)
		err := r.LoadFromPack(t.Context(), pack, wanted, func(b index.Blob, plain []byte, err error) error {
			if err != nil || crypto.Hash(plain) != b.ID || int64(b.Offset) <= last {
				t.Errorf("%v at %d after %d: %v", b.BlobHandle, b.Offset, last, err)
			}
			last = int64(b.Offset)
			seen[b.ID]++
			return nil
		})
		if err != nil || len(seen) != len(wanted) {
			t.Errorf("%v; %d of %d blobs", err, len(seen), len(wanted))
		}
	}
}

// slowPacks is a storage on which packs take until go_ is closed.
type slowPacks struct {
	backend.Backend
	go_ chan struct{}
}

func (b slowPacks) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if h.Type == backend.PackFile {
		select {
		case <-b.go_:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.Backend.Save(ctx, h, c)
}

// TestPacksOutliveTheCallThatFilledThem ends the context of a call while the
// pack that it filled is still being stored.
func TestPacksOutliveTheCallThatFilledThem(t *testing.T) {
	be := slowPacks{mem.New(), make(chan struct{})}
	r := newTestRepo(t, be, &Options{PackSize: MinPackSize})
	content := randomBlob(1, MinPackSize+1)
	err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
		call, cancel := context.WithCancel(ctx)
		_, err := w.SaveBlob(call, index.DataBlob, content)
		cancel()
		close(be.go_)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := reopened(t, r).LoadBlob(t.Context(), index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}, nil)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestTheLastPacksMergeOnlyIfTheirHeadersFit ends with two packs that
// together have room for their bytes, but not for their entries.
func TestTheLastPacksMergeOnlyIfTheirHeadersFit(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 400,000 blobs")
	}
	r := newTestRepo(t, mem.New(), &Options{PackSize: MaxPackSize, Compression: CompressionOff, Verify: VerifyNone, TempDir: t.TempDir()})
	const blobs = pack.MaxBlobs + 5000
	err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
		for i := range uint64(blobs) {
			h := index.BlobHandle{Type: index.DataBlob, ID: crypto.ID{byte(i), byte(i >> 8), byte(i >> 16)}}
			if _, err := w.SaveHashed(ctx, h, []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || r.Index().Len() != blobs || fileCount(t, r, backend.PackFile) != 2 {
		t.Errorf("%v; %d blobs in %d packs", err, r.Index().Len(), fileCount(t, r, backend.PackFile))
	}
}
