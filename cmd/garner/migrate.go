package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
)

const migrateHelp = `The "migrate" command lists the migrations that can be applied to the
repository, or applies those that are named.

upgrade_repo_v2 turns a repository of format 1 into one of format 2, after a
check. What is in it stays uncompressed until "prune --repack-uncompressed".
Programs that know format 1 only can't use the repository afterwards.`

func newMigrateCommand(app *cli.App) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "migrate [flags] [migration name] [...]",
		Short:   "Apply migrations",
		Long:    migrateHelp + exitStatus,
		Example: "  garner migrate\n  garner migrate upgrade_repo_v2",
		RunE: func(cmd *cobra.Command, args []string) error {
			app := app.Text()
			return app.Open(cmd.Context(), cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
				if len(args) == 0 {
					listMigrations(app, r)
					return nil
				}
				return applyMigrations(ctx, app, r, args, force)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "apply a migration even if it was applied already")
	return cmd
}

// upgradeRepoV2 is the one migration there is.
const upgradeRepoV2 = "upgrade_repo_v2"

func listMigrations(app *cli.App, r *repo.Repo) {
	app.Printf("available migrations:\n")
	if r.Config().Version == 1 {
		app.Printf("  %s\tfrom version 1 of the format to version 2\n", upgradeRepoV2)
	} else {
		app.Printf("  none\n")
	}
}

// applyMigrations applies what is named, in that order. The first failure of
// a migration is the result, after the others had their turn; damage ends it.
func applyMigrations(ctx context.Context, app *cli.App, r *repo.Repo, names []string, force bool) error {
	var first error
	for _, name := range names {
		if name != upgradeRepoV2 {
			app.Warnf("unknown migration %s\n", name)
			continue
		}
		if v := r.Config().Version; v != 1 {
			if !force {
				app.Warnf("migration %s is done: the repository has version %d already; --force applies it all the same\n", name, v)
				continue
			}
			app.Warnf("migration %s is not for this repository, going on because of --force\n", name)
		}
		app.Printf("checking the repository\n")
		if err := checkRepository(ctx, app, r, nil); err != nil {
			return err
		}
		app.Printf("applying migration %s\n", name)
		if err := r.Upgrade(ctx); err != nil {
			app.Warnf("migration %s failed: %v\n", name, err)
			if first == nil {
				first = err
			}
			continue
		}
		app.Printf("migration %s: success\n", name)
	}
	return first
}
