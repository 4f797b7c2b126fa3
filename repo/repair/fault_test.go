package repair_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repair"
	"github.com/garner-backup/garner/repo/snapshot"
)

// TestInterruptedRepairs fails every operation of the storage in turn, before
// or after it took effect. What could be read before can be read after, and a
// second repair gives what an undisturbed one does.
func TestInterruptedRepairs(t *testing.T) {
	for name, damage := range damages {
		if testing.Short() && name != "bit rot in a blob" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := sample(t, 2)
			damage.do(t, be)
			before := contents(t, be)
			whole := clone(t, be)
			if err := repairAll(t.Context(), open(t, whole), true); err != nil {
				t.Fatal(err)
			}
			want := contents(t, whole)
			for _, op := range []layer.Op{layer.OpSave, layer.OpRemove} {
				for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
					for step := 0; interrupt(t, be, op, fault, step, before, want); step++ {
					}
				}
			}
		})
	}
}

// interrupt repairs a copy of be with a fault at one step, and reports whether
// there is such a step.
func interrupt(t *testing.T, be *mem.Backend, op layer.Op, fault backendtest.Fault, step int, before, want map[string]crypto.ID) bool {
	t.Helper()
	be = clone(t, be)
	hit := false
	faulty := backendtest.NewFaulty(be, nil)
	r := open(t, faulty)
	faulty.SetRule(func(o layer.Op, _ backend.Handle, n int) backendtest.Fault {
		if o == op && n == step {
			hit = true
			return fault
		}
		return backendtest.None
	})
	err := repairAll(t.Context(), r, true)
	if !hit {
		return false
	}
	at := fmt.Sprintf("%s %d, fault %v (%v)", op, step, fault, err)
	after := contents(t, be)
	for path, id := range before {
		if after[path] != id {
			t.Errorf("%s: %s can't be read any more", at, path)
		}
	}
	if err := repairAll(t.Context(), open(t, be), true); err != nil {
		t.Errorf("%s: second repair: %v", at, err)
	}
	if got := contents(t, be); !maps.Equal(got, want) {
		t.Errorf("%s: a second repair gives %d files, want %d", at, len(got), len(want))
	}
	return true
}

// TestInterruptedRecovery fails every operation of Recover in turn.
func TestInterruptedRecovery(t *testing.T) {
	be := sample(t, 2)
	want := len(contents(t, be))
	for _, h := range files(t, be, backend.SnapshotFile) {
		put(t, be, h, nil)
	}
	put(t, be, files(t, be, backend.IndexFile)[0], nil)
	for _, op := range []layer.Op{layer.OpSave, layer.OpRemove, layer.OpLoad, layer.OpList} {
		for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
			for step := 0; ; step++ {
				be := clone(t, be)
				faulty := backendtest.NewFaulty(be, nil)
				r := open(t, faulty)
				hit := false
				faulty.SetRule(func(o layer.Op, _ backend.Handle, n int) backendtest.Fault {
					if o == op && n == step {
						hit = true
						return fault
					}
					return backendtest.None
				})
				_, err := repair.Recover(t.Context(), r, nil)
				if !hit {
					break
				}
				at := fmt.Sprintf("%s %d, fault %v (%v)", op, step, fault, err)
				if _, err := repair.Recover(t.Context(), open(t, be), nil); err != nil {
					t.Errorf("%s: second attempt: %v", at, err)
				}
				// A tree that the first attempt stored without its snapshot is
				// a root of its own the second time.
				if got := len(contents(t, be)); got != want {
					t.Errorf("%s: %d files are recovered, want %d", at, got, want)
				}
				rep, err := check.Run(t.Context(), open(t, be), &check.Options{SelectPacks: check.AllPacks})
				if err != nil || rep.Errors > 0 {
					t.Errorf("%s: check: %v, %v", at, rep.Problems, err)
				}
			}
		}
	}
}

func clone(t testing.TB, be *mem.Backend) *mem.Backend {
	t.Helper()
	c := mem.New()
	for _, typ := range backend.FileTypes() {
		for fi, err := range be.List(context.Background(), typ) {
			if err != nil {
				t.Fatal(err)
			}
			h := backend.Handle{Type: typ, Name: fi.Name}
			put(t, c, h, get(t, be, h))
		}
	}
	return c
}

func TestStorageThatFailsIsNoDamage(t *testing.T) {
	be := sample(t, 2)
	want := contents(t, be)
	lost, _ := packOf(t, be, root(t, be, "one"))
	faulty := backendtest.NewFaulty(be, nil)
	r := open(t, faulty)
	faulty.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpLoad && h.Name == lost.Name {
			return backendtest.Fail
		}
		return backendtest.None
	})
	if res, err := repair.Index(t.Context(), r, &repair.IndexOptions{ReadAllPacks: true}); err != nil || len(res.Unreadable) != 1 {
		t.Errorf("index: %+v, %v", res, err)
	}
	id, _ := crypto.ParseID(lost.Name)
	if _, err := repair.Packs(t.Context(), r, []crypto.ID{id}, nil); !errors.Is(err, backendtest.ErrInjected) {
		t.Errorf("packs: %v", err)
	}
	list, err := r.Snapshots(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repair.PlanSnapshots(t.Context(), r, list, nil); !errors.Is(err, backendtest.ErrInjected) {
		t.Errorf("snapshots: %v", err)
	}
	if _, err := repair.Recover(t.Context(), r, nil); !errors.Is(err, backendtest.ErrInjected) {
		t.Errorf("recover: %v", err)
	}
	if got := contents(t, be); !maps.Equal(got, want) {
		t.Errorf("%d of %d files can be read", len(got), len(want))
	}
}
