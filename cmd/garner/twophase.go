package main

import (
	"context"
	"errors"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/prune"
)

// runTwoPhase does what is due of a prune that does not lock others out.
func runTwoPhase(ctx context.Context, app *cli.App, o pruneOptions, opts *prune.Options) error {
	return app.Open(ctx, cli.Unlocked, func(ctx context.Context, r *repo.Repo) error {
		d := newPhases(app)
		opts.Observer = pruneObserver(d)
		var printed error // the first error of the output
		print := func(fn func() error) {
			d.enter("", "", 0)
			d.progress.Print(func() { printed = errors.Join(printed, fn()) })
		}
		grace := o.grace
		if grace == 0 {
			grace = -1 // none
		}
		err := prune.TwoPhase(ctx, r, &prune.TwoPhaseOptions{
			Prune: opts, Grace: grace, Lock: app.LockOptions(), DryRun: o.dryRun, NoLock: app.NoLock,
			Pending: func(m *prune.Mark, due time.Time) { print(func() error { return printPending(app, m, due) }) },
			Planned: func(p *prune.Plan) { print(func() error { return printPlan(app, p, o.dryRun) }) },
			Swept:   func(s prune.SweepStats) { print(func() error { return printSweep(app, s, o.dryRun) }) },
			Again:   func(err error) { print(func() error { app.Printf("%v: beginning anew\n", err); return nil }) },
			Nothing: func() { print(func() error { app.Printf("nothing to mark\n"); return nil }) },
		})
		d.stop()
		return errors.Join(err, printed)
	})
}

// markMessage tells programs of a mark.
type markMessage struct {
	MessageType string    `json:"message_type"` // "mark"
	Packs       int       `json:"packs"`
	Orphans     int       `json:"unreferenced"`
	Time        time.Time `json:"time"`
	Due         time.Time `json:"due"`
}

func printPending(app *cli.App, m *prune.Mark, due time.Time) error {
	if app.JSON {
		return app.PrintJSON(markMessage{"mark", len(m.Packs), len(m.Orphans), m.Time, due})
	}
	app.Printf("%d packs and %d unreferenced ones were marked at %s; what is unused still is deleted from %s on\n",
		len(m.Packs), len(m.Orphans), m.Time.Local().Format(time.DateTime), due.Local().Format(time.DateTime))
	return nil
}

// sweepMessage tells programs of a sweep.
type sweepMessage struct {
	MessageType string `json:"message_type"` // "sweep"
	Marked      int    `json:"marked"`
	Deleted     int    `json:"deleted"`
	Spared      int    `json:"spared"`
	Orphans     int    `json:"unreferenced"`
}

func printSweep(app *cli.App, s prune.SweepStats, dryRun bool) error {
	if app.JSON {
		return app.PrintJSON(sweepMessage{"sweep", s.Marked, s.Deleted, s.Spared, s.Orphans})
	}
	would := ""
	if dryRun {
		would = "would be "
	}
	app.Printf("of %d marked packs, %d %sdeleted and %d %sspared, as they are in use again; %d unreferenced packs %sdeleted\n",
		s.Marked, s.Deleted, would, s.Spared, would, s.Orphans, would)
	return nil
}
