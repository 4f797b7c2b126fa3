package index

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
)

// model is the plain form of a Table.
type model map[BlobHandle][]Location

func (m model) add(pack crypto.ID, blobs []Blob) {
	for _, b := range blobs {
		if l := (Location{b, pack}); !slices.Contains(m[b.BlobHandle], l) {
			m[b.BlobHandle] = append(m[b.BlobHandle], l)
		}
	}
}

// drawID draws from few IDs, so that blobs and packs meet again, some of them
// with many leading bits in common.
func drawID(t *rapid.T, label string) crypto.ID {
	id := crypto.Hash([]byte{byte(rapid.IntRange(0, 60).Draw(t, label))})
	if rapid.Bool().Draw(t, label+" crowded") {
		id[0], id[1], id[2], id[3] = 0, 0, 0, 0
	}
	return id
}

func drawPack(t *rapid.T) (crypto.ID, []Blob) {
	blobs := make([]Blob, rapid.IntRange(1, 20).Draw(t, "blobs"))
	for i := range blobs {
		blobs[i] = Blob{
			BlobHandle:         BlobHandle{BlobType(rapid.IntRange(0, 1).Draw(t, "type")), drawID(t, "blob")},
			Offset:             uint32(i * 1000),
			Length:             rapid.Uint32Range(crypto.Overhead, 1000).Draw(t, "length"),
			UncompressedLength: rapid.SampledFrom([]uint32{0, 1, 1<<32 - 1}).Draw(t, "uncompressed"),
		}
	}
	return crypto.Hash([]byte(rapid.StringN(1, 8, 8).Draw(t, "pack"))), blobs
}

func checkAgainst(t *rapid.T, table *Table, m model) {
	total := 0
	for h, want := range m {
		got := table.Lookup(nil, h)
		if !table.Has(h) || len(got) != len(want) {
			t.Fatalf("%v: %d places, want %d", h, len(got), len(want))
		}
		for _, l := range want {
			if !slices.Contains(got, l) {
				t.Fatalf("%v is not at %+v", h, l)
			}
		}
		if n, ok := table.PlaintextLength(h); !ok || !slices.ContainsFunc(want, func(l Location) bool { return l.PlaintextLength() == n }) {
			t.Fatalf("%v: plaintext of %d bytes", h, n)
		}
		total += len(want)
	}
	if table.Len() != total {
		t.Fatalf("Len is %d, want %d", table.Len(), total)
	}
	for range 20 {
		h := BlobHandle{BlobType(rapid.IntRange(0, 1).Draw(t, "type")), drawID(t, "probe")}
		if table.Has(h) != (len(m[h]) > 0) {
			t.Fatalf("Has(%v) is %v", h, table.Has(h))
		}
	}
}

func TestTableAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, m := NewTable(), model{}
		packs := make(map[crypto.ID][]Blob)
		for range rapid.IntRange(0, 30).Draw(t, "packs") {
			pack, blobs := drawPack(t)
			if packs[pack] != nil {
				continue
			}
			packs[pack] = blobs
			table.Add(pack, blobs)
			m.add(pack, blobs)
			checkAgainst(t, table, m)
		}
		checkOrder(t, table)
		seen := 0
		for pack, blobs := range table.ByPack() {
			seen++
			if !slices.Equal(blobs, packs[pack]) {
				t.Fatalf("pack %v: %+v, want %+v", pack, blobs, packs[pack])
			}
		}
		if seen != len(packs) {
			t.Fatalf("ByPack yields %d packs of %d", seen, len(packs))
		}
	})
}

// checkOrder checks that All is sorted and that ordinals tell blobs apart.
func checkOrder(t *rapid.T, table *Table) {
	ordinals := make(map[int]BlobHandle)
	var last BlobHandle
	n := 0
	for l := range table.All() {
		h := l.BlobHandle
		if n > 0 && (h.Type < last.Type || h.Type == last.Type && h.ID.Compare(last.ID) < 0) {
			t.Fatalf("%v follows %v", h, last)
		}
		last = h
		n++
		o, ok := table.Ordinal(h)
		if prev, taken := ordinals[o]; !ok || o < 0 || o >= table.Len() || taken && prev != h {
			t.Fatalf("ordinal of %v is %d (%v), as of %v", h, o, ok, prev)
		}
		ordinals[o] = h
	}
	if n != table.Len() {
		t.Fatalf("All yields %d of %d", n, table.Len())
	}
	if _, ok := table.Ordinal(BlobHandle{ID: crypto.Hash([]byte("nobody"))}); ok {
		t.Fatal("an unknown blob has an ordinal")
	}
}

func TestBuilderMergesFilesThatRepeatPacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := NewBuilder(), model{}
		var wg sync.WaitGroup
		for range rapid.IntRange(0, 8).Draw(t, "files") {
			f := b.File()
			commit := rapid.IntRange(0, 5).Draw(t, "damaged") > 0
			for range rapid.IntRange(0, 6).Draw(t, "packs") {
				pack, blobs := drawPack(t)
				f.Add(pack, blobs)
				if commit {
					m.add(pack, blobs)
				}
				clear(blobs) // the caller's again
			}
			if commit {
				wg.Go(f.Commit)
			}
		}
		wg.Wait()
		table := b.Table()
		checkAgainst(t, table, m)
		checkOrder(t, table)
		seen := make(map[crypto.ID]bool)
		for pack := range table.ByPack() {
			if seen[pack] {
				t.Fatalf("pack %v comes twice", pack)
			}
			seen[pack] = true
		}
	})
}

func TestLookupWhilePacksAreAdded(t *testing.T) {
	table := NewTable()
	known := manyBlobs(0, 100)
	table.Add(crypto.ID{1}, known)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				table.Add(crypto.ID{2, byte(w), byte(i)}, manyBlobs(1000*(w+1)+i*20, 20))
			}
		})
		wg.Go(func() {
			for range 50 {
				for _, b := range known {
					if !table.Has(b.BlobHandle) {
						t.Error("a blob is gone for a while")
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if table.Len() != 100+4*50*20 {
		t.Fatalf("Len is %d", table.Len())
	}
}

// manyBlobs returns n data blobs with IDs that only their numbers determine.
func manyBlobs(from, n int) []Blob {
	blobs := make([]Blob, n)
	for i := range blobs {
		r := rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(from+i))))
		_, _ = r.Read(blobs[i].ID[:])
		blobs[i].Offset, blobs[i].Length = uint32(i*1000), 1000
		blobs[i].UncompressedLength = 3000
	}
	return blobs
}

// bigTable has n blobs in packs of 500.
func bigTable(n int) *Table {
	b := NewBuilder()
	for from := 0; from < n; from += FullFile {
		f := b.File()
		for at := from; at < min(from+FullFile, n); at += 500 {
			f.Add(crypto.Hash(binary.LittleEndian.AppendUint64(nil, uint64(at))), manyBlobs(at, 500))
		}
		f.Commit()
	}
	return b.Table()
}

// bytesUsed is what a table takes, arrays at their capacity.
func bytesUsed(t *Table) int {
	n := cap(t.packs) * crypto.IDSize
	for _, r := range t.runs {
		n += cap(r.entries)*int(unsafe.Sizeof(entry{})) + cap(r.first)*4
	}
	return n
}

func TestATableIsCompact(t *testing.T) {
	built := bigTable(200_000)
	grown := NewTable()
	for at := 0; at < 200_000; at += 500 {
		grown.Add(crypto.Hash(binary.LittleEndian.AppendUint64(nil, uint64(at))), manyBlobs(at, 500))
	}
	for name, table := range map[string]*Table{"built": built, "grown": grown} {
		if per := float64(bytesUsed(table)) / float64(table.Len()); per > 56 || table.Len() != 200_000 {
			t.Errorf("%s: %.1f bytes for each of %d blobs", name, per, table.Len())
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for name, n := range map[string]int{"1e6": 1_000_000, "1e7": 10_000_000} {
		b.Run(name, func(b *testing.B) {
			if testing.Short() && n > 1_000_000 {
				b.Skip("takes a gigabyte")
			}
			table := bigTable(n)
			b.ReportMetric(float64(bytesUsed(table))/float64(n), "B/blob")
			var probes []BlobHandle
			for _, blob := range manyBlobs(0, 4096) {
				probes = append(probes, blob.BlobHandle)
			}
			i := 0
			for b.Loop() {
				if !table.Has(probes[i&4095]) {
					b.Fatal("lost")
				}
				i += 1223
			}
		})
	}
}

func BenchmarkAddPacks(b *testing.B) {
	blobs := manyBlobs(0, 500)
	for b.Loop() {
		table := NewTable()
		for i := range 200 {
			for j := range blobs {
				binary.LittleEndian.PutUint64(blobs[j].ID[:], rand.Uint64())
			}
			table.Add(crypto.ID{byte(i)}, blobs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/blob")
}
