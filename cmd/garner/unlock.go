package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
)

func newUnlockCommand(app *cli.App) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Remove locks other processes created",
		Long: "The \"unlock\" command removes stale locks that have been created by other processes:\n" +
			"those that were not refreshed for half an hour, and those of processes of this\nhost that no longer run." + exitStatus,
		Example: "  garner unlock\n  garner unlock --remove-all",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runUnlock(cmd.Context(), app, all)
		},
	}
	cmd.Flags().BoolVar(&all, "remove-all", false, "remove all locks, even non-stale ones")
	return cmd
}

func runUnlock(ctx context.Context, app *cli.App, all bool) error {
	app.NoLock = true
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		remove := r.RemoveStaleLocks
		if all {
			remove = r.RemoveAllLocks
		}
		n, err := remove(ctx)
		if n > 0 {
			app.Printf("successfully removed %d locks\n", n)
		}
		return err
	})
}
