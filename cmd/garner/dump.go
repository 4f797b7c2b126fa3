package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/dump"
)

type dumpOptions struct {
	filterOptions
	archive, target string
}

func newDumpCommand(app *cli.App) *cobra.Command {
	var opts dumpOptions
	cmd := &cobra.Command{
		Use:   "dump [flags] snapshotID file",
		Short: "Print a backed-up file to stdout",
		Long: `The "dump" command writes a file of a snapshot to stdout. A folder becomes a
tar archive, or with --archive a zip archive; "/" stands for all that is in the
snapshot, and "latest" for the latest snapshot.

In the archive paths are as "ls" shows them. With "snapshotID:folder" they
begin at that folder.` + exitStatus,
		Example: "  garner dump latest /home/user/notes.txt\n  garner dump latest /etc >etc.tar\n  garner dump -a zip -t www.zip 5b520963:srv/www /",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDump(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, singleSnapshot)
	f.StringVarP(&opts.archive, "archive", "a", dump.Tar.String(), "set archive `format` as \"tar\" or \"zip\"")
	f.StringVarP(&opts.target, "target", "t", "", "write the output to target `path`")
	return cmd
}

func runDump(ctx context.Context, app *cli.App, opts dumpOptions, args []string) error {
	if len(args) != 2 {
		return cli.Usage("no file and no snapshot ID specified")
	}
	format, err := dump.ParseFormat(opts.archive)
	if err != nil {
		return cli.Usage("%v", err)
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		sn, folder, err := r.FindSnapshot(ctx, args[0], opts.filter())
		if err != nil {
			return fmt.Errorf("failed to find snapshot: %w", err)
		}
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		root, err := treeOf(ctx, r, sn, folder)
		if err != nil {
			return err
		}
		item, err := dump.Find(ctx, r, root, args[1])
		if err != nil {
			return fmt.Errorf("cannot dump file: %w", err)
		}
		if item.File == nil && opts.target == "" && app.StdoutFD >= 0 && term.IsTerminal(app.StdoutFD) {
			return cli.Usage("stdout is the terminal: redirect the archive, or say with --target where to write it")
		}
		return dumpTo(app, opts.target, func(w io.Writer) error {
			return dump.Write(ctx, r, item, w, &dump.Options{
				Format: format,
				Problem: func(path string, err error) {
					app.Warnf("%s: left out of the archive: %v\n", path, err)
				},
			})
		})
	})
}

// dumpTo calls write with the file at target or, if that is empty, stdout.
func dumpTo(app *cli.App, target string, write func(io.Writer) error) error {
	if target == "" {
		return write(app.Stdout)
	}
	f, err := os.Create(target)
	if err != nil {
		return fmt.Errorf("cannot dump to file: %w", err)
	}
	return errors.Join(write(f), f.Close())
}
