package prune_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
)

func TestPruneLeavesWhatSnapshotsNeed(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			be := mem.New()
			repotest.InitBackend(t, be, password, version)
			ids := makeHistory(t, be, 6)
			r := open(t, be, nil)
			forget(t, r, ids[0], ids[1], ids[3])
			p, err := prune.NewPlan(t.Context(), r, everything())
			if err != nil {
				t.Fatal(err)
			}
			s := p.Stats()
			if s.Packs.Repack == 0 || s.Packs.Remove == 0 || s.Blobs.Unused == 0 {
				t.Fatalf("nothing to do: %+v", s)
			}
			if err := p.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			rep := mustCheck(t, be, 3)
			if rep.Hints > 0 {
				t.Errorf("hints: %v", rep.Problems)
			}
			mustBeLean(t, be)
			if after := open(t, be, nil).Index().Len(); after != s.Blobs.Remaining {
				t.Errorf("%d blobs remain, the plan said %d", after, s.Blobs.Remaining)
			}
		})
	}
}

// TestPruneCopiesSealedBytes makes sure that nothing is encrypted anew when a
// pack is.
func TestPruneCopiesSealedBytes(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 2)
	r := open(t, be, nil)
	before := make(map[index.BlobHandle][]byte)
	for l := range r.Index().All() {
		before[l.BlobHandle] = sealedOf(t, be, l)
	}
	forget(t, r, ids[0])
	if err := apply(t.Context(), r, everything()); err != nil {
		t.Fatal(err)
	}
	moved := 0
	for l := range open(t, be, nil).Index().All() {
		if !bytes.Equal(before[l.BlobHandle], sealedOf(t, be, l)) {
			t.Errorf("%v has other bytes", l.BlobHandle)
		}
		moved++
	}
	if moved == 0 {
		t.Error("nothing is left")
	}
}

func TestPruneCompressesWhatIsRepacked(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]int{"a": 1, "b": 2})
	raw := open(t, be, &repo.Options{Compression: repo.CompressionOff})
	first, err := backUp(t.Context(), raw, dir)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]int{"b": 3})
	if _, err := backUp(t.Context(), raw, dir); err != nil {
		t.Fatal(err)
	}
	forget(t, raw, first)
	uncompressed := func() (n int) {
		for l := range open(t, be, nil).Index().All() {
			if !l.Compressed() {
				n++
			}
		}
		return n
	}
	if uncompressed() == 0 {
		t.Fatal("all is compressed at the start")
	}
	// The pack with the second "b" is used in full and stays as it is.
	if err := apply(t.Context(), open(t, be, nil), everything()); err != nil {
		t.Fatal(err)
	}
	if n := uncompressed(); n != 1 {
		t.Errorf("%d blobs are not compressed, want the one in the pack that stays", n)
	}
	opts := everything()
	opts.Uncompressed = true
	if err := apply(t.Context(), open(t, be, nil), opts); err != nil {
		t.Fatal(err)
	}
	if n := uncompressed(); n != 0 {
		t.Errorf("%d blobs are not compressed", n)
	}
	mustCheck(t, be, 1)
}

func TestPruneUncompressedNeedsVersion2(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 1)
	_, err := prune.NewPlan(t.Context(), open(t, be, nil), &prune.Options{Uncompressed: true})
	if !errors.Is(err, prune.ErrUncompressedVersion) {
		t.Errorf("got %v", err)
	}
}

func TestPruneRefusesStalePlan(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 3)
	r := open(t, be, nil)
	forget(t, r, ids[0])
	p, err := prune.NewPlan(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	makeHistory(t, be, 1)
	before := be.Clone()
	if err := p.Apply(t.Context()); !errors.Is(err, prune.ErrStale) {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(files(t, before), files(t, be)) {
		t.Error("a stale plan changed the repository")
	}
}

// files lists all files of a repository.
func files(t *testing.T, be backend.Backend) (names []string) {
	t.Helper()
	for _, typ := range append(backend.FileTypes(), backend.ExtensionFile) {
		for fi, err := range be.List(t.Context(), typ) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, backend.Handle{Type: typ, Name: fi.Name}.String())
		}
	}
	slices.Sort(names)
	return names
}

// TestPruneRefusesDamage takes away or changes what is needed: nothing may be
// deleted then.
func TestPruneRefusesDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, be *mem.Backend, r *repo.Repo){
		"missing pack": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			remove(t, be, backend.PackFile, packOfNewest(t, r))
		},
		"short pack": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			h := backend.Handle{Type: backend.PackFile, Name: packOfNewest(t, r).String()}
			b, err := be.Load(t.Context(), h, 0, -1, nil)
			if err == nil {
				err = be.Replace(t.Context(), h, backend.Bytes(b[:len(b)-1]))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"missing index": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			for _, id := range r.Index().Files() {
				remove(t, be, backend.IndexFile, id)
			}
		},
		"damaged index": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			flip(t, be, backend.IndexFile, r.Index().Files()[0])
		},
		"damaged snapshot": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			for fi := range r.List(t.Context(), backend.SnapshotFile) {
				flip(t, be, backend.SnapshotFile, fi.ID)
				return
			}
		},
		"damaged blob in a pack to repack": func(t *testing.T, be *mem.Backend, r *repo.Repo) {
			p, err := prune.NewPlan(t.Context(), r, everything())
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range p.Repacks() {
				flipAll(t, be, id)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			be := mem.New()
			repotest.InitBackend(t, be, password, 2)
			ids := makeHistory(t, be, 4)
			r := open(t, be, nil)
			forget(t, r, ids[0])
			damage(t, be, r)
			before := files(t, be)
			err := apply(t.Context(), r, everything())
			if err == nil {
				t.Fatal("no error")
			}
			after := files(t, be)
			for _, f := range before {
				if !slices.Contains(after, f) {
					t.Errorf("%s was deleted", f)
				}
			}
			if !strings.Contains(err.Error(), "garner ") && !strings.Contains(err.Error(), "delete the file") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

func remove(t *testing.T, be backend.Backend, typ backend.FileType, id crypto.ID) {
	t.Helper()
	if err := be.Remove(t.Context(), backend.Handle{Type: typ, Name: id.String()}); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, be *mem.Backend, typ backend.FileType, id crypto.ID) {
	t.Helper()
	h := backend.Handle{Type: typ, Name: id.String()}
	b, err := be.Load(t.Context(), h, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	if err := be.Replace(t.Context(), h, backend.Bytes(b)); err != nil {
		t.Fatal(err)
	}
}

// flipAll damages every blob of a pack, but not its header.
func flipAll(t *testing.T, be *mem.Backend, pack crypto.ID) {
	t.Helper()
	h := backend.Handle{Type: backend.PackFile, Name: pack.String()}
	b, err := be.Load(t.Context(), h, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	b = slices.Clone(b)
	for i := 20; i < len(b)-400; i += 50 {
		b[i] ^= 0x10
	}
	if err := be.Replace(t.Context(), h, backend.Bytes(b)); err != nil {
		t.Fatal(err)
	}
}

// packOfNewest returns a pack with a blob that snapshots need.
func packOfNewest(t *testing.T, r *repo.Repo) crypto.ID {
	t.Helper()
	for sn, err := range r.AllSnapshots(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return r.Index().Lookup(nil, index.BlobHandle{Type: index.TreeBlob, ID: *sn.Tree})[0].Pack
	}
	t.Fatal("no snapshot")
	return crypto.ID{}
}

// TestPruneInterruptedAnywhere lets every single operation of a prune fail,
// before or after it took effect. What is left must check, and the next prune
// must finish the work.
func TestPruneInterruptedAnywhere(t *testing.T) {
	origin := mem.New()
	repotest.InitBackend(t, origin, password, 2)
	ids := makeHistory(t, origin, 5)
	forget(t, open(t, origin, nil), ids[0], ids[2])
	leaveOrphans(t, origin)
	for _, kind := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
		for at := 0; ; at++ {
			be := origin.Clone()
			n := 0
			faulty := backendtest.NewFaulty(be, nil)
			r := open(t, faulty, nil)
			faulty.SetRule(func(op layer.Op, _ backend.Handle, _ int) backendtest.Fault {
				if op == layer.OpSave || op == layer.OpRemove {
					n++
					if n > at { // and everything after it
						return kind
					}
				}
				return backendtest.None
			})
			p, err := prune.NewPlan(t.Context(), r, everything())
			if err != nil {
				t.Fatal(err)
			}
			err = p.Apply(t.Context())
			mustCheck(t, be, 3)
			if again := apply(t.Context(), open(t, be, nil), everything()); again != nil {
				t.Fatalf("operation %d: the next prune: %v", at, again)
			}
			mustCheck(t, be, 3)
			mustBeLean(t, be)
			if t.Failed() {
				t.Fatalf("operation %d, fault %v, error %v", at, kind, err)
			}
			if n <= at {
				if err != nil || at < 10 {
					t.Fatalf("%d operations, error %v", at, err)
				}
				break
			}
		}
	}
}

// leaveOrphans leaves packs that no index lists, as a backup does that was
// killed.
func leaveOrphans(t *testing.T, be backend.Backend) {
	t.Helper()
	r := open(t, be, nil)
	before := r.Index().Files()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]int{"orphan": 99})
	id, err := backUp(t.Context(), r, dir)
	if err != nil {
		t.Fatal(err)
	}
	forget(t, r, id)
	for _, id := range r.Index().Files() {
		if !slices.Contains(before, id) {
			remove(t, be, backend.IndexFile, id)
		}
	}
}

// TestPruneUnsafeRecovery deletes without storing anything before.
func TestPruneUnsafeRecovery(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 4)
	forget(t, open(t, be, nil), ids[0])
	var mu sync.Mutex
	var ops []string // owned by mu
	r := open(t, layer.Observe(be, func(e layer.Event) {
		if e.Op == layer.OpSave || e.Op == layer.OpRemove {
			mu.Lock()
			defer mu.Unlock()
			ops = append(ops, fmt.Sprintf("%s %v", e.Op, e.Handle.Type))
		}
	}), nil)
	p, err := prune.NewPlan(t.Context(), r, &prune.Options{UnsafeRecovery: true})
	if err == nil {
		err = p.Apply(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ops = slices.Compact(ops)
	if want := []string{"remove index", "remove data", "save index"}; !slices.Equal(ops, want) {
		t.Errorf("operations %v, want %v", ops, want)
	}
	mustCheck(t, be, 3)
}

// TestTolerance reads what the command line may say.
func TestTolerance(t *testing.T) {
	size := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	for in, want := range map[string]string{
		"unlimited": "", "0": "", "5%": "", "99.9%": "", "1000": "", " 7% ": "",
		"100%": "below 100%", "-1%": "must be positive", "NaN%": "must be positive", "x%": "invalid percentage", "-5": "invalid value", "often": "invalid value",
	} {
		_, err := prune.ParseTolerance(in, size)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// TestPruneMaxRepack packs anew no more than it may, and the rest next time.
func TestPruneMaxRepack(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 6)
	forget(t, open(t, be, nil), ids[0])
	plan := func(limit int64) prune.Stats {
		opts := everything()
		opts.MaxRepack = limit
		p, err := prune.NewPlan(t.Context(), open(t, be, nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		return p.Stats()
	}
	all := plan(0).Bytes.Repack
	if all == 0 {
		t.Fatal("nothing to pack anew")
	}
	for _, limit := range []int64{1, all / 2, all, all + 1, prune.NoRepack} {
		got := plan(limit).Bytes.Repack
		if got >= limit && limit > 0 || limit == prune.NoRepack && got > 0 || limit > all && got != all {
			t.Errorf("limit %d: %d bytes of %d", limit, got, all)
		}
	}
}

// TestPruneCanceled stops between two packs.
func TestPruneCanceled(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 5)
	r := open(t, be, nil)
	forget(t, r, ids[:3]...)
	ctx, cancel := context.WithCancel(t.Context())
	opts := everything()
	opts.Observer = &prune.Observer{Done: func(p prune.Phase) {
		if p == prune.PhaseRepack {
			cancel()
		}
	}}
	if err := apply(ctx, r, opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	mustCheck(t, be, 2)
}

// TestPruneFillsPacks packs more anew than one pack holds.
func TestPruneFillsPacks(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	small := &repo.Options{PackSize: repo.MinPackSize}
	dir := t.TempDir()
	files := make(map[string]int)
	for i := range 120 {
		files[fmt.Sprint("f", i)] = 130_000 + i // of so many bytes and 20 KB
	}
	writeFiles(t, dir, files)
	first, err := backUp(t.Context(), open(t, be, small), dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		writeFiles(t, dir, map[string]int{fmt.Sprint("f", 3*i): 1000 + i})
	}
	if _, err := backUp(t.Context(), open(t, be, small), dir); err != nil {
		t.Fatal(err)
	}
	r := open(t, be, small)
	forget(t, r, first)
	if err := apply(t.Context(), r, everything()); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, be, 1)
	mustBeLean(t, be)
}
