package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repair"
)

const repairPacksHelp = `The "repair packs" command saves what is whole in damaged packs: each blob that
can still be decrypted and has the right hash is stored in a new pack. Then the
damaged packs leave the index and are removed.

Before that a copy of each pack is saved in the current folder, named pack-ID.
Files that have lost something are repaired by "repair snapshots" afterwards.`

func newRepairPacksCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "packs [packIDs...]",
		Short:   "Salvage damaged pack files",
		Long:    repairPacksHelp + exitStatus,
		Example: "  garner repair packs 8ac44a6a48e22ef1f0f9b3f1a2ac3a6d0e8fbb1c5c5a1d2b3c4d5e6f708192a3",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepairPacks(cmd.Context(), app.Text(), args)
		},
	}
}

func runRepairPacks(ctx context.Context, app *cli.App, args []string) error {
	if len(args) == 0 {
		return cli.Usage("no ids specified: check --read-data tells which packs are damaged")
	}
	ids := make([]crypto.ID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = crypto.ParseID(arg); err != nil {
			return cli.Usage("%q is not the whole ID of a pack: %v", arg, err)
		}
	}
	return app.Open(ctx, cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
		d := newRepairDisplay(app)
		res, err := repair.Packs(ctx, r, ids, &repair.PacksOptions{Copy: createPackCopy, Observer: d.observer(d.packFinding)})
		d.stop()
		if err != nil {
			return err
		}
		app.Printf("%d blobs saved, %d lost\n", res.Saved, res.Lost)
		if res.Lost > 0 {
			app.Printf("\nRun `garner repair snapshots --forget` to take what is lost out of the snapshots\n")
		}
		return nil
	})
}

func (d *repairDisplay) packFinding(f repair.Finding) {
	switch f.Kind {
	case repair.LostBlob:
		d.app.Warnf("%s blob %s is lost: %v\n", f.Blob.Type, f.Blob.ID, f.Err)
	case repair.UnreadablePack:
		d.app.Warnf("%v\n  only what the index lists can be saved\n", f.Err)
	case repair.PackStays:
		d.app.Warnf("pack %s could not be removed: %v\n  it is in no index any more, prune removes it\n", f.ID, f.Err)
	}
}

// packCopy is the copy of a pack in the current folder, durable when closed.
type packCopy struct{ *os.File }

func createPackCopy(id crypto.ID) (io.WriteCloser, error) {
	f, err := os.OpenFile("pack-"+id.String(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return packCopy{f}, nil
}

func (c packCopy) Close() error { return errors.Join(c.Sync(), c.File.Close()) }
