package forget

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
)

// newRepo returns a repository with snapshots of two hosts, one a day, and the
// list of them, the oldest first.
func newRepo(t *testing.T, days int) (*repo.Repo, *backendtest.Faulty, []*snapshot.Snapshot) {
	t.Helper()
	be := backendtest.NewFaulty(mem.New(), nil)
	repotest.InitBackend(t, be, "secret", 2)
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	for day := range days {
		for hour, host := range []string{"alpha", "beta"} {
			sn := &snapshot.Snapshot{Time: time.Date(2024, 1, 1+day, hour, 0, 0, 0, time.UTC), Hostname: host, Tree: &crypto.ID{}, Paths: []string{"/" + host}}
			if _, err := r.SaveSnapshot(t.Context(), sn); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r, be, snapshots(t, r)
}

func snapshots(t *testing.T, r *repo.Repo) []*snapshot.Snapshot {
	t.Helper()
	list, err := r.Snapshots(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func ids(list []*snapshot.Snapshot) []crypto.ID { return appendIDs(nil, list) }

func sameIDs(a, b []crypto.ID) bool {
	order := func(l []crypto.ID) []crypto.ID { return slices.SortedFunc(slices.Values(l), crypto.ID.Compare) }
	return slices.Equal(order(a), order(b))
}

var byHost = &Options{GroupBy: snapshot.Grouping{Host: true}}

func TestAPolicyAppliesToEachGroup(t *testing.T) {
	r, _, list := newRepo(t, 4)
	plan, err := NewPlan(r, list, &snapshot.Policy{Last: 1, Daily: 2}, byHost)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Groups) != 2 || plan.Groups[0].Key.Hostname != "alpha" || plan.Groups[1].Key.Hostname != "beta" {
		t.Fatalf("groups %+v", plan.Groups)
	}
	if !sameIDs(plan.Remove(), ids(list[:4])) {
		t.Errorf("removes %v", plan.Remove())
	}
	g := plan.Groups[1]
	if !slices.Equal(ids(g.Keep()), []crypto.ID{list[7].ID, list[5].ID}) || !slices.Equal(ids(g.Remove()), []crypto.ID{list[3].ID, list[1].ID}) {
		t.Errorf("keeps %v, removes %v", ids(g.Keep()), ids(g.Remove()))
	}
	if got := g.Reasons(); len(got) != 2 || !slices.Equal(got[0].Matches, []string{"last snapshot", "daily snapshot"}) || got[1].Snapshot != list[5] {
		t.Errorf("reasons %+v", got)
	}
	var seen []crypto.ID
	removed, err := plan.Apply(t.Context(), &ApplyOptions{Removed: func(id crypto.ID) { seen = append(seen, id) }})
	if err != nil || !slices.Equal(removed, seen) || !sameIDs(removed, plan.Remove()) {
		t.Errorf("removed %v, told of %v: %v", removed, seen, err)
	}
	if left := snapshots(t, r); !slices.Equal(ids(left), ids(list[4:])) {
		t.Errorf("left %v", ids(left))
	}
	if removed, err := plan.Apply(t.Context(), nil); len(removed) != 0 || err != nil {
		t.Errorf("the second time: %v, %v", removed, err)
	}
}

func TestWhatWouldLeaveNothingIsRefused(t *testing.T) {
	r, _, list := newRepo(t, 2)
	if plan, err := NewPlan(r, list, &snapshot.Policy{}, nil); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("without a policy: %+v, %v", plan, err)
	}
	if plan, err := NewPlan(r, list, &snapshot.Policy{Last: -3}, nil); err == nil {
		t.Errorf("with a policy without sense: %+v", plan)
	}
	list[0].Tags = []string{"x"}
	tagged := &snapshot.Policy{Tags: []snapshot.TagList{{"x"}}}
	for _, all := range []bool{false, true} {
		var last *LastSnapshotError
		plan, err := NewPlan(r, list, tagged, &Options{GroupBy: byHost.GroupBy, AllowRemoveAll: all})
		if !errors.As(err, &last) || last.Key.Hostname != "beta" || last.Count != 2 {
			t.Errorf("without a snapshot of one group: %+v, %v", plan, err)
		}
	}
	if plan, err := NewPlan(r, list, tagged, nil); err != nil || len(plan.Remove()) != 3 {
		t.Errorf("in one group: %+v, %v", plan, err)
	}
	plan, err := NewPlan(r, list, &snapshot.Policy{}, &Options{AllowRemoveAll: true})
	if err != nil || len(plan.Remove()) != 4 {
		t.Errorf("all: %+v, %v", plan, err)
	}
	if plan, err := NewPlan(r, nil, tagged, byHost); err != nil || len(plan.Groups) != 0 {
		t.Errorf("of none: %+v, %v", plan, err)
	}
}

func TestTheGroupIsNamed(t *testing.T) {
	for _, test := range []struct {
		key  snapshot.GroupKey
		want string
	}{
		{snapshot.GroupKey{}, `""`},
		{snapshot.GroupKey{Hostname: "h", Paths: []string{"/a", "/b"}, Tags: []string{"x", "y"}}, `"host h, paths [/a, /b], tags [x, y]"`},
	} {
		if msg := (&LastSnapshotError{Key: test.key, Count: 3}).Error(); !strings.Contains(msg, test.want) || !strings.Contains(msg, "3") {
			t.Errorf("%+v: %s", test.key, msg)
		}
	}
}

func TestNowSaysWhatIsInTheFuture(t *testing.T) {
	r, _, list := newRepo(t, 4)
	within := &snapshot.Policy{Within: snapshot.Duration{Hours: 3}}
	for day, want := range map[int]int{2: 2, 5: 6} {
		plan, err := NewPlan(r, list, within, &Options{Now: time.Date(2024, 1, day, 12, 0, 0, 0, time.UTC)})
		if err != nil || len(plan.Remove()) != want {
			t.Errorf("day %d: %v, %v", day, plan, err)
		}
	}
}

func TestTheChosenOnesGo(t *testing.T) {
	r, _, list := newRepo(t, 2)
	plan := Chosen(r, list[1:3])
	if err := r.Remove(t.Context(), backend.SnapshotFile, list[1].ID); err != nil {
		t.Fatal(err)
	}
	removed, err := plan.Apply(t.Context(), nil)
	if err != nil || !slices.Equal(removed, []crypto.ID{list[2].ID}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if left := snapshots(t, r); !slices.Equal(ids(left), []crypto.ID{list[0].ID, list[3].ID}) {
		t.Errorf("left %v", ids(left))
	}
}

func TestAStalePlanIsRefused(t *testing.T) {
	r, _, list := newRepo(t, 3)
	plan, err := NewPlan(r, list, &snapshot.Policy{Last: 1}, byHost)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), backend.SnapshotFile, list[5].ID); err != nil {
		t.Fatal(err)
	}
	if removed, err := plan.Apply(t.Context(), nil); !errors.Is(err, ErrStale) || len(removed) != 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if left := snapshots(t, r); len(left) != 5 {
		t.Errorf("left %v", ids(left))
	}
}

func TestOneThatCanNotBeRemovedDoesNotKeepTheOthers(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
		r, be, list := newRepo(t, 20)
		bad := list[7].ID.String()
		be.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
			if op == layer.OpRemove && h.Name == bad {
				return fault
			}
			return backendtest.None
		})
		plan, err := NewPlan(r, list, &snapshot.Policy{Last: 1}, byHost)
		if err != nil {
			t.Fatal(err)
		}
		var failed []crypto.ID
		removed, err := plan.Apply(t.Context(), &ApplyOptions{Failed: func(id crypto.ID, _ error) { failed = append(failed, id) }})
		var some *RemoveError
		if !errors.As(err, &some) || !slices.Equal(some.IDs, []crypto.ID{list[7].ID}) || !slices.Equal(failed, some.IDs) || !errors.Is(err, backendtest.ErrInjected) {
			t.Errorf("%v: %v, told of %v", fault, err, failed)
		}
		if len(removed) != 37 {
			t.Errorf("%v: %d removed", fault, len(removed))
		}
		want := 3
		if fault == backendtest.FailLate {
			want = 2
		}
		if left := snapshots(t, r); len(left) != want {
			t.Errorf("%v: left %v", fault, ids(left))
		}
	}
}

func TestNothingIsRemovedIfTheSnapshotsCanNotBeListed(t *testing.T) {
	r, be, list := newRepo(t, 3)
	plan := Chosen(r, list)
	be.SetRule(func(op layer.Op, _ backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpList {
			return backendtest.Fail
		}
		return backendtest.None
	})
	removed, err := plan.Apply(t.Context(), nil)
	be.SetRule(nil)
	if !errors.Is(err, backendtest.ErrInjected) || len(removed) != 0 || len(snapshots(t, r)) != 6 {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func TestApplyStopsWhenItIsCancelled(t *testing.T) {
	r, _, list := newRepo(t, 40)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	removed, err := Chosen(r, list).Apply(ctx, &ApplyOptions{Removed: func(crypto.ID) { cancel(stop) }})
	if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left := len(snapshots(t, r)); left == 0 || left+len(removed) != len(list) {
		t.Errorf("%d removed, %d left", len(removed), left)
	}
}
