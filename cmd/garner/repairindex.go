package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repair"
)

const repairIndexHelp = `The "repair index" command makes the index fit the packs that are in the
repository. Index files that can't be read are removed, packs that are gone leave
the index, and packs that are not in it, or have another size than it says, are
added from what their headers list.`

func newRepairIndexCommand(app *cli.App) *cobra.Command {
	opts := repair.IndexOptions{}
	cmd := &cobra.Command{
		Use:     "index [flags]",
		Short:   "Build a new index",
		Long:    repairIndexHelp + exitStatus,
		Example: "  garner repair index\n  garner repair index --read-all-packs",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRepairIndex(cmd.Context(), app.Text(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.ReadAllPacks, "read-all-packs", false, "read the headers of all packs, whatever the index says")
	return cmd
}

// newRebuildIndexCommand returns the name that "repair index" had before.
func newRebuildIndexCommand(app *cli.App) *cobra.Command {
	cmd := newRepairIndexCommand(app)
	cmd.Use = "rebuild-index [flags]"
	cmd.Example = "  garner rebuild-index"
	cmd.Deprecated = `use "repair index" instead`
	return cmd
}

func runRepairIndex(ctx context.Context, app *cli.App, opts repair.IndexOptions) error {
	return app.Open(ctx, cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
		d := newRepairDisplay(app)
		opts.Observer = d.observer(d.indexFinding)
		res, err := repair.Index(ctx, r, &opts)
		d.stop()
		if err != nil {
			return err
		}
		app.Printf("%d index files written, %d removed, %d left as they are\n", len(res.Written), len(res.Removed), res.Kept)
		return nil
	})
}
