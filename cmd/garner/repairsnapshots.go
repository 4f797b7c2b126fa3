package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repair"
	"github.com/garner-backup/garner/repo/snapshot"
)

type repairSnapshotsOptions struct {
	filterOptions
	dryRun bool
	forget bool
}

const repairSnapshotsHelp = `The "repair snapshots" command makes new snapshots of those that have lost
something. What is lost is taken out: missing parts of files, and the content of
folders that can't be read. A snapshot of which nothing is left is removed.

What the index does not know counts as lost, so run "repair index" first. If the
files still exist somewhere, run "backup" on them before: it stores what is
missing, and the damaged snapshots are whole again.

The new snapshots have the tag "repaired". With --forget they do not, and take
the place of the damaged ones. "prune" removes what is no longer needed.`

func newRepairSnapshotsCommand(app *cli.App) *cobra.Command {
	var opts repairSnapshotsOptions
	cmd := &cobra.Command{
		Use:     "snapshots [flags] [snapshot ID] [...]",
		Short:   "Repair snapshots",
		Long:    repairSnapshotsHelp + exitStatus,
		Example: "  garner repair snapshots --dry-run\n  garner repair snapshots --forget\n  garner repair snapshots --host web1 --forget",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepairSnapshots(cmd.Context(), app.Text(), opts, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&opts.dryRun, "dry-run", "n", false, "change nothing, only tell what would be done")
	f.BoolVar(&opts.forget, "forget", false, "remove the damaged snapshots once the new ones are stored")
	opts.addFlags(app, f, "only consider snapshots")
	return cmd
}

func runRepairSnapshots(ctx context.Context, app *cli.App, opts repairSnapshotsOptions, args []string) error {
	access := cli.Exclusive
	if opts.dryRun {
		access = cli.Dry
	}
	return app.Open(ctx, access, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), args)
		if err != nil {
			return err
		}
		d := newRepairDisplay(app)
		plan, err := repair.PlanSnapshots(ctx, r, list, &repair.SnapshotsOptions{
			Observer: d.observer(d.snapshotFinding),
			Begin: func(sn *snapshot.Snapshot) {
				d.progress.Print(func() { app.Printf("\n%s\n", describeSnapshot(sn)) })
			},
			End: func(p repair.SnapshotPlan) { d.progress.Print(func() { d.planned(opts, p) }) },
		})
		d.stop()
		if err != nil {
			return err
		}
		if !opts.dryRun {
			app.Printf("\n")
			if err := plan.Apply(ctx, &repair.ApplyOptions{Forget: opts.forget, Done: d.repaired}); err != nil {
				return err
			}
		}
		summarizeRepair(app, plan.Damaged(), opts.dryRun)
		return nil
	})
}

func summarizeRepair(app *cli.App, n int, dryRun bool) {
	would := map[bool][2]string{false: {"no snapshots were modified", "modified"}, true: {"no snapshots would be modified", "would modify"}}[dryRun]
	if n == 0 {
		app.Printf("\n%s\n", would[0])
		return
	}
	app.Printf("\n%s %d snapshots\n", would[1], n)
}

func describeSnapshot(sn *snapshot.Snapshot) string {
	return fmt.Sprintf("snapshot %s of %v at %s by %s@%s", sn.ID.Short(), sn.Paths, sn.Time, sn.Username, sn.Hostname)
}

func (d *repairDisplay) snapshotFinding(f repair.Finding) {
	text := map[repair.Kind]string{
		repair.LostContent: "file %q: parts are missing and taken out",
		repair.WrongSize:   "file %q: the size is corrected",
		repair.InvalidNode: "%q: an item without a valid type is left out",
		repair.LostTree:    "folder %q: can't be read and becomes empty",
		repair.LostRoot:    "folder \"/%s\": can't be read",
	}[f.Kind]
	if text == "" {
		return
	}
	d.app.Printf("  "+text+"\n", f.Path)
	if f.Err != nil {
		d.app.Verbosef("    %v\n", f.Err)
	}
}

// planned tells what is to be done about a snapshot.
func (d *repairDisplay) planned(opts repairSnapshotsOptions, p repair.SnapshotPlan) {
	switch {
	case !opts.dryRun || !p.Damaged:
	case p.Lost:
		d.app.Printf("nothing is left of this snapshot, it would be removed\n")
	case opts.forget:
		d.app.Printf("would save a new snapshot and remove this one\n")
	default:
		d.app.Printf("would save a new snapshot\n")
	}
}

func (d *repairDisplay) repaired(s repair.RepairedSnapshot) {
	switch old := s.Old.ID.Short(); {
	case s.New.IsZero():
		d.app.Printf("removed snapshot %s: nothing is left of it\n", old)
	case s.New == s.Old.ID:
		d.app.Printf("snapshot %s is whole again\n", old)
	case s.Removed:
		d.app.Printf("saved new snapshot %s and removed %s\n", s.New.Short(), old)
	default:
		d.app.Printf("saved new snapshot %s for %s\n", s.New.Short(), old)
	}
}
