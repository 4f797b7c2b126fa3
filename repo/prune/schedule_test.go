package prune_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
)

// The tests in this file let several actors work on one repository and decide
// before every single operation of the storage whose turn it is. Time is not
// real: the waits of the lock protocol cost nothing.

// scheduler holds back the operations of all actors.
type scheduler struct {
	be *mem.Backend

	mu      sync.Mutex
	waiting []*turn // owned by mu
}

// turn is an operation that waits for its turn.
type turn struct {
	actor int
	what  string
	go_   chan struct{}
}

// gate is the storage as one actor sees it.
type gate struct {
	backend.Backend
	s     *scheduler
	actor int
}

func (g *gate) wait(op string, h backend.Handle) {
	t := &turn{g.actor, fmt.Sprintf("%s %v", op, h.Type), make(chan struct{})}
	g.s.mu.Lock()
	g.s.waiting = append(g.s.waiting, t)
	g.s.mu.Unlock()
	<-t.go_
}

func (g *gate) Unwrap() backend.Backend { return g.Backend }

func (g *gate) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	g.wait("save", h)
	return g.Backend.Save(ctx, h, c)
}

func (g *gate) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	g.wait("load", h)
	return g.Backend.Load(ctx, h, offset, length, buf)
}

func (g *gate) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	g.wait("stat", h)
	return g.Backend.Stat(ctx, h)
}

func (g *gate) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	g.wait("list", backend.Handle{Type: t})
	return g.Backend.List(ctx, t)
}

func (g *gate) Remove(ctx context.Context, h backend.Handle) error {
	g.wait("remove", h)
	return g.Backend.Remove(ctx, h)
}

// actor is something that works on the repository from opening it to the end.
type actor func(ctx context.Context, be backend.Backend) error

// run lets the actors work until all are done. choose picks the one whose
// operation comes next out of those that wait. It returns how each ended and
// the operations in their order.
func (s *scheduler) run(actors []actor, choose func(waiting []int) int) (errs []error, trace []string) {
	errs = make([]error, len(actors))
	left := len(actors)
	for i, a := range actors {
		go func() {
			err := a(context.Background(), &gate{s.be, s, i})
			s.mu.Lock()
			defer s.mu.Unlock()
			errs[i] = err
			left--
		}()
	}
	for {
		synctest.Wait()
		s.mu.Lock()
		if left == 0 {
			s.mu.Unlock()
			return errs, trace
		}
		if len(s.waiting) == 0 {
			s.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		var ids []int
		for _, t := range s.waiting {
			ids = append(ids, t.actor)
		}
		i := choose(ids)
		t := s.waiting[i]
		s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
		s.mu.Unlock()
		trace = append(trace, fmt.Sprintf("%d: %s", t.actor, t.what))
		close(t.go_)
	}
}

// inTurn lets an actor finish before the next begins, but for one actor that
// is held up before its n-th operation until all others are done.
func inTurn(held, n int) func(waiting []int) int {
	done := 0
	return func(waiting []int) int {
		best := -1
		for i, a := range waiting {
			if a == held && done >= n {
				continue
			}
			if best < 0 || a < waiting[best] {
				best = i
			}
		}
		if best < 0 {
			best = 0
		}
		if waiting[best] == held {
			done++
		}
		return best
	}
}

// sticky goes on with the same actor for a while before it picks another at
// random.
func sticky(rng *rand.Rand) func(waiting []int) int {
	current := -1
	return func(waiting []int) int {
		if at := slices.Index(waiting, current); at >= 0 && rng.IntN(30) > 0 {
			return at
		}
		at := rng.IntN(len(waiting))
		current = waiting[at]
		return at
	}
}

// backUpActor makes a snapshot of a folder, as garner backup does. That the
// repository is locked is no error.
func backUpActor(dir string) actor {
	return locked(repo.SharedLock, func(ctx context.Context, r *repo.Repo) error {
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		_, err := backUp(ctx, r, dir)
		return err
	})
}

func locked(mode repo.LockMode, fn func(ctx context.Context, r *repo.Repo) error) actor {
	return func(ctx context.Context, be backend.Backend) error {
		r, err := repo.Open(ctx, be, password, nil)
		if err != nil {
			return err
		}
		return passLocked(r.WithLock(ctx, mode, nil, func(ctx context.Context) error { return fn(ctx, r) }))
	}
}

func passLocked(err error) error {
	var l *repo.LockedError
	if errors.As(err, &l) {
		return nil
	}
	return err
}

// markActor is the first phase.
var markActor = locked(repo.SharedLock, func(ctx context.Context, r *repo.Repo) error {
	p, err := prune.NewPlan(ctx, r, everything())
	if err == nil {
		_, err = p.Mark(ctx, time.Now())
	}
	return err
})

// pruneActor is a prune of the plain kind.
var pruneActor = locked(repo.ExclusiveLock, func(ctx context.Context, r *repo.Repo) error {
	p, err := prune.NewPlan(ctx, r, everything())
	if err == nil {
		err = p.Apply(ctx)
	}
	return err
})

// forgetActor removes one of several snapshots.
var forgetActor = locked(repo.ExclusiveLock, func(ctx context.Context, r *repo.Repo) error {
	var ids []crypto.ID
	for fi, err := range r.List(ctx, backend.SnapshotFile) {
		if err != nil {
			return err
		}
		ids = append(ids, fi.ID)
	}
	if len(ids) < 2 {
		return nil
	}
	return r.Remove(ctx, backend.SnapshotFile, ids[0])
})

// twoPhaseActor does what is due of both phases, with no grace.
func twoPhaseActor(stats *prune.SweepStats) actor {
	return func(ctx context.Context, be backend.Backend) error {
		r, err := repo.Open(ctx, be, password, nil)
		if err != nil {
			return err
		}
		err = prune.TwoPhase(ctx, r, &prune.TwoPhaseOptions{Prune: everything(), Grace: -1, Swept: func(s prune.SweepStats) {
			stats.Deleted += s.Deleted
			stats.Spared += s.Spared
		}})
		if errors.Is(err, prune.ErrStale) {
			return nil
		}
		return passLocked(err)
	}
}

// again lets an actor work several times.
func again(n int, a actor) actor {
	return func(ctx context.Context, be backend.Backend) error {
		for range n {
			if err := a(ctx, be); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
		return nil
	}
}

// stage is a repository of which a snapshot was forgotten, and folders: one
// as it was in that snapshot, one that is new in part.
type stage struct {
	origin   *mem.Backend
	old, new string
}

func newStage(t *testing.T) *stage {
	s := &stage{origin: mem.New(), old: t.TempDir(), new: t.TempDir()}
	repotest.InitBackend(t, s.origin, password, 2)
	writeFiles(t, s.old, map[string]int{"a": 1, "b": 2, "sub/c": 3})
	writeFiles(t, s.new, map[string]int{"a": 1, "x": 7, "sub/c": 8})
	kept := t.TempDir()
	writeFiles(t, kept, map[string]int{"a": 4, "sub/c": 3})
	r := open(t, s.origin, nil)
	var ids []crypto.ID
	for _, dir := range []string{s.old, kept} {
		id, err := backUp(t.Context(), r, dir)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	forget(t, r, ids[0])
	return s
}

// play runs actors, then checks that no snapshot misses anything. It returns
// how many operations each actor did.
func (s *stage) play(t *testing.T, name string, be *mem.Backend, actors []actor, choose func([]int) int) (operations map[int]int) {
	t.Helper()
	errs, trace := (&scheduler{be: be}).run(actors, choose)
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s: actor %d: %v", name, i, err)
		}
	}
	snapshots := 0
	for range be.List(context.Background(), backend.SnapshotFile) {
		snapshots++
	}
	mustCheckWith(t, be, snapshots, nil)
	for range be.List(context.Background(), backend.LockFile) {
		t.Errorf("%s: a lock is left", name)
	}
	if t.Failed() {
		t.Fatalf("%s\n%v", name, trace)
	}
	operations = make(map[int]int)
	for _, line := range trace {
		operations[int(line[0]-'0')]++
	}
	return operations
}

// mustReadAll checks every byte.
func mustReadAll(t *testing.T, be backend.Backend) {
	t.Helper()
	n := 0
	for range be.List(context.Background(), backend.SnapshotFile) {
		n++
	}
	mustCheck(t, be, n)
}

// TestTwoPhaseAtEveryStep holds up a backup before each of its operations
// while the phases of a prune run, and each phase of a prune while a backup
// runs, which needs again what was forgotten.
func TestTwoPhaseAtEveryStep(t *testing.T) {
	s := newStage(t)
	for _, tc := range []struct {
		name   string
		before []actor // run first, undisturbed
		held   actor
		rest   []actor
	}{
		{"backup meets both phases", nil, backUpActor(s.old), []actor{markActor, nil, nil}},
		{"backup meets the second phase", []actor{markActor}, backUpActor(s.old), []actor{nil}},
		{"backup of new files meets both phases", nil, backUpActor(s.new), []actor{markActor, nil}},
		{"first phase meets a backup", nil, markActor, []actor{backUpActor(s.old), nil}},
		{"first phase meets a first and second phase", nil, markActor, []actor{markActor, nil, backUpActor(s.old)}},
		{"first phase meets a prune", nil, markActor, []actor{pruneActor, backUpActor(s.new)}},
		{"second phase meets a backup", []actor{markActor}, nil, []actor{backUpActor(s.old)}},
		{"second phase meets a backup of new files", []actor{markActor}, nil, []actor{backUpActor(s.new), backUpActor(s.old)}},
		{"second phase meets a prune", []actor{markActor}, nil, []actor{pruneActor, backUpActor(s.old)}},
		{"second phase meets another and a backup", []actor{markActor}, nil, []actor{nil, backUpActor(s.old)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var total prune.SweepStats
			steps := 0
			for n := 0; ; n++ {
				synctest.Test(t, func(t *testing.T) {
					be := s.origin.Clone()
					var stats [4]prune.SweepStats
					actors := func(list []actor, from int) []actor {
						var made []actor
						for i, a := range list {
							if a == nil {
								a = twoPhaseActor(&stats[from+i])
							}
							made = append(made, a)
						}
						return made
					}
					s.play(t, tc.name+", before", be, actors(tc.before, 0), inTurn(-1, 0))
					ops := s.play(t, fmt.Sprintf("%s, step %d", tc.name, n), be, actors(append([]actor{tc.held}, tc.rest...), 0), inTurn(0, n))
					// Whatever happened, the phases finish what is left.
					for i := range 3 {
						s.play(t, tc.name+", after", be, actors([]actor{nil}, i), inTurn(-1, 0))
					}
					mustBeLean(t, be)
					mustReadAll(t, be)
					for _, st := range stats {
						total.Deleted += st.Deleted
						total.Spared += st.Spared
					}
					if ops[0] <= n {
						steps = n
					}
				})
				if steps > 0 || t.Failed() {
					break
				}
				if testing.Short() {
					n += 4
				}
			}
			t.Logf("%d steps, %d packs deleted, %d spared", steps, total.Deleted, total.Spared)
			if total.Deleted == 0 {
				t.Error("no sweep deleted anything")
			}
		})
	}
}

// TestTwoPhaseInAnyOrder lets backups, prunes of both kinds and phases take
// turns at random.
func TestTwoPhaseInAnyOrder(t *testing.T) {
	s := newStage(t)
	rounds := 24
	if testing.Short() {
		rounds = 10
	}
	var total prune.SweepStats
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			be := s.origin.Clone()
			var stats [2]prune.SweepStats
			name := fmt.Sprint("seed ", seed)
			s.play(t, name, be, []actor{markActor}, inTurn(-1, 0))
			s.play(t, name, be, []actor{backUpActor(s.old), again(4, twoPhaseActor(&stats[0])), backUpActor(s.new), again(4, twoPhaseActor(&stats[1])), again(2, pruneActor), again(3, forgetActor)},
				sticky(rng))
			for range 3 {
				s.play(t, name, be, []actor{twoPhaseActor(&stats[0])}, inTurn(-1, 0))
			}
			mustBeLean(t, be)
			for _, st := range stats {
				total.Deleted += st.Deleted
				total.Spared += st.Spared
			}
		})
	}
	t.Logf("%d packs deleted, %d spared", total.Deleted, total.Spared)
	if total.Deleted == 0 || total.Spared == 0 {
		t.Error("the orders were too tame")
	}
}
