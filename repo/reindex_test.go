package repo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// madeUpPack returns a pack that no storage has, with n blobs.
func madeUpPack(seed uint64, n int) (crypto.ID, []index.Blob) {
	id := crypto.Hash(randomBlob(seed, 8))
	blobs := make([]index.Blob, n)
	for i := range blobs {
		blobs[i] = index.Blob{
			BlobHandle: index.BlobHandle{ID: crypto.Hash(fmt.Appendf(nil, "%d/%d", seed, i))},
			Offset:     uint32(i * 100), Length: 100, UncompressedLength: 90,
		}
	}
	return id, blobs
}

// saveIndexOf writes one index file with the packs.
func saveIndexOf(t testing.TB, r *Repo, packs map[crypto.ID][]index.Blob) crypto.ID {
	t.Helper()
	c := index.NewCollector(r.now)
	for id, blobs := range packs {
		c.Add(id, blobs)
	}
	json := c.Take(true)
	if json == nil {
		json = []byte(`{"packs":[]}`)
	}
	id, err := r.SaveUnpacked(context.Background(), backend.IndexFile, json)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// indexed returns what the index files list, and how often a pack is listed.
func indexed(t testing.TB, r *Repo) (packs map[crypto.ID][]index.Blob, times map[crypto.ID]int) {
	t.Helper()
	packs, times = make(map[crypto.ID][]index.Blob), make(map[crypto.ID]int)
	for fi, err := range r.List(context.Background(), backend.IndexFile) {
		if err != nil {
			t.Fatal(err)
		}
		json, err := r.LoadUnpacked(context.Background(), backend.IndexFile, fi.ID)
		if err != nil {
			t.Fatal(err)
		}
		err = index.Decode(json, func(pack crypto.ID, blobs []index.Blob) error {
			packs[pack] = append(packs[pack], blobs...)
			times[pack]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return packs, times
}

func TestRewriteIndexMergesDropsAndAdds(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	p := make([]crypto.ID, 6)
	b := make([][]index.Blob, 6)
	for i := range p {
		p[i], b[i] = madeUpPack(uint64(i), 5+i)
	}
	b[5] = b[5][:3]
	full, fullBlobs := madeUpPack(99, index.FullFile)
	kept := saveIndexOf(t, r, map[crypto.ID][]index.Blob{full: fullBlobs})
	gone := []crypto.ID{
		saveIndexOf(t, r, map[crypto.ID][]index.Blob{p[0]: b[0], p[1]: b[1]}),
		saveIndexOf(t, r, map[crypto.ID][]index.Blob{p[1]: b[1], p[2]: b[2]}),
		saveIndexOf(t, r, map[crypto.ID][]index.Blob{p[3]: b[3]}),
		saveIndexOf(t, r, nil),
	}
	bad := crypto.Hash([]byte("nonsense"))
	if err := r.be.Save(t.Context(), fileHandle(backend.IndexFile, bad), backend.Bytes("nonsense")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RewriteIndex(t.Context(), nil); !errors.As(err, new(*CorruptError)) {
		t.Fatalf("with a damaged file: %v", err)
	}
	res, err := r.RewriteIndex(t.Context(), &IndexRewrite{
		Drop:    func(pack crypto.ID) bool { return pack == p[2] },
		Discard: []crypto.ID{bad},
		Add: func(_ context.Context, enter func(crypto.ID, []index.Blob) error) error {
			return errors.Join(enter(p[4], b[4]), enter(p[5], b[5]))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(res.Removed, crypto.ID.Compare)
	want := append(gone, bad)
	slices.SortFunc(want, crypto.ID.Compare)
	// The attempt that failed may have written merged files before it met the
	// damaged one; they are merged in turn.
	for _, id := range want {
		if !slices.Contains(res.Removed, id) {
			t.Errorf("%s is still there", id.Short())
		}
	}
	if len(res.Written) != 1 || res.Kept != 1 || slices.Contains(res.Removed, kept) {
		t.Errorf("%d files written, %d kept", len(res.Written), res.Kept)
	}
	packs, times := indexed(t, r)
	if len(packs) != 6 {
		t.Errorf("%d packs are listed, want 6", len(packs))
	}
	for i, id := range p {
		if i == 2 {
			continue
		}
		if times[id] != 1 || !slices.Equal(packs[id], b[i]) {
			t.Errorf("pack %d is listed %d times with %d of %d blobs", i, times[id], len(packs[id]), len(b[i]))
		}
	}
}

func TestRewriteIndexLeavesOneSmallFileAlone(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	id, blobs := madeUpPack(1, 3)
	saveIndexOf(t, r, map[crypto.ID][]index.Blob{id: blobs})
	res, err := r.RewriteIndex(t.Context(), nil)
	if err != nil || len(res.Written)+len(res.Removed) != 0 || res.Kept != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestRewriteIndexLosesNothing compares the union of entries before and
// after, however packs are spread over files.
func TestRewriteIndexLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newTestRepo(t, mem.New(), nil)
		files := rapid.IntRange(0, 6).Draw(rt, "files")
		want := make(map[crypto.ID]map[index.Blob]bool)
		drop := make(map[crypto.ID]bool)
		for range files {
			packs := make(map[crypto.ID][]index.Blob)
			for _, seed := range rapid.SliceOfDistinct(rapid.Uint64Range(0, 9), rapid.ID).Draw(rt, "packs") {
				id, blobs := madeUpPack(seed, 4)
				blobs = blobs[:rapid.IntRange(1, 4).Draw(rt, "part")]
				packs[id] = blobs
				if seed == 0 {
					drop[id] = true
					continue
				}
				if want[id] == nil {
					want[id] = make(map[index.Blob]bool)
				}
				for _, b := range blobs {
					want[id][b] = true
				}
			}
			saveIndexOf(t, r, packs)
		}
		for range 2 { // the second finds little to do
			if _, err := r.RewriteIndex(context.Background(), &IndexRewrite{Drop: func(id crypto.ID) bool { return drop[id] }}); err != nil {
				rt.Fatal(err)
			}
			packs, _ := indexed(t, r)
			if len(packs) != len(want) {
				rt.Fatalf("%d packs, want %d", len(packs), len(want))
			}
			for id, blobs := range packs {
				slices.SortFunc(blobs, func(a, b index.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
				if len(slices.Compact(blobs)) != len(want[id]) {
					rt.Fatalf("pack %s has %d blobs, want %d", id.Short(), len(blobs), len(want[id]))
				}
			}
		}
	})
}

// TestRewriteIndexInterrupted fails each step in turn, before and after it
// took effect. Every pack stays listed.
func TestRewriteIndexInterrupted(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
		for _, op := range []layer.Op{layer.OpSave, layer.OpRemove, layer.OpLoad, layer.OpList} {
			for step := 0; ; step++ {
				faulty := backendtest.NewFaulty(mem.New(), nil)
				r := newTestRepo(t, faulty, nil)
				for i := range 4 {
					id, blobs := madeUpPack(uint64(i), 3)
					saveIndexOf(t, r, map[crypto.ID][]index.Blob{id: blobs})
				}
				hit := false
				faulty.SetRule(func(o layer.Op, _ backend.Handle, n int) backendtest.Fault {
					if o == op && n == step {
						hit = true
						return fault
					}
					return backendtest.None
				})
				_, err := r.RewriteIndex(t.Context(), nil)
				faulty.SetRule(nil)
				if !hit {
					break
				}
				if err == nil {
					t.Errorf("%v of step %d, %s: no error", fault, step, op)
				}
				if packs, _ := indexed(t, r); len(packs) != 4 {
					t.Errorf("%v of step %d, %s: %d of 4 packs are listed", fault, step, op, len(packs))
				}
			}
		}
	}
}

func TestReadHeadersTellsDamageFromBadStorage(t *testing.T) {
	faulty := backendtest.NewFaulty(mem.New(), nil)
	r := newTestRepo(t, faulty, nil)
	for i := range 3 {
		if err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
			_, err := w.SaveBlob(ctx, index.DataBlob, randomBlob(uint64(i), 1000))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	packs, err := r.Packs(t.Context())
	if err != nil || len(packs) != 3 {
		t.Fatalf("%d packs, %v", len(packs), err)
	}
	damaged := fileHandle(backend.PackFile, packs[0].ID)
	b, err := faulty.Load(t.Context(), damaged, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(faulty.Remove(t.Context(), damaged), faulty.Save(t.Context(), damaged, backend.Bytes(b[:len(b)-7]))); err != nil {
		t.Fatal(err)
	}
	unreachable := packs[1].ID
	faulty.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpLoad && h.Name == unreachable.String() {
			return backendtest.Fail
		}
		return backendtest.None
	})
	if packs, err = r.Packs(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = r.ReadHeaders(t.Context(), packs, func(h PackHeader) error {
		seen++
		corrupt := errors.As(h.Err, new(*CorruptError))
		switch {
		case h.ID == packs[0].ID && !corrupt:
			t.Errorf("cut off: %v", h.Err)
		case h.ID == unreachable && (corrupt || !errors.Is(h.Err, backendtest.ErrInjected)):
			t.Errorf("unreachable: %v", h.Err)
		case h.ID == packs[2].ID && (h.Err != nil || len(h.Blobs) != 1):
			t.Errorf("sound: %d blobs, %v", len(h.Blobs), h.Err)
		}
		return nil
	})
	if err != nil || seen != 3 {
		t.Errorf("%d headers, %v", seen, err)
	}
}

func TestSaveAgainStoresWhatIsThere(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	content := randomBlob(1, 5000)
	h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}
	for range 2 {
		if err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
			_, err := w.SaveAgain(ctx, h, content)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	large := bytes.Repeat([]byte("large "), 1000)
	lh := index.BlobHandle{Type: index.TreeBlob, ID: crypto.Hash(large)}
	for range 2 {
		if err := r.Write(t.Context(), func(ctx context.Context, w *Writer) error {
			_, err := w.SaveLargeAgain(ctx, lh, backend.Bytes(large))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	other := reopened(t, r)
	for _, h := range []index.BlobHandle{h, lh} {
		if n := len(other.Index().Lookup(nil, h)); n != 2 {
			t.Errorf("%v is stored %d times", h, n)
		}
	}
}
