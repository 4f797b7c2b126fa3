package index

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
)

func testBlob(t BlobType, name string, offset, length uint32) Blob {
	return Blob{BlobHandle: BlobHandle{Type: t, ID: crypto.Hash([]byte(name))}, Offset: offset, Length: length}
}

// TestViewStaysWhileTableGrows adds packs after a view was taken: positions
// and content of the view must not change.
func TestViewStaysWhileTableGrows(t *testing.T) {
	table := NewTable()
	for p := range 10 {
		table.Add(crypto.Hash(fmt.Append(nil, "pack", p)), []Blob{
			testBlob(DataBlob, fmt.Sprint("d", p), 0, 100), testBlob(TreeBlob, fmt.Sprint("t", p%3), 100, 50)})
	}
	v := table.View()
	type line struct {
		b Blob
		p crypto.ID
	}
	lines := func() (all []line) {
		for i := range v.Len() {
			all = append(all, line{v.At(i), v.PackID(v.PackOf(i))})
		}
		return all
	}
	before := lines()
	for p := range 500 {
		table.Add(crypto.Hash(fmt.Append(nil, "later", p)), []Blob{testBlob(DataBlob, fmt.Sprint("d", p), 0, 100)})
	}
	if !slices.Equal(before, lines()) {
		t.Error("the view changed")
	}
	if v.Len() != 20 || v.Packs() != 10 {
		t.Errorf("view has %d locations in %d packs", v.Len(), v.Packs())
	}
	if _, ok := v.Ordinal(testBlob(DataBlob, "d400", 0, 0).BlobHandle); ok {
		t.Error("the view shows a blob that was added later")
	}
}

// TestViewAgainstModel compares a view with plain maps.
func TestViewAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable()
		packs := make(map[crypto.ID][]Blob)
		places := make(map[BlobHandle]int)
		for p := range rapid.IntRange(0, 12).Draw(t, "packs") {
			id := crypto.Hash(fmt.Append(nil, p))
			var offset uint32
			for range rapid.IntRange(1, 6).Draw(t, "blobs") {
				b := testBlob(BlobType(rapid.IntRange(0, 1).Draw(t, "type")), fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "blob")), offset, 40)
				offset += 40
				packs[id] = append(packs[id], b)
				places[b.BlobHandle]++
			}
			table.Add(id, packs[id])
		}
		v := table.View()
		for h, n := range places {
			first, ok := v.Ordinal(h)
			if !ok || !v.First(first) || v.End(first)-first != n {
				t.Fatalf("%v: at %d (%v) to %d, want %d places", h, first, ok, v.End(first), n)
			}
			for i := first; i < v.End(first); i++ {
				if v.At(i).BlobHandle != h {
					t.Fatalf("position %d is %v, want %v", i, v.At(i), h)
				}
			}
		}
		infos := v.PackInfos()
		seen := 0
		for number, positions := range v.ByPack(nil) {
			var got []Blob
			for _, at := range positions {
				if v.PackOf(at) != number {
					t.Fatalf("position %d is not in pack %d", at, number)
				}
				got = append(got, v.At(at))
			}
			if want := packs[v.PackID(number)]; !slices.Equal(got, want) {
				t.Fatalf("pack %d holds %v, want %v", number, got, want)
			}
			if n := infos[number].Blobs[DataBlob] + infos[number].Blobs[TreeBlob]; n != len(got) {
				t.Fatalf("pack %d: info counts %d blobs of %d", number, n, len(got))
			}
			seen++
		}
		if seen != len(packs) {
			t.Fatalf("%d packs of %d", seen, len(packs))
		}
	})
}

// TestBitmapConcurrentAdd lets several goroutines add the same numbers: each
// number is new to exactly one of them.
func TestBitmapConcurrentAdd(t *testing.T) {
	const n = 10_000
	b := NewBitmap(n)
	var added [4]int
	var wg sync.WaitGroup
	for g := range added {
		wg.Go(func() {
			for i := range n {
				if b.Add(i) {
					added[g]++
				}
			}
		})
	}
	wg.Wait()
	if sum := added[0] + added[1] + added[2] + added[3]; sum != n || b.Len() != n {
		t.Errorf("added %d, in the set %d, want %d", sum, b.Len(), n)
	}
	b.Remove(63)
	if b.Has(63) || !b.Has(62) || !b.Has(64) || b.Len() != n-1 {
		t.Error("Remove took out something else")
	}
}
