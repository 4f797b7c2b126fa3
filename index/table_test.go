package index

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"runtime"
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
			if rapid.Bool().Draw(t, "same again") {
				blobs = append(blobs, blobs...)
			}
			for _, b := range blobs {
				if !slices.Contains(packs[pack], b) {
					packs[pack] = append(packs[pack], b)
				}
			}
			table.Add(pack, blobs)
			m.add(pack, blobs)
			checkAgainst(t, table, m)
		}
		checkOrder(t, table)
		checkPacks(t, table, packs)
	})
}

// checkPacks checks what the table says by pack.
func checkPacks(t *rapid.T, table *Table, packs map[crypto.ID][]Blob) {
	byPack := make(map[crypto.ID][]Blob)
	for pack, blobs := range table.ByPack() {
		if byPack[pack] != nil || !slices.IsSortedFunc(blobs, func(a, b Blob) int { return cmp.Compare(a.Offset, b.Offset) }) {
			t.Fatalf("pack %v comes twice or unsorted", pack)
		}
		byPack[pack] = slices.Clone(blobs)
	}
	infos := maps.Collect(table.Packs())
	if len(byPack) != len(packs) || len(infos) != len(packs) {
		t.Fatalf("ByPack yields %d packs, Packs %d, want %d", len(byPack), len(infos), len(packs))
	}
	for pack, want := range packs {
		var info PackInfo
		for _, b := range want {
			if !slices.Contains(byPack[pack], b) {
				t.Fatalf("pack %v lacks %+v", pack, b)
			}
			info.Blobs[b.Type]++
			info.Stored += int64(b.Length)
			if b.Compressed() {
				info.Compressed++
			}
		}
		if len(byPack[pack]) != len(want) || infos[pack] != info {
			t.Fatalf("pack %v: %d blobs, %+v; want %d, %+v", pack, len(byPack[pack]), infos[pack], len(want), info)
		}
	}
}

// The sizes are of packs that restic 0.19.1 made.
func TestFileSizeIsTheSizeOfThePack(t *testing.T) {
	for want, p := range map[int64]PackInfo{
		131: {Blobs: [NumBlobTypes]int{DataBlob: 1}, Compressed: 1, Stored: 54},
		714: {Blobs: [NumBlobTypes]int{TreeBlob: 2}, Compressed: 2, Stored: 332 + 264},
		118: {Blobs: [NumBlobTypes]int{DataBlob: 1}, Stored: 45},
	} {
		if got := p.FileSize(); got != want || p.Mixed() {
			t.Errorf("%+v: %d bytes, want %d", p, got, want)
		}
	}
	if !(PackInfo{Blobs: [NumBlobTypes]int{1, 1}}).Mixed() {
		t.Error("a mixed pack is taken for a pure one")
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := NewTable()
	blobs := manyBlobs(0, 100)
	table.Add(crypto.ID{1}, blobs)
	table.Add(crypto.ID{2}, blobs[:10])
	dst := make([]Location, 0, 2)
	n := testing.AllocsPerRun(100, func() {
		dst = table.Lookup(dst[:0], blobs[0].BlobHandle)
		table.Has(blobs[50].BlobHandle)
	})
	if n != 0 || len(dst) != 2 {
		t.Errorf("%v allocations, %d places", n, len(dst))
	}
}

func TestTableKnowsItsIndexFiles(t *testing.T) {
	b := NewBuilder()
	for i := range 4 {
		f := b.File()
		f.SetID(crypto.ID{byte(9 - i)})
		if i < 3 { // the last turns out to be damaged
			f.Commit()
		}
	}
	table := b.Table()
	table.AddFile(crypto.ID{1})
	want := []crypto.ID{{1}, {7}, {8}, {9}}
	if got := table.Files(); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	if !table.HasFile(crypto.ID{8}) || table.HasFile(crypto.ID{6}) || NewTable().HasFile(crypto.ID{8}) {
		t.Error("HasFile disagrees with Files")
	}
}

// Whoever reads a table sees it as it was when he began.
func TestIterationWhilePacksAreAdded(t *testing.T) {
	table := NewTable()
	table.Add(crypto.ID{1}, manyBlobs(0, 100))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range 50 {
			table.Add(crypto.ID{2, byte(i)}, manyBlobs(1000+i*20, 20))
		}
	})
	for range 10 {
		n, packs := 0, 0
		for range table.All() {
			n++
		}
		for range table.Packs() {
			packs++
		}
		if n%20 != 0 || n < 100 || packs < 1 {
			t.Fatalf("%d blobs in %d packs", n, packs)
		}
		table.Ordinal(BlobHandle{})
	}
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

// bigBuilder has n blobs in packs of perPack.
func bigBuilder(n, perPack int) *Builder {
	b := NewBuilder()
	for from := 0; from < n; from += FullFile {
		f := b.File()
		for at := from; at < min(from+FullFile, n); at += perPack {
			f.Add(crypto.Hash(binary.LittleEndian.AppendUint64(nil, uint64(at))), manyBlobs(at, perPack))
		}
		f.Commit()
	}
	return b
}

// bytesUsed is what a table takes, arrays at their capacity.
func bytesUsed(t *Table) int {
	n := cap(t.packs.ids)*crypto.IDSize + cap(t.packs.slots)*4
	for _, r := range t.runs {
		n += cap(r.first)*4 + cap(r.blocks)*int(unsafe.Sizeof([]entry{}))
		for _, block := range r.blocks {
			n += cap(block) * int(unsafe.Sizeof(entry{}))
		}
	}
	return n
}

func TestATableIsCompact(t *testing.T) {
	const n = 200_000
	for _, perPack := range []int{20, 500} { // as of large blobs, and of small
		grown := NewTable()
		for at := 0; at < n; at += perPack {
			grown.Add(crypto.Hash(binary.LittleEndian.AppendUint64(nil, uint64(at))), manyBlobs(at, perPack))
		}
		for name, table := range map[string]*Table{"built": bigBuilder(n, perPack).Table(), "grown": grown} {
			if per := float64(bytesUsed(table)) / float64(table.Len()); per > 56 || table.Len() != n {
				t.Errorf("%s of packs of %d: %.1f bytes for each of %d blobs", name, perPack, per, table.Len())
			}
		}
	}
}

// What Table allocates is the fan-out table, and room to sort one bucket for
// each processor.
func TestBuildingATableTakesLittleMemory(t *testing.T) {
	b := bigBuilder(200_000, 500)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	table := b.Table()
	runtime.ReadMemStats(&after)
	took, size := after.TotalAlloc-before.TotalAlloc, uint64(bytesUsed(table))
	if took > size/5 {
		t.Errorf("allocates %d bytes for a table of %d", took, size)
	}
}

func TestListsOfManyBlocksAreSorted(t *testing.T) {
	for _, n := range []int{0, 1, blockLen - 1, blockLen, blockLen + 1, 3*blockLen + 7} {
		for _, same := range []int{0, 1, 3, 8} { // leading bytes of the IDs
			var l entryList
			blobs := manyBlobs(0, n)
			for i := range blobs {
				copy(blobs[i].ID[:same], "crowded!")
				blobs[i].Type = BlobType(i % 2)
				l.append([]entry{newEntry(blobs[i], uint32(i))})
				if i%3 == 0 {
					l.append([]entry{newEntry(blobs[i/2], uint32(i/2))}) // as there is already
				}
			}
			l.sort()
			l.compact()
			r := newRun(l)
			if r.n != n {
				t.Fatalf("%d of %d entries", r.n, n)
			}
			for i := 1; i < r.n; i++ {
				if compareEntries(*r.at(i - 1), *r.at(i)) >= 0 {
					t.Fatalf("%d entries: unsorted at %d", n, i)
				}
			}
			for i, b := range blobs {
				at := r.find(&b.BlobHandle)
				if at < 0 || *r.at(at) != newEntry(b, uint32(i)) {
					t.Fatalf("%d entries: %v is not there", n, b)
				}
			}
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for name, n := range map[string]int{"1e6": 1_000_000, "1e7": 10_000_000} {
		b.Run(name, func(b *testing.B) {
			if testing.Short() && n > 1_000_000 {
				b.Skip("takes a gigabyte")
			}
			table := bigBuilder(n, 500).Table()
			for what, from := range map[string]int{"hit": 0, "miss": n} {
				b.Run(what, func(b *testing.B) { benchmarkHas(b, table, from) })
			}
		})
	}
}

func benchmarkHas(b *testing.B, table *Table, from int) {
	var probes []BlobHandle
	for _, blob := range manyBlobs(from, 1<<16) {
		probes = append(probes, blob.BlobHandle)
	}
	found, i := 0, 0
	for b.Loop() {
		if table.Has(probes[i&(1<<16-1)]) {
			found++
		}
		i++
	}
	if found != 0 && found != i || (found == i) != (from == 0) {
		b.Fatalf("%d of %d found", found, i)
	}
	b.ReportMetric(float64(bytesUsed(table))/float64(table.Len()), "B/blob")
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
