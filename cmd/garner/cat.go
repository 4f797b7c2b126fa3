package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

var catTypes = []string{"config", "masterkey", "index", "snapshot", "key", "lock", "pack", "blob", "tree"}

func newCatCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:       "cat [flags] [masterkey|config|pack ID|blob ID|snapshot ID|index ID|key ID|lock ID|tree snapshot:subfolder]",
		Short:     "Print internal objects to stdout",
		Long:      "The \"cat\" command is used to print internal objects to stdout." + exitStatus,
		Example:   "  garner cat config\n  garner cat snapshot 5b520963\n  garner cat tree latest:/home/user",
		ValidArgs: catTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCat(cmd.Context(), app, args)
		},
	}
}

func runCat(ctx context.Context, app *cli.App, args []string) error {
	if len(args) == 0 {
		return cli.Usage("type not specified")
	}
	alone := args[0] == "config" || args[0] == "masterkey"
	known := false
	for _, t := range catTypes {
		known = known || t == args[0]
	}
	switch {
	case !known:
		return cli.Usage("invalid type %q, must be one of %v", args[0], catTypes)
	case !alone && len(args) != 2:
		return cli.Usage("ID not specified")
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		switch args[0] {
		case "config":
			return printIndented(app, r.Config())
		case "masterkey":
			return printIndented(app, r.MasterKey())
		case "blob":
			return catBlob(ctx, app, r, args[1])
		case "tree":
			return catTree(ctx, app, r, args[1])
		}
		return catFile(ctx, app, r, args[0], args[1])
	})
}

func printIndented(app *cli.App, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(app.Stdout, "%s\n", b)
	return err
}

// catFile prints a file of the repository: records as indented JSON, an index
// as it is, a pack's bytes.
func catFile(ctx context.Context, app *cli.App, r *repo.Repo, kind, prefix string) error {
	types := map[string]backend.FileType{
		"index": backend.IndexFile, "snapshot": backend.SnapshotFile, "key": backend.KeyFile,
		"lock": backend.LockFile, "pack": backend.PackFile,
	}
	t := types[kind]
	id, err := r.FindID(ctx, t, prefix)
	if err != nil {
		return err
	}
	switch kind {
	case "pack":
		b, err := r.LoadRaw(ctx, t, id)
		if err == nil {
			_, err = app.Stdout.Write(b)
		}
		return err
	case "key":
		k, err := r.LoadKey(ctx, id)
		if err != nil {
			return err
		}
		return printIndented(app, k)
	case "snapshot":
		sn, err := r.LoadSnapshot(ctx, id)
		if err != nil {
			return err
		}
		return printIndented(app, sn)
	}
	b, err := r.LoadUnpacked(ctx, t, id)
	if err != nil {
		return err
	}
	if kind == "lock" {
		return printIndented(app, json.RawMessage(b))
	}
	_, err = app.Stdout.Write(b)
	return err
}

func catBlob(ctx context.Context, app *cli.App, r *repo.Repo, s string) error {
	id, err := crypto.ParseID(s)
	if err != nil {
		return err
	}
	if err := r.LoadIndex(ctx); err != nil {
		return err
	}
	for _, t := range []index.BlobType{index.DataBlob, index.TreeBlob} {
		h := index.BlobHandle{Type: t, ID: id}
		if !r.HasBlob(h) {
			continue
		}
		b, err := r.LoadBlob(ctx, h, nil)
		if err == nil {
			_, err = app.Stdout.Write(b)
		}
		return err
	}
	return fmt.Errorf("blob %s not found", id)
}

func catTree(ctx context.Context, app *cli.App, r *repo.Repo, spec string) error {
	sn, folder, err := r.FindSnapshot(ctx, spec, snapshot.Filter{})
	if err != nil {
		return fmt.Errorf("could not find snapshot: %w", err)
	}
	if err := r.LoadIndex(ctx); err != nil {
		return err
	}
	id, err := treeOf(ctx, r, sn, folder)
	if err != nil {
		return err
	}
	b, err := r.LoadBlob(ctx, index.BlobHandle{Type: index.TreeBlob, ID: id}, nil)
	if err == nil {
		_, err = app.Stdout.Write(b)
	}
	return err
}

// treeOf returns the tree of a folder in a snapshot.
func treeOf(ctx context.Context, r *repo.Repo, sn *snapshot.Snapshot, folder string) (crypto.ID, error) {
	if sn.Tree == nil {
		return crypto.ID{}, fmt.Errorf("snapshot %s has no tree", sn.ID.Short())
	}
	return r.FindTree(ctx, *sn.Tree, folder)
}
