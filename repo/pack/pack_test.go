package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// stored is a Loader with one file.
type stored []byte

func (s stored) Load(_ context.Context, _ backend.Handle, offset int64, length int, _ []byte) ([]byte, error) {
	if offset < 0 || offset+int64(length) > int64(len(s)) {
		return nil, backend.ErrShortFile
	}
	return bytes.Clone(s[offset : offset+int64(length)]), nil
}

type testBlob struct {
	blob   index.Blob
	sealed []byte
}

func drawBlobs(t *rapid.T) []testBlob {
	n := rapid.IntRange(1, 40).Draw(t, "blobs")
	blobs := make([]testBlob, n)
	for i := range blobs {
		b := &blobs[i]
		copy(b.blob.ID[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "id"))
		b.blob.Type = index.BlobType(rapid.IntRange(0, 1).Draw(t, "type"))
		b.blob.UncompressedLength = rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32()).Draw(t, "uncompressed")
		b.sealed = bytes.Repeat([]byte{byte(i)}, rapid.IntRange(32, 500).Draw(t, "length"))
	}
	return blobs
}

func content(t interface{ Fatal(...any) }, p *Pack) []byte {
	b, err := io.ReadAll(io.NewSectionReader(p.Content, 0, p.Content.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPackReadsBack(t *testing.T) {
	key := crypto.NewKey()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		blobs := drawBlobs(t)
		b := NewBuilder(key, new(Memory))
		if rapid.Bool().Draw(t, "file") {
			var err error
			if b, err = NewFileBuilder(key, dir); err != nil {
				t.Fatal(err)
			}
		}
		defer b.Close()
		for _, tb := range blobs {
			if err := b.Add(tb.blob, tb.sealed); err != nil {
				t.Fatal(err)
			}
		}
		p, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		data := content(t, p)
		if crypto.Hash(data) != p.ID || int64(len(data)) != Size(p.Blobs) {
			t.Fatalf("ID or size of %d bytes is wrong", len(data))
		}
		got, err := ReadHeader(context.Background(), stored(data), key, p.ID, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for i, tb := range blobs {
			if got[i] != p.Blobs[i] || got[i].BlobHandle != tb.blob.BlobHandle || got[i].UncompressedLength != tb.blob.UncompressedLength {
				t.Fatalf("blob %d: %+v", i, got[i])
			}
			at := data[got[i].Offset : got[i].Offset+got[i].Length]
			if !bytes.Equal(at, tb.sealed) {
				t.Fatalf("blob %d is not where the header says", i)
			}
		}
	})
}

// The sizes are those of packs that restic wrote.
func TestPackSizes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		blobs []index.Blob
		want  int64
	}{
		{"one compressed blob", []index.Blob{{Length: 54, UncompressedLength: 13}}, 131},
		{"one raw blob", []index.Blob{{Length: 45}}, 118},
		{"two compressed trees", []index.Blob{{Length: 332, UncompressedLength: 633}, {Length: 264, UncompressedLength: 337}}, 714},
	} {
		if got := Size(tc.blobs); got != tc.want {
			t.Errorf("%s: %d bytes, want %d", tc.name, got, tc.want)
		}
	}
	if MaxBlobs != 409199 || firstRead != 651 || MinSize != 73 {
		t.Errorf("limits are %d blobs, %d bytes, %d bytes", MaxBlobs, firstRead, MinSize)
	}
}

func TestHeaderBytes(t *testing.T) {
	id, _ := crypto.ParseID("fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f")
	handle := func(t index.BlobType) index.BlobHandle { return index.BlobHandle{Type: t, ID: id} }
	got := appendHeader(nil, []index.Blob{
		{BlobHandle: handle(index.DataBlob), Length: 45},
		{BlobHandle: handle(index.TreeBlob), Length: 0x01020304},
		{BlobHandle: handle(index.DataBlob), Length: 54, UncompressedLength: 13},
		{BlobHandle: handle(index.TreeBlob), Length: 54, UncompressedLength: 13},
	})
	want := "002d000000" + id.String() + "0104030201" + id.String() +
		"02360000000d000000" + id.String() + "03360000000d000000" + id.String()
	if hex.EncodeToString(got) != want {
		t.Errorf("header\n%x\nwant\n%s", got, want)
	}
}

func TestMerge(t *testing.T) {
	key := crypto.NewKey()
	a, b := NewBuilder(key, new(Memory)), NewBuilder(key, new(Memory))
	for i, into := range []*Builder{a, b, b} {
		blob := index.Blob{BlobHandle: index.BlobHandle{ID: crypto.Hash([]byte{byte(i)})}}
		if err := into.Add(blob, bytes.Repeat([]byte{byte(i)}, 40+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	p, err := a.Finish()
	if err != nil || len(p.Blobs) != 3 || !b.Empty() {
		t.Fatalf("%v, %d blobs", err, len(p.Blobs))
	}
	data := content(t, p)
	for i, blob := range p.Blobs {
		if blob.ID != crypto.Hash([]byte{byte(i)}) || data[blob.Offset] != byte(i) || int(blob.Length) != 40+i {
			t.Errorf("blob %d: %+v", i, blob)
		}
	}
}

func TestAddStream(t *testing.T) {
	b, err := NewFileBuilder(crypto.NewKey(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.AddStream(index.Blob{}, func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(strings.Repeat("piece ", 100_000)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	last, r, err := b.LastBlob()
	if err != nil {
		t.Fatal(err)
	}
	if last.Length != 600_000 || r.Size() != 600_000 || b.Size() != 600_000 {
		t.Fatalf("%+v, %d bytes", last, r.Size())
	}
	broken := errors.New("broken")
	if err := b.AddStream(index.Blob{}, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestReadHeaderNamesDamage(t *testing.T) {
	key := crypto.NewKey()
	b := NewBuilder(key, new(Memory))
	for i := range 20 { // more than the first read covers
		blob := index.Blob{BlobHandle: index.BlobHandle{ID: crypto.ID{byte(i)}}, UncompressedLength: 7}
		if err := b.Add(blob, make([]byte, 50)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	good := content(t, p)
	read := func(data []byte) error {
		_, err := ReadHeader(context.Background(), stored(data), key, p.ID, int64(len(data)))
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if read(good[:n]) == nil {
			t.Fatalf("a pack cut to %d of %d bytes was accepted", n, len(good))
		}
	}
	header := len(good) - 20*50
	for i := len(good) - header; i < len(good); i++ {
		damaged := bytes.Clone(good)
		damaged[i] ^= 0x10
		if read(damaged) == nil {
			t.Fatalf("byte %d of the header changed unseen", i)
		}
	}
	if err := read(append([]byte{0}, good...)); err == nil {
		t.Error("a byte in front of the blobs went unseen")
	}
}

// TestChangesInMemoryAreNoticed flips a bit of a pack that waits for more
// blobs.
func TestChangesInMemoryAreNoticed(t *testing.T) {
	key := crypto.NewKey()
	filled := func() *Builder {
		b := NewBuilder(key, new(Memory))
		for i := range 3 {
			content := bytes.Repeat([]byte{byte(i)}, 1<<19)
			if err := b.Add(index.Blob{BlobHandle: index.BlobHandle{ID: crypto.Hash(content)}}, key.Seal(nil, content)); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	for _, at := range []int{0, 1000, 1<<20 - 1, 1 << 20, 3<<19 + 90} {
		b := filled()
		b.mem.list[at/slabSize][at%slabSize] ^= 0x10
		if _, err := b.Finish(); err == nil {
			t.Errorf("byte %d: Finish did not notice", at)
		}
		if err := filled().Merge(b); err == nil {
			t.Errorf("byte %d: Merge did not notice", at)
		}
	}
	if _, err := filled().Finish(); err != nil {
		t.Error(err)
	}
}

func TestFinishRefusesAnEmptyPack(t *testing.T) {
	if _, err := NewBuilder(crypto.NewKey(), new(Memory)).Finish(); err == nil {
		t.Fatal("no error")
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(appendHeader(nil, []index.Blob{{Length: 45}, {Length: 54, UncompressedLength: 13}}))
	f.Add([]byte{4})
	f.Add(make([]byte, 37))
	f.Fuzz(func(t *testing.T, plain []byte) {
		blobs, err := ParseHeader(plain)
		if err != nil {
			return
		}
		if again := appendHeader(nil, blobs); !bytes.Equal(again, plain) {
			t.Fatalf("header\n%x encodes as\n%x", plain, again)
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	key, memory := crypto.NewKey(), new(Memory)
	sealed := make([]byte, 1<<20)
	for i := range sealed {
		sealed[i] = byte(rand.Uint32())
	}
	b.Run("16MiB", func(b *testing.B) {
		b.SetBytes(16 << 20)
		for b.Loop() {
			p := NewBuilder(key, memory)
			for i := range 16 {
				if err := p.Add(index.Blob{BlobHandle: index.BlobHandle{ID: crypto.ID{byte(i)}}}, sealed); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := p.Finish(); err != nil {
				b.Fatal(err)
			}
			p.Close()
		}
	})
	// A pack can't be made without being copied and hashed.
	b.Run("limit", func(b *testing.B) {
		to := make([]byte, len(sealed))
		b.SetBytes(16 << 20)
		for b.Loop() {
			sum := sha256.New()
			for range 16 {
				copy(to, sealed)
				sum.Write(to)
			}
		}
	})
}
