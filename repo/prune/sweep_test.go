package prune_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
)

// marked returns a repository in which the first phase has run.
func marked(t *testing.T) (*mem.Backend, []*prune.Mark) {
	t.Helper()
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 4)
	forget(t, open(t, be, nil), ids[0], ids[1])
	before := files(t, be)
	if err := markActor(t.Context(), be); err != nil {
		t.Fatal(err)
	}
	after := files(t, be)
	for _, f := range before {
		if !slices.Contains(after, f) {
			t.Errorf("the first phase deleted %s", f)
		}
	}
	marks, err := prune.Marks(t.Context(), open(t, be, nil))
	if err != nil || len(marks) != 1 || len(marks[0].Packs) == 0 {
		t.Fatalf("marks %v, %v", marks, err)
	}
	return be, marks
}

// sweepNow sweeps under an exclusive lock from beginning to end.
func sweepNow(ctx context.Context, r *repo.Repo, marks []*prune.Mark) (stats prune.SweepStats, err error) {
	err = r.WithLock(ctx, repo.ExclusiveLock, nil, func(ctx context.Context) error {
		s, err := prune.NewSweep(ctx, r, marks, nil)
		if err != nil {
			return err
		}
		stats, err = s.Apply(ctx)
		return err
	})
	return stats, err
}

func TestMarkDue(t *testing.T) {
	_, marks := marked(t)
	m := marks[0]
	if m.Due(m.Time.Add(time.Hour-1), time.Hour) || !m.Due(m.Time.Add(time.Hour), time.Hour) {
		t.Error("a mark is due when the grace time is over, and not before")
	}
}

func TestSweepDeletesWhatIsMarked(t *testing.T) {
	be, marks := marked(t)
	stats, err := sweepNow(t.Context(), open(t, be, nil), marks)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Deleted != len(marks[0].Packs) || stats.Spared != 0 {
		t.Errorf("%+v of %d", stats, len(marks[0].Packs))
	}
	mustCheck(t, be, 2)
	mustBeLean(t, be)
	if marks, err := prune.Marks(t.Context(), open(t, be, nil)); err != nil || len(marks) > 0 {
		t.Errorf("left: %v, %v", marks, err)
	}
}

func TestSweepNeedsAnExclusiveLock(t *testing.T) {
	be, marks := marked(t)
	r := open(t, be, nil)
	s, err := prune.NewSweep(t.Context(), r, marks, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, be)
	if _, err := s.Apply(t.Context()); err == nil {
		t.Error("swept without a lock")
	}
	err = r.WithLock(t.Context(), repo.SharedLock, nil, func(ctx context.Context) error {
		_, err := s.Apply(ctx)
		return err
	})
	if err == nil {
		t.Error("swept under a shared lock")
	}
	if !slices.Equal(files(t, be), before) {
		t.Error("something was changed")
	}
}

// TestSweepSparesYoungOrphans stores packs that no index lists after the
// mark: they may belong to a backup that was suspended.
func TestSweepSparesYoungOrphans(t *testing.T) {
	be, marks := marked(t)
	before := files(t, be)
	leaveOrphans(t, be)
	var young []string
	for _, f := range files(t, be) {
		if !slices.Contains(before, f) {
			young = append(young, f)
		}
	}
	if len(young) == 0 {
		t.Fatal("no orphans")
	}
	stats, err := sweepNow(t.Context(), open(t, be, nil), marks)
	if err != nil || stats.Orphans != 0 {
		t.Fatalf("%+v, %v", stats, err)
	}
	after := files(t, be)
	for _, f := range young {
		if !slices.Contains(after, f) {
			t.Errorf("%s was deleted", f)
		}
	}
	// The next mark lists them, and the sweep after that deletes them.
	if err := markActor(t.Context(), be); err != nil {
		t.Fatal(err)
	}
	marks, err = prune.Marks(t.Context(), open(t, be, nil))
	if err != nil {
		t.Fatal(err)
	}
	if stats, err := sweepNow(t.Context(), open(t, be, nil), marks); err != nil || stats.Orphans != len(young) {
		t.Errorf("%+v of %d, %v", stats, len(young), err)
	}
}

// TestDamagedMarkIsNoObstacle truncates a mark: it is taken away with a
// warning, and the phases go on.
func TestDamagedMarkIsNoObstacle(t *testing.T) {
	be, marks := marked(t)
	flip(t, be, backend.ExtensionFile, marks[0].ID)
	var warned error
	opts := everything()
	opts.Observer = &prune.Observer{Warn: func(err error) { warned = err }}
	if err := prune.TwoPhase(t.Context(), open(t, be, nil), &prune.TwoPhaseOptions{Prune: opts}); err != nil {
		t.Fatal(err)
	}
	if warned == nil {
		t.Error("no warning")
	}
	now, err := prune.Marks(t.Context(), open(t, be, nil))
	if err != nil || len(now) != 1 || now[0].Err != nil || len(now[0].Packs) == 0 {
		t.Errorf("marks %v, %v", now, err)
	}
}

// TestPruneTakesMarksAway leaves nothing that a later mark had to wait for.
func TestPruneTakesMarksAway(t *testing.T) {
	be, _ := marked(t)
	if err := apply(t.Context(), open(t, be, nil), everything()); err != nil {
		t.Fatal(err)
	}
	if marks, err := prune.Marks(t.Context(), open(t, be, nil)); err != nil || len(marks) > 0 {
		t.Errorf("left: %v, %v", marks, err)
	}
	mustCheck(t, be, 2)
	mustBeLean(t, be)
}

// TestSweepRefusesChangedIndex lets another prune run after the sweep looked:
// what it saw of the index is no longer true.
func TestSweepRefusesChangedIndex(t *testing.T) {
	be, marks := marked(t)
	r := open(t, be, nil)
	s, err := prune.NewSweep(t.Context(), r, marks, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), open(t, be, nil), everything()); err != nil {
		t.Fatal(err)
	}
	before := files(t, be)
	err = r.WithLock(t.Context(), repo.ExclusiveLock, nil, func(ctx context.Context) error {
		_, err := s.Apply(ctx)
		return err
	})
	if !errors.Is(err, prune.ErrStale) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(files(t, be), before) {
		t.Error("the sweep changed something")
	}
	// The marks speak of packs that are gone; sweeping them again ends that.
	if stats, err := sweepNow(t.Context(), open(t, be, nil), marks); err != nil || stats.Marked != 0 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestSweepSparesWhereACopyIsBroken takes away the copies that the first
// phase made: then the marked packs are all there is.
func TestSweepSparesWhereACopyIsBroken(t *testing.T) {
	be, marks := marked(t)
	isMarked := func(name string) bool {
		for _, id := range marks[0].Packs {
			if id.String() == name {
				return true
			}
		}
		return false
	}
	copies := 0
	for l := range open(t, be, nil).Index().Packs() {
		h := backend.Handle{Type: backend.PackFile, Name: l.String()}
		if isMarked(h.Name) {
			continue
		}
		b, err := be.Load(t.Context(), h, 0, -1, nil)
		if err == nil {
			err = be.Replace(t.Context(), h, backend.Bytes(b[:len(b)/2]))
		}
		if err != nil {
			t.Fatal(err)
		}
		copies++
	}
	stats, err := sweepNow(t.Context(), open(t, be, nil), marks)
	if err == nil && stats.Spared == 0 {
		t.Errorf("%d copies are broken, but nothing was spared: %+v", copies, stats)
	}
}

// TestSweepInterruptedAnywhere lets every operation that changes something
// fail, before or after it took effect.
func TestSweepInterruptedAnywhere(t *testing.T) {
	origin, marks := marked(t)
	for _, kind := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
		for at := 0; ; at++ {
			be := origin.Clone()
			n := 0
			faulty := backendtest.NewFaulty(be, nil)
			r := open(t, faulty, nil)
			s, err := prune.NewSweep(t.Context(), r, marks, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = r.WithLock(t.Context(), repo.ExclusiveLock, nil, func(ctx context.Context) error {
				faulty.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
					if (op == layer.OpSave || op == layer.OpRemove) && h.Type != backend.LockFile {
						n++
						if n > at {
							return kind
						}
					}
					return backendtest.None
				})
				_, err := s.Apply(ctx)
				return err
			})
			mustCheck(t, be, 2)
			left, merr := prune.Marks(t.Context(), open(t, be, nil))
			if merr == nil {
				_, merr = sweepNow(t.Context(), open(t, be, nil), left)
			}
			if merr != nil {
				t.Fatalf("operation %d: the next sweep: %v", at, merr)
			}
			mustCheck(t, be, 2)
			mustBeLean(t, be)
			if t.Failed() {
				t.Fatalf("operation %d, fault %v, error %v", at, kind, err)
			}
			if n <= at {
				if err != nil || at < 4 {
					t.Fatalf("%d operations, error %v", at, err)
				}
				break
			}
		}
	}
}

// noExtensions is a storage with fixed folders.
type noExtensions struct{ backend.Backend }

func (b noExtensions) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if h.Type == backend.ExtensionFile {
		return &backend.PermanentError{Err: errors.ErrUnsupported}
	}
	return b.Backend.Save(ctx, h, c)
}

func TestMarkNeedsAPlaceForMarks(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 3)
	forget(t, open(t, be, nil), ids[0])
	if err := markActor(t.Context(), noExtensions{be}); !errors.Is(err, prune.ErrNoMarks) {
		t.Errorf("got %v", err)
	}
	mustCheck(t, be, 2)
}
