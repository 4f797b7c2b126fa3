package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

func newListCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:       "list [flags] [blobs|packs|index|snapshots|keys|locks]",
		Short:     "List objects in the repository",
		Long:      "The \"list\" command allows listing objects in the repository based on type.\n\"list packs ID\" lists what is in that pack." + exitStatus,
		Example:   "  garner list snapshots\n  garner list locks\n  garner list packs 34595172",
		ValidArgs: []string{"blobs", "packs", "index", "snapshots", "keys", "locks"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runList(cmd.Context(), app, args)
		},
	}
}

func runList(ctx context.Context, app *cli.App, args []string) error {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[0] != "packs" {
		return cli.Usage("type not specified: want one of blobs, packs, index, snapshots, keys, locks; packs may be followed by an ID")
	}
	types := map[string]backend.FileType{
		"packs": backend.PackFile, "index": backend.IndexFile, "snapshots": backend.SnapshotFile,
		"keys": backend.KeyFile, "locks": backend.LockFile,
	}
	t, ok := types[args[0]]
	if !ok && args[0] != "blobs" {
		return cli.Usage("invalid type %q: want one of blobs, packs, index, snapshots, keys, locks", args[0])
	}
	if t == backend.LockFile {
		app.NoLock = true // who looks for locks does not want to meet his own
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		switch {
		case args[0] == "blobs":
			return listBlobs(ctx, app, r)
		case len(args) == 2:
			return listPack(ctx, app, r, args[1])
		}
		for fi, err := range r.List(ctx, t) {
			if err != nil {
				return err
			}
			fmt.Fprintln(app.Stdout, fi.ID)
		}
		return nil
	})
}

func listBlobs(ctx context.Context, app *cli.App, r *repo.Repo) error {
	if err := r.LoadIndex(ctx); err != nil {
		return err
	}
	for l := range r.Index().All() {
		if _, err := fmt.Fprintln(app.Stdout, l.Type, l.ID); err != nil {
			return err
		}
	}
	return nil
}

func listPack(ctx context.Context, app *cli.App, r *repo.Repo, prefix string) error {
	id, err := r.FindID(ctx, backend.PackFile, prefix)
	if err != nil {
		return err
	}
	fi, err := r.Backend().Stat(ctx, backend.Handle{Type: backend.PackFile, Name: id.String()})
	if err != nil {
		return fmt.Errorf("pack %s: %w", id.Short(), err)
	}
	blobs, err := pack.ReadHeader(ctx, r.Backend(), r.MasterKey(), id, fi.Size)
	if err != nil {
		return fmt.Errorf("pack %s: %w", id.Short(), err)
	}
	for _, b := range blobs {
		fmt.Fprintln(app.Stdout, b.Type, b.ID)
	}
	return nil
}
