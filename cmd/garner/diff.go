package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/diff"
	"github.com/garner-backup/garner/repo/snapshot"
)

func newDiffCommand(app *cli.App) *cobra.Command {
	var metadata bool
	cmd := &cobra.Command{
		Use:   "diff [flags] snapshotID snapshotID",
		Short: "Show differences between two snapshots",
		Long: `The "diff" command shows what the second snapshot has that the first has not,
and the other way round. Each line begins with what is different:

* +  the item was added
* -  the item was removed
* M  the content of the file changed
* T  the type changed, for example from a file to a symlink
* U  only metadata changed (mode, owner, times, ...); shown with --metadata
* ?  the content changed while all metadata stayed the same: damage, perhaps.
     It can't be told if a backup was made with --ignore-inode or --ignore-ctime

To compare folders, write them behind the snapshots: "snapshotID:folder".` + exitStatus,
		Example: "  garner diff 5b520963 fc2d2f3b\n  garner diff --metadata 5b520963:home fc2d2f3b:home --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDiff(cmd.Context(), app, metadata, args)
		},
	}
	cmd.Flags().BoolVar(&metadata, "metadata", false, "print changes in metadata")
	return cmd
}

type changeJSON struct {
	MessageType string `json:"message_type"` // "change"
	Path        string `json:"path"`
	Modifier    string `json:"modifier"`
}

type diffCountsJSON struct {
	Files     int    `json:"files"`
	Dirs      int    `json:"dirs"`
	Others    int    `json:"others"`
	DataBlobs int    `json:"data_blobs"`
	TreeBlobs int    `json:"tree_blobs"`
	Bytes     uint64 `json:"bytes"`
}

type diffStatisticsJSON struct {
	MessageType    string         `json:"message_type"` // "statistics"
	SourceSnapshot string         `json:"source_snapshot"`
	TargetSnapshot string         `json:"target_snapshot"`
	ChangedFiles   int            `json:"changed_files"`
	Added          diffCountsJSON `json:"added"`
	Removed        diffCountsJSON `json:"removed"`
}

// errDiffIncomplete means that there is damage; what was found was told.
var errDiffIncomplete = errors.New("some folders could not be compared, because they can't be read")

func runDiff(ctx context.Context, app *cli.App, metadata bool, args []string) error {
	if len(args) != 2 {
		return cli.Usage("specify two snapshot IDs")
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		var snapshots [2]*snapshot.Snapshot
		var folders [2]string
		for i, spec := range args {
			var err error
			if snapshots[i], folders[i], err = r.FindSnapshot(ctx, spec, snapshot.Filter{}); err != nil {
				return err
			}
		}
		app.Printf("comparing snapshot %s to %s:\n\n", snapshots[0].ID.Short(), snapshots[1].ID.Short())
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		var trees [2]crypto.ID
		for i, sn := range snapshots {
			var err error
			if trees[i], err = treeOf(ctx, r, sn, folders[i]); err != nil {
				return err
			}
		}
		incomplete := false
		totals, err := diff.Run(ctx, r, trees[0], trees[1], &diff.Options{
			Metadata: metadata,
			Change: func(c diff.Change) error {
				if app.JSON {
					return app.PrintJSON(changeJSON{"change", c.Path, c.Modifier})
				}
				app.Printf("%-5s%s\n", c.Modifier, c.Path)
				return nil
			},
			Problem: func(path string, err error) error {
				app.Warnf("error: %s: %v\n", path, err)
				incomplete = true
				return nil
			},
		})
		if err != nil {
			return err
		}
		if err := printDiffTotals(app, args, totals); err != nil {
			return err
		}
		if incomplete {
			return errDiffIncomplete
		}
		return nil
	})
}

func printDiffTotals(app *cli.App, args []string, t *diff.Totals) error {
	if app.JSON {
		return app.PrintJSON(diffStatisticsJSON{
			MessageType: "statistics", SourceSnapshot: args[0], TargetSnapshot: args[1],
			ChangedFiles: t.ChangedFiles, Added: diffCountsJSON(t.Added), Removed: diffCountsJSON(t.Removed),
		})
	}
	_, err := fmt.Fprintf(app.Stdout, `
Files:       %5d new, %5d removed, %5d changed
Dirs:        %5d new, %5d removed
Others:      %5d new, %5d removed
Data Blobs:  %5d new, %5d removed
Tree Blobs:  %5d new, %5d removed
  Added:   %-5s
  Removed: %-5s
`,
		t.Added.Files, t.Removed.Files, t.ChangedFiles, t.Added.Dirs, t.Removed.Dirs, t.Added.Others, t.Removed.Others,
		t.Added.DataBlobs, t.Removed.DataBlobs, t.Added.TreeBlobs, t.Removed.TreeBlobs,
		ui.Bytes(t.Added.Bytes), ui.Bytes(t.Removed.Bytes))
	return err
}
