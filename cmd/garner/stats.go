package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/stats"
)

type statsOptions struct {
	filterOptions
	mode string
}

func newStatsCommand(app *cli.App) *cobra.Command {
	var opts statsOptions
	cmd := &cobra.Command{
		Use:   "stats [flags] [snapshot ID] [...]",
		Short: "Scan the repository and show basic statistics",
		Long: `The "stats" command adds up what snapshots hold: all of them, those that the
flags select, or those that are named ("latest" is one).

What is counted depends on --mode:

* restore-size (default): all items of all snapshots, and the bytes that
  restoring them would write
* files-by-contents: the items that differ in content, and their bytes
* blobs-per-file: the blobs of files that differ in content, each blob once
  for each path
* raw-data: every blob that is needed, once, and the bytes that it takes in
  the repository` + exitStatus,
		Example: "  garner stats\n  garner stats --mode raw-data --json\n  garner stats --mode restore-size latest --host web1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStats(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, "only consider snapshots")
	f.StringVar(&opts.mode, "mode", stats.RestoreSize.String(), "counting `mode`: restore-size (default), files-by-contents, blobs-per-file or raw-data")
	return cmd
}

// statsJSON is the document that --json prints.
type statsJSON struct {
	TotalSize              uint64  `json:"total_size"`
	TotalUncompressedSize  uint64  `json:"total_uncompressed_size,omitempty"`
	CompressionRatio       float64 `json:"compression_ratio,omitempty"`
	CompressionProgress    float64 `json:"compression_progress,omitempty"`     // percent
	CompressionSpaceSaving float64 `json:"compression_space_saving,omitempty"` // percent
	TotalFileCount         uint64  `json:"total_file_count,omitempty"`
	TotalBlobCount         uint64  `json:"total_blob_count,omitempty"`
	SnapshotsCount         int     `json:"snapshots_count"`
}

func runStats(ctx context.Context, app *cli.App, opts statsOptions, ids []string) error {
	mode, err := stats.ParseMode(opts.mode)
	if err != nil {
		return cli.Usage("%v", err)
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), ids)
		if err != nil {
			return err
		}
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		app.Printf("scanning...\n")
		var obs stats.Observer
		progress := app.Progress(func() []string {
			return []string{fmt.Sprintf("%d / %d snapshots, %d files, %s", obs.Snapshots.Load(), len(list), obs.Files.Load(), ui.Bytes(obs.Bytes.Load()))}
		}, func() {})
		t, err := stats.Run(ctx, r, list, &stats.Options{Mode: mode, Observer: &obs})
		progress.Stop()
		if err != nil {
			return err
		}
		if app.JSON {
			return app.PrintJSON(statsJSON{
				TotalSize: t.Size, TotalUncompressedSize: t.Uncompressed, CompressionRatio: t.Ratio(),
				CompressionProgress: t.Progress(), CompressionSpaceSaving: t.Saving(),
				TotalFileCount: t.Files, TotalBlobCount: t.Blobs, SnapshotsCount: t.Snapshots,
			})
		}
		printStats(app, mode, t)
		return nil
	})
}

func printStats(app *cli.App, mode stats.Mode, t *stats.Totals) {
	line := func(name, value string) { fmt.Fprintf(app.Stdout, "%24s:  %s\n", name, value) }
	fmt.Fprintf(app.Stdout, "Stats in %v mode:\n", mode)
	line("Snapshots processed", fmt.Sprint(t.Snapshots))
	if t.Blobs > 0 {
		line("Total Blob Count", fmt.Sprint(t.Blobs))
	}
	if t.Files > 0 {
		line("Total File Count", fmt.Sprint(t.Files))
	}
	if t.Uncompressed > 0 {
		line("Total Uncompressed Size", ui.Bytes(t.Uncompressed))
	}
	line("Total Size", ui.Bytes(t.Size))
	if t.Uncompressed > 0 {
		line("Compression Progress", fmt.Sprintf("%.2f%%", t.Progress()))
	}
	if t.Compressed > 0 {
		line("Compression Ratio", fmt.Sprintf("%.2fx", t.Ratio()))
		line("Compression Space Saving", fmt.Sprintf("%.2f%%", t.Saving()))
	}
}
