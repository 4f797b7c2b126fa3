package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
	"github.com/garner-backup/garner/repo/tree"
)

// sample makes a repository with three snapshots that share most files.
func sample(t testing.TB, version int) *store {
	t.Helper()
	s := newStore(t, version)
	r := s.open(t)
	f := files{"empty": {}, "void": nil, "big": repotest.Random(1, 5_000_000), "text": bytes.Repeat([]byte("text "), 50_000)}
	for i := range 40 {
		f[fmt.Sprintf("d%d/s%d/f%d", i%3, i%7, i)] = repotest.Random(byte(i+10), 500*i)
	}
	for i := range 3 {
		f[fmt.Sprintf("new%d", i)] = repotest.Random(byte(i+100), 400_000)
		backUp(t, r, f, snapshot.Snapshot{
			Time: time.Unix(int64(1_700_000_000+i), int64(i)), Hostname: fmt.Sprintf("host%d", i), Username: "u", UID: 7, GID: 8,
			Tags: []string{"x", fmt.Sprint(i)}, Excludes: []string{"*.o"},
		})
	}
	return s
}

// needed returns all blobs that snapshots need, with their content.
func needed(t testing.TB, r *repo.Repo, list []*snapshot.Snapshot) map[index.BlobHandle]crypto.ID {
	t.Helper()
	m := make(map[index.BlobHandle]crypto.ID)
	load := func(h index.BlobHandle) {
		b, err := r.LoadBlob(t.Context(), h, nil)
		if err != nil {
			t.Fatal(err)
		}
		m[h] = crypto.Hash(b)
	}
	for _, sn := range list {
		load(index.BlobHandle{Type: index.TreeBlob, ID: *sn.Tree})
		err := tree.Walk(t.Context(), r, *sn.Tree, func(_ string, n *tree.Node, err error) error {
			if err != nil {
				return err
			}
			for _, id := range n.Content {
				load(index.BlobHandle{Type: index.DataBlob, ID: id})
			}
			if n.Type == tree.TypeDir {
				load(index.BlobHandle{Type: index.TreeBlob, ID: n.Subtree})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// sameSnapshots fails the test unless dst has copies of just these snapshots,
// and all blobs once.
func sameSnapshots(t testing.TB, src *repo.Repo, list []*snapshot.Snapshot, dst *store) {
	t.Helper()
	sound(t, dst)
	r := dst.open(t)
	copies := all(t, r)
	if len(copies) != len(list) {
		t.Fatalf("%d snapshots, want %d", len(copies), len(list))
	}
	for i, sn := range list {
		want := *sn
		want.Parent = nil
		want.Original = &sn.ID
		want.ID = copies[i].ID
		a, err1 := want.Encode()
		b, err2 := copies[i].Encode()
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("copy of %v is\n%s\nwant\n%s", sn.ID, b, a)
		}
	}
	blobs := needed(t, src, list)
	got := needed(t, r, copies)
	if len(got) != len(blobs) || r.Index().Len() != len(blobs) {
		t.Errorf("%d blobs at %d places, want %d", len(got), r.Index().Len(), len(blobs))
	}
	for h, sum := range blobs {
		if got[h] != sum {
			t.Errorf("blob %v differs", h)
		}
	}
}

func TestCopyBringsAllThatSnapshotsNeed(t *testing.T) {
	for _, from := range []int{1, 2} {
		for _, to := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d to %d", from, to), func(t *testing.T) {
				src, dst := sample(t, from), newStore(t, to)
				a, b := src.open(t), dst.open(t)
				list := all(t, a)
				var started, finished, saved []crypto.ID
				var last transfer.CopyProgress
				res, err := transfer.Copy(t.Context(), a, b, list, &transfer.CopyOptions{
					Started:  func(sn *snapshot.Snapshot) { started = append(started, sn.ID) },
					Progress: func(p transfer.CopyProgress) { last = p },
					Finished: func(sn *snapshot.Snapshot, p transfer.CopyProgress) {
						finished = append(finished, sn.ID)
						if p != last || p.Done != p.Packs || p.Blobs == 0 || p.Bytes == 0 {
							t.Errorf("finished with %+v after %+v", p, last)
						}
					},
					Saved: func(sn, copied *snapshot.Snapshot) {
						if len(finished) != len(list) {
							t.Error("saved before the batch was finished")
						}
						saved = append(saved, copied.PersistentID())
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				var ids []crypto.ID
				for _, sn := range list {
					ids = append(ids, sn.ID)
				}
				if !slices.Equal(started, ids) || !slices.Equal(finished, ids) || !slices.Equal(saved, ids) {
					t.Errorf("told of %v, %v, %v", started, finished, saved)
				}
				if blobs := len(needed(t, a, list)); res.Copied != 3 || res.Skipped != 0 || res.Blobs != blobs {
					t.Errorf("%+v, want %d blobs", res, blobs)
				}
				sameSnapshots(t, a, list, dst)
			})
		}
	}
}

func TestCopySkipsWhatIsThere(t *testing.T) {
	src, dst := sample(t, 2), newStore(t, 2)
	a := src.open(t)
	list := all(t, a)
	if _, err := transfer.Copy(t.Context(), a, dst.open(t), list[:2], nil); err != nil {
		t.Fatal(err)
	}
	skipped := 0
	res, err := transfer.Copy(t.Context(), a, dst.open(t), list, &transfer.CopyOptions{Skipped: func(sn, other *snapshot.Snapshot) {
		skipped++
		if other.PersistentID() != sn.ID {
			t.Errorf("%v skipped for %v", sn.ID, other.ID)
		}
	}})
	if err != nil || res.Copied != 1 || res.Skipped != 2 || skipped != 2 {
		t.Fatalf("%+v, %d, %v", res, skipped, err)
	}
	sameSnapshots(t, a, list, dst)

	// Back to where they come from, and on to a third: all the same snapshots.
	if res, err := transfer.Copy(t.Context(), dst.open(t), src.open(t), all(t, dst.open(t)), nil); err != nil || res.Copied != 0 || res.Skipped != 3 {
		t.Errorf("back: %+v, %v", res, err)
	}
	third := newStore(t, 2)
	if _, err := transfer.Copy(t.Context(), dst.open(t), third.open(t), all(t, dst.open(t)), nil); err != nil {
		t.Fatal(err)
	}
	if res, err := transfer.Copy(t.Context(), a, third.open(t), list, nil); err != nil || res.Copied != 0 || res.Skipped != 3 {
		t.Errorf("to the third: %+v, %v", res, err)
	}
	sameSnapshots(t, a, list, third)

	// With other tags it is another snapshot, of blobs that are all there.
	r := src.open(t)
	if _, err := transfer.Retag(t.Context(), r, list[:1], &transfer.RetagOptions{Add: []string{"more"}}); err != nil {
		t.Fatal(err)
	}
	if res, err := transfer.Copy(t.Context(), r, dst.open(t), all(t, r), nil); err != nil || res.Copied != 1 || res.Skipped != 2 || res.Blobs != 0 {
		t.Errorf("after a change of tags: %+v, %v", res, err)
	}
}

// TestCopyReadsNeighboursTogether counts requests.
func TestCopyReadsNeighboursTogether(t *testing.T) {
	src, dst := sample(t, 2), newStore(t, 2)
	var requests, bytes atomic.Int64
	be := layer.Observe(src, func(e layer.Event) {
		if e.Op == layer.OpLoad && e.Handle.Type == backend.PackFile {
			requests.Add(1)
			bytes.Add(e.Bytes)
		}
	})
	a, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.LoadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := all(t, a)
	if _, err := transfer.Copy(t.Context(), a, dst.open(t), list, nil); err != nil {
		t.Fatal(err)
	}
	blobs := a.Index().Len()
	if n := requests.Load(); n > 20 || blobs < 60 {
		t.Errorf("%d requests for %d blobs", n, blobs)
	}
	var stored int64
	for l := range a.Index().All() {
		stored += int64(l.Length)
	}
	if n := bytes.Load(); n > stored*11/10 {
		t.Errorf("%d bytes were read, the blobs take %d", n, stored)
	}
}

// TestCopyGoesOnAfterFaults fails every step of a copy, and then goes on.
func TestCopyGoesOnAfterFaults(t *testing.T) {
	src := sample(t, 2)
	a := src.open(t)
	list := all(t, a)
	total := len(needed(t, a, list))
	resumed := false
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate, backendtest.Tear} {
		for step := 0; ; step++ {
			dst := newStore(t, 2)
			met := dst.failAt(step, fault)
			if fault == backendtest.Tear { // and says that it failed
				met = dst.tearAt(step)
			}
			b := dst.open(t)
			err := locked(t.Context(), b, repo.SharedLock, func(ctx context.Context) error {
				_, err := transfer.Copy(ctx, a, b, list, nil)
				return err
			})
			if !met() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if !errors.Is(err, backendtest.ErrInjected) {
				t.Fatalf("fault %d in step %d: %v", fault, step, err)
			}
			dst.SetRule(nil)
			b = dst.open(t)
			needed(t, b, all(t, b)) // of what was saved, everything can be read
			arrived := b.Index().Len()
			resumed = resumed || arrived > 0
			res, err := transfer.Copy(t.Context(), a, b, list, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Blobs != total-arrived {
				t.Errorf("fault %d in step %d: %d of %d blobs had arrived, then %d were copied", fault, step, arrived, total, res.Blobs)
			}
			b = dst.open(t)
			if got, blobs := persistent(all(t, b)), needed(t, b, all(t, b)); len(got) != len(list) || len(blobs) != total || b.Index().Len() != total {
				t.Errorf("fault %d in step %d: %d snapshots, %d blobs at %d places", fault, step, len(got), len(blobs), b.Index().Len())
			}
			if fault != backendtest.Tear { // the half of a pack stays, and nobody looks at it
				sound(t, dst)
			}
		}
	}
	if !resumed {
		t.Error("no attempt left anything for the next one")
	}
}

func TestCopyStopsAtDamage(t *testing.T) {
	src := sample(t, 2)
	list := all(t, src.open(t))
	src.SetRule(func(op layer.Op, h backend.Handle, n int) backendtest.Fault {
		if op == layer.OpLoad && h.Type == backend.PackFile && !h.Metadata {
			return backendtest.Flip
		}
		return backendtest.None
	})
	dst := newStore(t, 2)
	_, err := transfer.Copy(t.Context(), src.open(t), dst.open(t), list, nil)
	if corrupt := (*repo.CorruptError)(nil); !errors.As(err, &corrupt) || corrupt.Blob == nil {
		t.Errorf("damaged blobs: %v", err)
	}
	if !strings.Contains(fmt.Sprint(err), list[0].ID.Short()) {
		t.Errorf("%v does not name the snapshot", err)
	}
	if n := len(all(t, dst.open(t))); n != 0 {
		t.Errorf("%d snapshots were saved", n)
	}
	sound(t, dst)

	src.SetRule(nil)
	a := src.open(t)
	id := crypto.RandomID()
	missing := &snapshot.Snapshot{ID: crypto.RandomID(), Tree: &id}
	_, err = transfer.Copy(t.Context(), a, dst.open(t), []*snapshot.Snapshot{missing}, nil)
	if gone := (*repo.MissingBlobError)(nil); !errors.As(err, &gone) || gone.Blob.ID != id {
		t.Errorf("missing tree: %v", err)
	}
	if _, err = transfer.Copy(t.Context(), a, dst.open(t), []*snapshot.Snapshot{{ID: id}}, nil); err == nil {
		t.Error("a snapshot without a tree was copied")
	}
}

// TestCopyFromTheOtherPlace damages blobs that are stored twice.
func TestCopyFromTheOtherPlace(t *testing.T) {
	src := sample(t, 2)
	r := src.open(t)
	list := all(t, r)
	broken := make(map[string]bool)
	for id := range r.Index().Packs() {
		broken[id.String()] = true
	}
	blobs := needed(t, r, list)
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		for h := range blobs {
			plain, err := r.LoadBlob(ctx, h, nil)
			if err == nil {
				_, err = w.SaveAgain(ctx, h, plain)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	src.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpLoad && broken[h.Name] {
			return backendtest.Flip
		}
		return backendtest.None
	})
	dst := newStore(t, 2)
	a := src.open(t)
	if _, err := transfer.Copy(t.Context(), a, dst.open(t), list, nil); err != nil {
		t.Fatal(err)
	}
	sameSnapshots(t, a, list, dst)
}

func TestCopyEndsWithTheContext(t *testing.T) {
	src, dst := sample(t, 2), newStore(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	a := src.open(t)
	_, err := transfer.Copy(ctx, a, dst.open(t), all(t, a), &transfer.CopyOptions{Progress: func(transfer.CopyProgress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := len(all(t, dst.open(t))); n != 0 {
		t.Errorf("%d snapshots were saved", n)
	}
}

// TestCopyInAnyOrder copies some of the snapshots of random trees, with
// faults now and then, until all have arrived.
func TestCopyInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src, dst := newStore(t, rapid.IntRange(1, 2).Draw(rt, "from")), newStore(t, rapid.IntRange(1, 2).Draw(rt, "to"))
		a := src.open(t)
		names := rapid.SampledFrom([]string{"a", "b", "c/a", "c/b", "d/e/f", "d/e/g", "d/h"})
		sizes := []int{0, 1, 5000, 90_000}
		for i := range rapid.IntRange(1, 4).Draw(rt, "snapshots") {
			f := files{}
			for name, seed := range rapid.MapOfN(names, rapid.IntRange(0, 40), 1, 5).Draw(rt, "files") {
				f[name] = repotest.Random(byte(seed), sizes[seed%len(sizes)])
			}
			backUp(t, a, f, snapshot.Snapshot{Time: time.Unix(int64(i+1), 0)})
		}
		list := all(t, a)
		for range rapid.IntRange(0, 3).Draw(rt, "attempts") {
			var some []*snapshot.Snapshot
			for _, i := range rapid.Permutation(indexes(len(list))).Draw(rt, "order")[:rapid.IntRange(1, len(list)).Draw(rt, "some")] {
				some = append(some, list[i])
			}
			b := dst.open(t)
			dst.failAt(rapid.IntRange(0, 6).Draw(rt, "step"), backendtest.Fail)
			_, err := transfer.Copy(t.Context(), a, b, some, nil)
			dst.SetRule(nil)
			if err != nil && !errors.Is(err, backendtest.ErrInjected) {
				rt.Fatal(err)
			}
			sound(t, dst)
		}
		if _, err := transfer.Copy(t.Context(), a, dst.open(t), list, nil); err != nil {
			rt.Fatal(err)
		}
		sameSnapshots(t, a, list, dst)
	})
}

func indexes(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}
