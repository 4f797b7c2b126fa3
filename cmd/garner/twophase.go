package main

import (
	"context"
	"errors"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/prune"
)

// sweepTries is how often a sweep begins anew when someone else changed the
// repository in between.
const sweepTries = 3

// runTwoPhase does what is due: it sweeps marks whose grace time is over, and
// marks if nothing is marked then.
func runTwoPhase(ctx context.Context, app *cli.App, o pruneOptions, opts *prune.Options) error {
	return app.Open(ctx, cli.Unlocked, func(ctx context.Context, r *repo.Repo) error {
		marks, err := prune.Marks(ctx, r)
		if err != nil {
			return err
		}
		var due []*prune.Mark
		for _, m := range marks {
			if m.Due(time.Now(), o.grace) {
				due = append(due, m)
			} else if err := printPending(app, m, o.grace); err != nil {
				return err
			}
		}
		if len(due) > 0 {
			if err := sweep(ctx, app, r, o, due); err != nil {
				return err
			}
		}
		if len(due) < len(marks) || (o.dryRun && len(due) > 0) {
			return nil // what is marked shall be deleted before there is more
		}
		return mark(ctx, app, r, o, opts)
	})
}

// markMessage tells programs of a mark.
type markMessage struct {
	MessageType string    `json:"message_type"` // "mark"
	Packs       int       `json:"packs"`
	Time        time.Time `json:"time"`
	Due         time.Time `json:"due"`
}

func printPending(app *cli.App, m *prune.Mark, grace time.Duration) error {
	due := m.Time.Add(grace)
	if app.JSON {
		return app.PrintJSON(markMessage{"mark", len(m.Packs), m.Time, due})
	}
	app.Printf("%d packs were marked at %s; what is unused still is deleted from %s on\n",
		len(m.Packs), m.Time.Local().Format(time.DateTime), due.Local().Format(time.DateTime))
	return nil
}

// mark is the first phase.
func mark(ctx context.Context, app *cli.App, r *repo.Repo, o pruneOptions, opts *prune.Options) error {
	return withLock(ctx, app, r, repo.SharedLock, func(ctx context.Context) error {
		d := newPhases(app)
		opts.Observer = pruneObserver(d)
		plan, err := prune.NewPlan(ctx, r, opts)
		if err != nil {
			d.stop()
			return err
		}
		d.enter("", "", 0)
		if err := printPlan(app, d, plan, o.dryRun); err != nil || o.dryRun {
			d.stop()
			return err
		}
		m, err := plan.Mark(ctx, time.Now())
		d.stop()
		if err != nil {
			return err
		}
		if m == nil {
			app.Printf("nothing to mark\n")
			return nil
		}
		return printPending(app, m, o.grace)
	})
}

// sweepMessage tells programs of a sweep.
type sweepMessage struct {
	MessageType string `json:"message_type"` // "sweep"
	Marked      int    `json:"marked"`
	Deleted     int    `json:"deleted"`
	Spared      int    `json:"spared"`
	Orphans     int    `json:"unreferenced"`
}

// sweep is the second phase. Most of it runs under a shared lock.
func sweep(ctx context.Context, app *cli.App, r *repo.Repo, o pruneOptions, due []*prune.Mark) error {
	for try := 1; ; try++ {
		err := sweepOnce(ctx, app, r, o, due)
		if !errors.Is(err, prune.ErrStale) || try == sweepTries {
			return err
		}
		app.Printf("%v: beginning anew\n", err)
	}
}

func sweepOnce(ctx context.Context, app *cli.App, r *repo.Repo, o pruneOptions, due []*prune.Mark) error {
	d := newPhases(app)
	var s *prune.Sweep
	err := withLock(ctx, app, r, repo.SharedLock, func(ctx context.Context) (err error) {
		s, err = prune.NewSweep(ctx, r, due, pruneObserver(d))
		return err
	})
	if err != nil {
		d.stop()
		return err
	}
	if o.dryRun {
		d.stop()
		return printSweep(app, s.Preview(), "would be ")
	}
	var stats prune.SweepStats
	err = withLock(ctx, app, r, repo.ExclusiveLock, func(ctx context.Context) (err error) {
		stats, err = s.Apply(ctx)
		return err
	})
	d.stop()
	if err != nil {
		return err
	}
	return printSweep(app, stats, "")
}

func printSweep(app *cli.App, s prune.SweepStats, would string) error {
	if app.JSON {
		return app.PrintJSON(sweepMessage{"sweep", s.Marked, s.Deleted, s.Spared, s.Orphans})
	}
	app.Printf("of %d marked packs, %d %sdeleted and %d %sspared, as they are in use again; %d unreferenced packs %sdeleted\n",
		s.Marked, s.Deleted, would, s.Spared, would, s.Orphans, would)
	return nil
}

// withLock takes a lock unless --no-lock says not to, which is for dry runs.
func withLock(ctx context.Context, app *cli.App, r *repo.Repo, mode repo.LockMode, fn func(ctx context.Context) error) error {
	if app.NoLock {
		return fn(ctx)
	}
	return r.WithLock(ctx, mode, app.LockOptions(), fn)
}
