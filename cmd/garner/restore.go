package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/restore"
)

type restoreOptions struct {
	patterns patternOptions
	filter   filterOptions

	target       string
	excludeXattr []string
	includeXattr []string
	dryRun       bool
	sparse       bool
	verify       bool
	overwrite    string
	deleteExtra  bool
	byName       bool
}

const restoreHelp = `The "restore" command extracts the data from a snapshot from the repository to
a directory.

The special snapshotID "latest" can be used to restore the latest snapshot in the
repository.

To only restore a specific subfolder, you can use the "snapshotID:subfolder"
syntax, where "subfolder" is a path within the snapshot.`

func newRestoreCommand(app *cli.App) *cobra.Command {
	var opts restoreOptions
	cmd := &cobra.Command{
		Use:   "restore [flags] snapshotID",
		Short: "Extract the data from a snapshot",
		Long:  restoreHelp + exitStatus,
		Example: "  garner restore latest --target /tmp/restored\n" +
			"  garner restore 5b520963:/home/user --target /home/user --include '*.txt'\n" +
			"  garner restore latest --target / --include /etc --overwrite if-changed --dry-run -vv",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRestore(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.target, "target", "t", "", "`directory` to extract data to")
	opts.patterns.addExcludes(f)
	opts.patterns.addIncludes(f)
	f.StringArrayVar(&opts.excludeXattr, "exclude-xattr", nil, "exclude xattr by `pattern` (can be specified multiple times)")
	f.StringArrayVar(&opts.includeXattr, "include-xattr", nil, "include xattr by `pattern` (can be specified multiple times)")
	opts.filter.addFlags(app, f, singleSnapshot)
	f.BoolVar(&opts.dryRun, "dry-run", false, "do not write any data, just show what would be done")
	f.BoolVar(&opts.sparse, "sparse", false, "restore files as sparse")
	f.BoolVar(&opts.verify, "verify", false, "verify restored files content")
	f.StringVar(&opts.overwrite, "overwrite", "always", "overwrite `behavior`, one of (always|if-changed|if-newer|never)")
	f.BoolVar(&opts.deleteExtra, "delete", false, "delete files from target directory if they do not exist in snapshot. Use '--dry-run -vv' to check what would be deleted")
	f.BoolVar(&opts.byName, "ownership-by-name", false, "restore file ownership by user name and group name (except POSIX ACLs)")
	return cmd
}

func runRestore(ctx context.Context, app *cli.App, opts restoreOptions, args []string) error {
	o, err := opts.restoreOptions(app, args)
	if err != nil {
		return err
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		sn, folder, err := r.FindSnapshot(ctx, args[0], opts.filter.filter())
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
		app.Printf("restoring snapshot %s of %v at %s by %s to %s\n", sn.ID.Short(), sn.Paths, sn.Time, by(sn), opts.target)
		d := &restoreDisplay{app: app, began: time.Now(), dryRun: opts.dryRun}
		o.Observer = d.observer()
		d.progress = app.Progress(d.lines, d.emit)
		res, err := restore.Run(ctx, r, root, opts.target, o)
		d.progress.Stop()
		if err != nil {
			return err
		}
		if err := d.summary(res); err != nil {
			return err
		}
		if opts.verify {
			app.Printf("finished verifying %d files in %s\n", res.Verified, opts.target)
		}
		if res.Errors > 0 {
			return fmt.Errorf("there were %d errors", res.Errors)
		}
		return nil
	})
}

// restoreOptions translates the flags.
func (o *restoreOptions) restoreOptions(app *cli.App, args []string) (*restore.Options, error) {
	includes, err := o.patterns.includeLists(app)
	if err != nil {
		return nil, err
	}
	excludes, err := o.patterns.excludeLists(app)
	if err != nil {
		return nil, err
	}
	switch {
	case len(args) == 0:
		return nil, cli.Usage("no snapshot ID specified")
	case len(args) > 1:
		return nil, cli.Usage("more than one snapshot ID specified: %v", args)
	case o.target == "":
		return nil, cli.Usage("please specify a directory to restore to (--target)")
	case len(includes) > 0 && len(excludes) > 0:
		return nil, cli.Usage("exclude and include patterns are mutually exclusive")
	case o.dryRun && o.verify:
		return nil, cli.Usage("--dry-run and --verify are mutually exclusive")
	case o.deleteExtra && filepath.Clean(o.target) == "/" && len(includes)+len(excludes) == 0:
		return nil, cli.Usage("'--target / --delete' must be combined with an include or exclude filter")
	case o.byName && runtime.GOOS == "windows":
		return nil, cli.Usage("--ownership-by-name is not supported on windows")
	}
	overwrite, err := restore.ParseOverwrite(o.overwrite)
	if err != nil {
		return nil, cli.Usage("%v", err)
	}
	xattrs, err := o.xattrFilter()
	if err != nil {
		return nil, err
	}
	return &restore.Options{
		Select: selector(includes, excludes), SelectXattr: xattrs, Overwrite: overwrite, Delete: o.deleteExtra,
		DryRun: o.dryRun, Sparse: o.sparse, Verify: o.verify, OwnershipByName: o.byName,
	}, nil
}

// selector returns the filter for paths, or nil for all.
func selector(includes, excludes []*pattern.List) func(path string, dir bool) (selected, below bool) {
	switch {
	case len(includes) > 0:
		return func(path string, _ bool) (selected, below bool) {
			for _, l := range includes {
				s, b := l.Match(path)
				selected, below = selected || s, below || b
			}
			return selected, below || selected
		}
	case len(excludes) > 0:
		return func(path string, _ bool) (selected, below bool) {
			for _, l := range excludes {
				if excluded, _ := l.Match(path); excluded {
					return false, false
				}
			}
			return true, true
		}
	}
	return nil
}

// xattrFilter returns the filter for extended attributes, or nil for all.
func (o *restoreOptions) xattrFilter() (func(name string) bool, error) {
	if len(o.includeXattr) > 0 && len(o.excludeXattr) > 0 {
		return nil, cli.Usage("exclude and include xattr patterns are mutually exclusive")
	}
	patterns := append(append([]string(nil), o.includeXattr...), o.excludeXattr...)
	if len(patterns) == 0 {
		return nil, nil
	}
	list, err := pattern.Parse(patterns, nil)
	if err != nil {
		return nil, cli.Usage("%v", err)
	}
	include := len(o.includeXattr) > 0
	return func(name string) bool {
		matched, _ := list.Match("/" + name)
		return matched == include
	}, nil
}

// restoreDisplay tells people and programs of a restore.
type restoreDisplay struct {
	app      *cli.App
	dryRun   bool
	began    time.Time
	progress *ui.Progress

	files, filesDone, skipped, deleted atomic.Int64
	bytes, bytesDone                   atomic.Int64
}

func (d *restoreDisplay) observer() *restore.Observer {
	return &restore.Observer{
		Found: func(_ string, size int64) {
			d.files.Add(1)
			d.bytes.Add(size)
		},
		Progress: func(n int64) { d.bytesDone.Add(n) },
		Item:     d.item,
		Error: func(path string, err error) {
			d.progress.Print(func() { printItemError(d.app, "restore", path, err) })
		},
	}
}

type restoreVerbose struct {
	MessageType string `json:"message_type"` // "verbose_status"
	Action      string `json:"action"`
	Item        string `json:"item"`
	Size        uint64 `json:"size"`
}

func (d *restoreDisplay) item(path string, action restore.Action, size int64) {
	switch action {
	case restore.Unchanged:
		d.skipped.Add(1)
	case restore.Deleted:
		d.deleted.Add(1)
	default:
		d.filesDone.Add(1)
	}
	if d.app.Verbose < 2 {
		return
	}
	d.progress.Print(func() {
		switch {
		case d.app.JSON:
			_ = d.app.PrintJSON(restoreVerbose{"verbose_status", action.String(), path, uint64(size)})
		case action == restore.Deleted:
			d.app.Printf("deleted   %s\n", path)
		default:
			d.app.Printf("%-9s %s with size %s\n", action, path, ui.Bytes(uint64(size)))
		}
	})
}

func (d *restoreDisplay) lines() []string {
	done, total := d.bytesDone.Load(), d.bytes.Load()
	line := fmt.Sprintf("[%s] %s  %d files/dirs %s, total %d files/dirs %s", ui.Duration(time.Since(d.began)), ui.Percent(done, total),
		d.filesDone.Load(), ui.Bytes(uint64(done)), d.files.Load(), ui.Bytes(uint64(total)))
	if n := d.skipped.Load(); n > 0 {
		line += fmt.Sprintf(", skipped %d", n)
	}
	return []string{line, "[" + ui.Bar(done, total, 40) + "]"}
}

// restoreStatus is also the summary, which has no percentage.
type restoreStatus struct {
	MessageType    string   `json:"message_type"` // "status" or "summary"
	SecondsElapsed uint64   `json:"seconds_elapsed,omitempty"`
	PercentDone    *float64 `json:"percent_done,omitempty"`
	TotalFiles     uint64   `json:"total_files,omitempty"`
	FilesRestored  uint64   `json:"files_restored,omitempty"`
	FilesSkipped   uint64   `json:"files_skipped,omitempty"`
	FilesDeleted   uint64   `json:"files_deleted,omitempty"`
	TotalBytes     uint64   `json:"total_bytes,omitempty"`
	BytesRestored  uint64   `json:"bytes_restored,omitempty"`
	BytesSkipped   uint64   `json:"bytes_skipped,omitempty"`
}

func (d *restoreDisplay) emit() {
	done, total := d.bytesDone.Load(), d.bytes.Load()
	percent := 0.0
	if total > 0 {
		percent = min(1, float64(done)/float64(total))
	}
	_ = d.app.PrintJSON(restoreStatus{
		MessageType: "status", SecondsElapsed: uint64(time.Since(d.began).Seconds()), PercentDone: &percent,
		TotalFiles: uint64(d.files.Load()), FilesRestored: uint64(d.filesDone.Load()), FilesSkipped: uint64(d.skipped.Load()),
		FilesDeleted: uint64(d.deleted.Load()), TotalBytes: uint64(total), BytesRestored: uint64(done),
	})
}

// summary tells the result. What was left as it is does not count in the
// totals.
func (d *restoreDisplay) summary(res *restore.Result) error {
	files, bytes := res.Files-res.FilesSkipped, res.Bytes-res.BytesSkipped
	if d.app.JSON {
		return d.app.PrintJSON(restoreStatus{
			MessageType: "summary", SecondsElapsed: uint64(time.Since(d.began).Seconds()),
			TotalFiles: uint64(files), FilesRestored: uint64(res.FilesRestored), FilesSkipped: uint64(res.FilesSkipped),
			FilesDeleted: uint64(res.FilesDeleted), TotalBytes: uint64(bytes), BytesRestored: uint64(res.BytesRestored), BytesSkipped: uint64(res.BytesSkipped),
		})
	}
	verb := "Restored"
	if d.dryRun {
		verb = "Would restore"
	}
	line := fmt.Sprintf("Summary: %s %d files/dirs (%s) in %s", verb, res.FilesRestored, ui.Bytes(uint64(res.BytesRestored)), ui.Duration(time.Since(d.began)))
	if res.FilesRestored < files {
		line = fmt.Sprintf("Summary: %s %d / %d files/dirs (%s / %s) in %s", verb, res.FilesRestored, files,
			ui.Bytes(uint64(res.BytesRestored)), ui.Bytes(uint64(bytes)), ui.Duration(time.Since(d.began)))
	}
	if res.FilesSkipped > 0 {
		line += fmt.Sprintf(", skipped %d files/dirs %s", res.FilesSkipped, ui.Bytes(uint64(res.BytesSkipped)))
	}
	if res.FilesDeleted > 0 {
		line += fmt.Sprintf(", deleted %d files/dirs", res.FilesDeleted)
	}
	d.app.Printf("%s\n", line)
	return nil
}
