package transfer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
)

func TestRetagReplacesWhatChanges(t *testing.T) {
	for _, c := range []struct {
		name    string
		opts    *transfer.RetagOptions
		tags    []string
		want    []string
		changed int
	}{
		{"nil", nil, []string{"a"}, []string{"a"}, 0},
		{"nothing", &transfer.RetagOptions{}, []string{"a"}, []string{"a"}, 0},
		{"set", &transfer.RetagOptions{Set: []string{"x", "y"}}, []string{"a"}, []string{"x", "y"}, 1},
		{"set the same", &transfer.RetagOptions{Set: []string{"a"}}, []string{"a"}, []string{"a"}, 1},
		{"add", &transfer.RetagOptions{Add: []string{"a", "b", "b"}}, []string{"a"}, []string{"a", "b"}, 1},
		{"add what is there", &transfer.RetagOptions{Add: []string{"a"}}, []string{"a"}, []string{"a"}, 0},
		{"remove", &transfer.RetagOptions{Remove: []string{"a"}}, []string{"a", "b", "c"}, []string{"c", "b"}, 1},
		{"remove the last", &transfer.RetagOptions{Remove: []string{"a"}}, []string{"a"}, nil, 1},
		{"remove what is not there", &transfer.RetagOptions{Remove: []string{"x"}}, []string{"a"}, []string{"a"}, 0},
		{"add and remove", &transfer.RetagOptions{Add: []string{"x"}, Remove: []string{"x"}}, []string{"a"}, []string{"a"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 2)
			r := s.open(t)
			old := backUp(t, r, files{"f": []byte("x")}, snapshot.Snapshot{Tags: c.tags, Hostname: "h"})
			told := 0
			if c.opts != nil {
				c.opts.Changed = func(before, after *snapshot.Snapshot) {
					told++
					if before.ID != old.ID || !slices.Equal(after.Tags, c.want) {
						t.Errorf("told of %v with %v", before.ID, after.Tags)
					}
				}
			}
			n, err := transfer.Retag(t.Context(), r, all(t, r), c.opts)
			if err != nil || n != c.changed || told != c.changed {
				t.Errorf("%d changed, told of %d, %v; want %d", n, told, err, c.changed)
			}
			list := all(t, r)
			if len(list) != 1 || !slices.Equal(list[0].Tags, c.want) || list[0].PersistentID() != old.ID {
				t.Fatalf("left %+v", list[0])
			}
			if same := list[0].ID == old.ID; same != (c.changed == 0) {
				t.Errorf("ID %v, was %v", list[0].ID, old.ID)
			}
			if !list[0].Time.Equal(old.Time) || *list[0].Tree != *old.Tree || list[0].Hostname != "h" || list[0].Summary == nil {
				t.Errorf("more than tags has changed: %+v", list[0])
			}
		})
	}
}

// TestRetagLosesNoSnapshot fails every step, so that it is done or not done.
func TestRetagLosesNoSnapshot(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
		for step := 0; ; step++ {
			s := newStore(t, 2)
			r := s.open(t)
			for i := range 3 {
				backUp(t, r, files{"f": []byte("x")}, snapshot.Snapshot{Time: time.Unix(int64(1_700_000_000+i), 0)})
			}
			before := all(t, r)
			met := s.failAt(step, fault)
			change := func() error {
				return locked(t.Context(), r, repo.ExclusiveLock, func(ctx context.Context) error {
					_, err := transfer.Retag(ctx, r, all(t, r), &transfer.RetagOptions{Add: []string{"x"}})
					return err
				})
			}
			err := change()
			if !met() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err == nil {
				t.Errorf("step %d: no error", step)
			}
			sound(t, s)
			if got := persistent(all(t, r)); len(got) != len(before) {
				t.Errorf("fault %d in step %d: %d snapshots are left of %d", fault, step, len(got), len(before))
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			for _, sn := range all(t, r) {
				if !slices.Contains(sn.Tags, "x") {
					t.Errorf("fault %d in step %d: trying again leaves tags %v", fault, step, sn.Tags)
				}
			}
		}
	}
}

// TestRetagInAnyOrderKeepsTheOrigin changes tags at random and compares with
// a model.
func TestRetagInAnyOrderKeepsTheOrigin(t *testing.T) {
	tags := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 3)
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t, 2)
		r := s.open(t)
		id := crypto.RandomID()
		first := &snapshot.Snapshot{Time: time.Unix(1, 0), Tree: &id, Tags: tags.Draw(rt, "first")}
		var err error
		if first.ID, err = r.SaveSnapshot(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		have := make(map[string]bool)
		for _, tag := range first.Tags {
			have[tag] = true
		}
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			opts := &transfer.RetagOptions{Add: tags.Draw(rt, "add"), Remove: tags.Draw(rt, "remove")}
			if rapid.Bool().Draw(rt, "set") {
				opts = &transfer.RetagOptions{Set: tags.Draw(rt, "tags")}
			}
			now := all(t, r)[0].Tags
			if _, err := transfer.Retag(t.Context(), r, all(t, r), opts); err != nil {
				t.Fatal(err)
			}
			list := all(t, r)
			if len(list) != 1 || list[0].PersistentID() != first.ID {
				rt.Fatalf("%d snapshots, the first is %v", len(list), list[0].PersistentID())
			}
			want := expected(now, opts)
			got := slices.Sorted(slices.Values(list[0].Tags))
			if !slices.Equal(got, want) {
				rt.Fatalf("%v with %+v gives %v, want %v", now, opts, got, want)
			}
		}
	})
}

// expected is what the tags are afterwards, sorted.
func expected(now []string, opts *transfer.RetagOptions) []string {
	if len(opts.Set) > 0 {
		return slices.Sorted(slices.Values(opts.Set))
	}
	count := make(map[string]int)
	for _, t := range now {
		count[t]++
	}
	for _, t := range opts.Add {
		count[t] = max(count[t], 1)
	}
	for _, t := range opts.Remove {
		count[t] = max(count[t]-1, 0)
	}
	var out []string
	for t, n := range count {
		for range n {
			out = append(out, t)
		}
	}
	return slices.Sorted(slices.Values(out))
}
