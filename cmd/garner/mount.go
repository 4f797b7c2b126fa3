package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/mount"
)

type mountOptions struct {
	filterOptions
	allowOther, noDefaultPermissions bool
	ownerRoot                        bool
	pathTemplates                    []string
	timeTemplate                     string
}

func newMountCommand(app *cli.App) *cobra.Command {
	var opts mountOptions
	cmd := &cobra.Command{
		Use:   "mount [flags] mountpoint",
		Short: "Mount the repository as a read-only file system",
		Long: `The "mount" command shows the snapshots of the repository as folders
below the mountpoint, through FUSE. Nothing can be changed there. It ends
when the mountpoint is unmounted, or with Ctrl-C. Snapshots that are made
meanwhile appear within a minute.

Where snapshots appear
======================

Each --path-template says where to put the snapshots. It is a path in which
these patterns are replaced:

    %i  short snapshot ID        %u  user name
    %I  snapshot ID              %h  host name
    %t  tag                      %T  time, as --time-template says

Without the flag the templates are "ids/%i", "snapshots/%T", "hosts/%h/%T" and
"tags/%t/%T". A template that ends in "/%T" also gets a link "latest" to the
youngest snapshot in each of its folders. Snapshots that would have the same
name get "-1", "-2" and so on.

The --time-template shows how to write the second 2 January 2006 15:04:05 in the
time zone MST (-0700), for example "2006-01-02_15-04-05"; see time.Format in
the documentation of the Go language.` + exitStatus,
		Example: "  garner mount /mnt/backup\n  garner mount --host web1 --path-template '%h/%T' /mnt/backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMount(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, "only consider snapshots")
	f.BoolVar(&opts.ownerRoot, "owner-root", false, "show user and group 'root' as the owner of everything")
	f.BoolVar(&opts.allowOther, "allow-other", false, "let other users look into the mountpoint, as far as permissions go")
	f.BoolVar(&opts.noDefaultPermissions, "no-default-permissions", false, "with --allow-other, let all users read everything, whatever the permissions")
	f.StringArrayVar(&opts.pathTemplates, "path-template", nil, "put snapshots at paths made of this `template` (can be specified multiple times)")
	f.StringVar(&opts.timeTemplate, "snapshot-template", mount.DefaultTimeTemplate, "write times like this `template`")
	f.StringVar(&opts.timeTemplate, "time-template", mount.DefaultTimeTemplate, "write times like this `template`")
	_ = f.MarkDeprecated("snapshot-template", "use --time-template") // fails for unknown flags only
	return cmd
}

func runMount(ctx context.Context, app *cli.App, opts mountOptions, args []string) error {
	if err := mount.CheckSupport(); err != nil {
		return err
	}
	if opts.timeTemplate == "" {
		return cli.Usage("time template string cannot be empty")
	}
	for _, t := range opts.pathTemplates {
		if t == "" {
			return cli.Usage("path template string cannot be empty")
		}
	}
	if len(args) != 1 {
		return cli.Usage("wrong number of parameters: specify one mountpoint")
	}
	if err := checkMountpoint(app, args[0]); err != nil {
		return err
	}
	stopped := ctx
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		err := serve(ctx, app, r, opts, args[0])
		switch {
		case stopped.Err() != nil && errors.Is(err, mount.ErrBusy):
			app.Warnf("%v\n", err)
			return nil
		case err == nil && stopped.Err() == nil && ctx.Err() != nil:
			return context.Cause(ctx) // the lock was lost
		}
		return err
	})
}

// serve shows the repository until it is unmounted or ctx is done. Both are how
// the command ends, and no error.
func serve(ctx context.Context, app *cli.App, r *repo.Repo, opts mountOptions, mountpoint string) error {
	view, err := mount.New(ctx, r, &mount.Options{
		Filter:        opts.filter(),
		PathTemplates: opts.pathTemplates,
		TimeTemplate:  opts.timeTemplate,
		UID:           uint32(os.Getuid()),
		GID:           uint32(os.Getgid()),
		OwnerRoot:     opts.ownerRoot,
		Report:        func(err error) { app.Warnf("%v\n", err) },
	})
	if err != nil {
		return err
	}
	defer view.Close()
	return view.Serve(ctx, mountpoint, &mount.ServeOptions{
		Name:                 "restic:" + r.Config().ID.String()[:10],
		AllowOther:           opts.allowOther,
		NoDefaultPermissions: opts.noDefaultPermissions,
		Ready: func() {
			fmt.Fprintf(app.Stdout, "Now serving the repository at %s\nIt is there until you press Ctrl-C here or unmount the folder.\n", mountpoint)
		},
	})
}

// checkMountpoint refuses a mountpoint that is no folder, and one that would
// hide the repository from this very process.
func checkMountpoint(app *cli.App, mountpoint string) error {
	info, err := os.Stat(mountpoint)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Usage("mountpoint %s does not exist", mountpoint)
	case err != nil:
		return cli.Usage("mountpoint %s is inaccessible: %v", mountpoint, err)
	case !info.IsDir():
		return cli.Usage("mountpoint %s is not a directory", mountpoint)
	}
	location, err := app.LocalPath()
	if err != nil || location == "" {
		return err
	}
	point, err1 := realPath(mountpoint)
	path, err2 := realPath(location)
	if err1 != nil || err2 != nil {
		return nil // opening the repository says what is wrong with it
	}
	switch {
	case point == path:
		return cli.Usage("mountpoint %s is the repository; files of the repository would be hidden", mountpoint)
	case isBelow(point, path):
		return cli.Usage("mountpoint %s is inside the repository %s; files of the repository would be hidden", mountpoint, location)
	case isBelow(path, point):
		return cli.Usage("the repository %s is inside the mountpoint %s and would be hidden", location, mountpoint)
	}
	return nil
}

// realPath returns the absolute path without symbolic links.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func isBelow(path, folder string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}
