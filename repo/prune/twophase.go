package prune

import (
	"context"
	"errors"
	"time"

	"github.com/garner-backup/garner/repo"
)

// TwoPhaseOptions say how to prune without locking others out; nil is the
// default.
type TwoPhaseOptions struct {
	// Prune is for the first phase.
	Prune *Options
	// Grace is how old a mark must be before it is swept; zero is
	// DefaultGrace, a negative one is none.
	Grace time.Duration
	// Lock says how to wait for the locks.
	Lock *repo.LockOptions
	// DryRun changes nothing and, with NoLock, takes no locks.
	DryRun, NoLock bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// What follows is called, if not nil, when something is known.
	Pending func(m *Mark, due time.Time) // a mark stands, or was made
	Planned func(p *Plan)                // before it is marked
	Swept   func(s SweepStats)
	Again   func(err error) // the sweep begins anew
	Nothing func()          // there is nothing to mark
}

// sweepTries is how often a sweep begins anew when someone else changed the
// repository in between.
const sweepTries = 3

// TwoPhase does what is due: it sweeps the marks whose grace time is over,
// and marks what is unused if no mark stands then. It takes the locks itself.
func TwoPhase(ctx context.Context, r *repo.Repo, opts *TwoPhaseOptions) error {
	t := twoPhase{repo: r}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Prune == nil {
		t.opts.Prune = &Options{}
	}
	if t.opts.Grace == 0 {
		t.opts.Grace = DefaultGrace
	}
	if t.opts.Now == nil {
		t.opts.Now = time.Now
	}
	if t.opts.NoLock && !t.opts.DryRun {
		return errors.New("only a dry run can do without locks")
	}
	return t.run(ctx)
}

// twoPhase is one call of TwoPhase.
type twoPhase struct {
	repo *repo.Repo
	opts TwoPhaseOptions // with the defaults filled in
}

func (t *twoPhase) run(ctx context.Context) error {
	marks, err := Marks(ctx, t.repo)
	if err != nil {
		return err
	}
	var due []*Mark
	for _, m := range marks {
		if !m.Due(t.opts.Now(), t.opts.Grace) {
			t.pending(m)
			continue
		}
		if m.Err != nil {
			observe(t.opts.Prune.Observer).warn(m.Err)
		}
		due = append(due, m)
	}
	if len(due) > 0 {
		if err := t.sweep(ctx, due); err != nil {
			return err
		}
	}
	if len(due) < len(marks) || t.opts.DryRun && len(due) > 0 {
		return nil // what is marked shall be deleted before there is more
	}
	return t.locked(ctx, repo.SharedLock, t.mark)
}

func (t *twoPhase) pending(m *Mark) {
	if t.opts.Pending != nil {
		t.opts.Pending(m, m.Time.Add(max(t.opts.Grace, 0)))
	}
}

func (t *twoPhase) locked(ctx context.Context, mode repo.LockMode, fn func(ctx context.Context) error) error {
	if t.opts.NoLock {
		return fn(ctx)
	}
	return t.repo.WithLock(ctx, mode, t.opts.Lock, fn)
}

// mark is the first phase.
func (t *twoPhase) mark(ctx context.Context) error {
	plan, err := NewPlan(ctx, t.repo, t.opts.Prune)
	if err != nil {
		return err
	}
	if t.opts.Planned != nil {
		t.opts.Planned(plan)
	}
	if t.opts.DryRun {
		return nil
	}
	m, err := plan.Mark(ctx, t.opts.Now())
	switch {
	case err != nil:
		return err
	case m != nil:
		t.pending(m)
	case t.opts.Nothing != nil:
		t.opts.Nothing()
	}
	return nil
}

// sweep is the second phase. It begins anew if someone else replaced index
// files between its two locks.
func (t *twoPhase) sweep(ctx context.Context, due []*Mark) error {
	for try := 1; ; try++ {
		err := t.sweepOnce(ctx, due)
		if !errors.Is(err, ErrStale) || try == sweepTries {
			return err
		}
		if t.opts.Again != nil {
			t.opts.Again(err)
		}
	}
}

func (t *twoPhase) sweepOnce(ctx context.Context, due []*Mark) error {
	var s *Sweep
	err := t.locked(ctx, repo.SharedLock, func(ctx context.Context) (err error) {
		s, err = NewSweep(ctx, t.repo, due, t.opts.Prune.Observer)
		return err
	})
	if err != nil {
		return err
	}
	var stats SweepStats
	if t.opts.DryRun {
		stats = s.Preview()
	} else if err := t.locked(ctx, repo.ExclusiveLock, func(ctx context.Context) (err error) {
		stats, err = s.Apply(ctx)
		return err
	}); err != nil {
		return err
	}
	if t.opts.Swept != nil {
		t.opts.Swept(stats)
	}
	return nil
}
