package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repair"
)

const recoverHelp = `The "recover" command makes a new snapshot of all folders in the repository that
no snapshot has: what is left of snapshots that were removed, by accident for
example, as long as "prune" has not run. Each is a folder of the new snapshot,
named by the beginning of its ID. The index is repaired before.`

func newRecoverCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "recover [flags]",
		Short:   "Make a snapshot of data that no snapshot refers to",
		Long:    recoverHelp + exitStatus,
		Example: "  garner recover\n  garner ls latest --tag recovered",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runRecover(cmd.Context(), app.Text()) },
	}
}

func runRecover(ctx context.Context, app *cli.App) error {
	sn, err := (&backupOptions{}).snapshot() // who makes it, where and when
	if err != nil {
		return err
	}
	return app.Open(ctx, cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
		d := newRepairDisplay(app)
		res, err := repair.Recover(ctx, r, &repair.RecoverOptions{
			Snapshot: sn,
			Observer: d.observer(func(f repair.Finding) {
				if f.Kind == repair.UnreadableTree {
					app.Warnf("tree %s can't be read and is not recovered: %v\n", f.Blob.ID, f.Err)
					return
				}
				d.indexFinding(f)
			}),
		})
		d.stop()
		if err != nil {
			return err
		}
		for _, id := range res.Roots {
			app.Verbosef("found root tree %s\n", id.Short())
		}
		app.Printf("\n%d folders are in no snapshot\n", len(res.Roots))
		if res.Snapshot.IsZero() {
			app.Printf("there is nothing to recover\n")
			return nil
		}
		app.Printf("saved new snapshot %s\n", res.Snapshot.Short())
		return nil
	})
}
