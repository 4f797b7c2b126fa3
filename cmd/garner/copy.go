package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
)

type copyOptions struct {
	filterOptions
	from cli.SourceFlags
}

func newCopyCommand(app *cli.App) *cobra.Command {
	var opts copyOptions
	cmd := &cobra.Command{
		Use:   "copy [flags] [snapshotID ...]",
		Short: "Copy snapshots from one repository to another",
		Long: `The "copy" command copies snapshots from another repository into this one.

All data of the snapshots is read from the one and written to the other, as
each repository has a key of its own. What is there already is not copied
again, and snapshots that were copied before are skipped; so a copy that was
interrupted can be repeated.

Files are not cut into chunks anew. Data that both repositories have is found
only if they cut files alike: make the destination with
"init --from-repo ... --copy-chunker-params" for that.` + exitStatus,
		Example: "  garner copy -r /mnt/offsite --from-repo /srv/backup\n" +
			"  garner copy -r /mnt/offsite --from-repo /srv/backup --from-password-file /mnt/keys/backup.txt --host web1 latest",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCopy(cmd.Context(), app, opts, args)
		},
	}
	opts.from.AddFlags(cmd.Flags(), "copy snapshots from")
	opts.addFlags(app, cmd.Flags(), "only consider snapshots")
	return cmd
}

// runCopy locks the source first, so that nothing vanishes from there while
// it is copied. Snapshots are listed before the index is loaded.
func runCopy(ctx context.Context, app *cli.App, opts copyOptions, ids []string) error {
	from, err := opts.from.App(app)
	if err != nil {
		return err
	}
	return from.Open(ctx, cli.Read, func(ctx context.Context, src *repo.Repo) error {
		return app.Open(ctx, cli.Append, func(ctx context.Context, dst *repo.Repo) error {
			list, err := findSnapshots(ctx, app, src, opts.filter(), ids)
			if err != nil {
				return err
			}
			if err := src.LoadIndex(ctx); err != nil {
				return fmt.Errorf("source repository: %w", err)
			}
			if err := dst.LoadIndex(ctx); err != nil {
				return err
			}
			d := newCopyDisplay(app)
			defer d.progress.Stop()
			_, err = transfer.Copy(ctx, src, dst, list, d.options())
			return err
		})
	})
}

// copyDisplay tells people how far a copy is. There are no messages for
// programs, so --json makes no difference.
type copyDisplay struct {
	app      *cli.App
	progress *ui.Progress
	state    atomic.Pointer[transfer.CopyProgress]
	began    atomic.Int64 // the snapshot, Unix nanoseconds
	saving   bool
}

func newCopyDisplay(app *cli.App) *copyDisplay {
	d := &copyDisplay{app: app.Text()}
	d.state.Store(&transfer.CopyProgress{})
	d.progress = d.app.Progress(d.lines, nil)
	return d
}

func (d *copyDisplay) lines() []string {
	p := d.state.Load()
	if p.Packs == 0 {
		return nil
	}
	spent := time.Duration(time.Now().UnixNano() - d.began.Load())
	done, total := int64(p.Done), int64(p.Packs)
	return []string{fmt.Sprintf("[%s] %s  %d / %d parts of packs copied", ui.Duration(spent), ui.Percent(done, total), done, total)}
}

func (d *copyDisplay) printf(format string, args ...any) {
	d.progress.Print(func() { d.app.Printf(format, args...) })
}

func (d *copyDisplay) options() *transfer.CopyOptions {
	return &transfer.CopyOptions{
		Skipped: func(sn, existing *snapshot.Snapshot) {
			if d.app.Verbose > 0 {
				d.printf("\n%s\nskipping source snapshot %s, was already copied to snapshot %s\n", describe(sn), sn.ID.Short(), existing.ID.Short())
			}
		},
		Started: func(sn *snapshot.Snapshot) {
			d.saving = false
			d.began.Store(time.Now().UnixNano())
			d.state.Store(&transfer.CopyProgress{})
			d.printf("\n%s\n  copy started, this may take a while...\n", describe(sn))
		},
		Progress: func(p transfer.CopyProgress) { d.state.Store(&p) },
		Finished: d.finished,
		Saved: func(sn, copied *snapshot.Snapshot) {
			if !d.saving {
				d.saving = true
				d.printf("\n")
			}
			d.printf("snapshot %s saved, copied from source snapshot %s\n", copied.ID.Short(), sn.ID.Short())
		},
		Warn: func(err error) {
			d.progress.Print(func() { d.app.Warnf("Ignoring unreadable snapshots:\n%v\n", err) })
		},
	}
}

func (d *copyDisplay) finished(_ *snapshot.Snapshot, p transfer.CopyProgress) {
	last := d.lines()
	d.state.Store(&transfer.CopyProgress{})
	if d.app.Verbose > 0 {
		d.printf("  copy %d blobs with disk size %s in %d parts of packfiles\n", p.Blobs, ui.Bytes(uint64(p.Bytes)), p.Packs)
	}
	if len(last) > 0 {
		d.printf("%s\n", strings.Join(last, "\n"))
	}
}

// describe says in one line which snapshot it is.
func describe(sn *snapshot.Snapshot) string {
	return fmt.Sprintf("snapshot %s of %v at %s by %s", sn.ID.Short(), sn.Paths, sn.Time, by(sn))
}
