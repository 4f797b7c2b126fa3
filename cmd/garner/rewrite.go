package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
)

type rewriteOptions struct {
	filterOptions
	patterns         patternOptions
	forget, dryRun   bool
	newHost, newTime string
	summary          bool
}

func newRewriteCommand(app *cli.App) *cobra.Command {
	var opts rewriteOptions
	cmd := &cobra.Command{
		Use:   "rewrite [flags] [snapshotID ...]",
		Short: "Rewrite snapshots to exclude unwanted files",
		Long: `The "rewrite" command makes new versions of snapshots: without the files that
exclude patterns match, with only those that include patterns match, or with
another host or time. Everything else stays as it was.

Without a snapshot ID it works on all snapshots that pass the filters for host,
tag and path, which without filters is all of them.

The new versions have the tag 'rewrite'. With --forget they don't, and replace
the old ones, which are removed. Data that nothing refers to any more stays in
the repository until "prune" removes it.

With patterns, the totals of files and bytes in the summary of a snapshot are
counted anew. --snapshot-summary does that for snapshots without a summary,
which then has these totals only.` + exitStatus,
		Example: "  garner rewrite --exclude '*.iso' --dry-run -vv\n" +
			"  garner rewrite --exclude /home/user/Downloads --forget --host web1\n" +
			"  garner rewrite --new-host web2 --new-time '2020-06-01 12:00:00' 590c8fc8",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRewrite(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.forget, "forget", false, "remove the original snapshots after the new ones are stored")
	f.BoolVarP(&opts.dryRun, "dry-run", "n", false, "change nothing, only tell what would be done")
	f.StringVar(&opts.newHost, "new-host", "", "`name` that replaces the host")
	f.StringVar(&opts.newTime, "new-time", "", "`time` that replaces the one of the backup (ex. '2012-11-01 22:08:41')")
	f.BoolVarP(&opts.summary, "snapshot-summary", "s", false, "add a summary to snapshots that have none")
	opts.addFlags(app, f, "only consider snapshots")
	opts.patterns.addExcludes(f)
	opts.patterns.addIncludes(f)
	return cmd
}

func runRewrite(ctx context.Context, app *cli.App, opts rewriteOptions, ids []string) error {
	rewrite, err := opts.rewriting(app)
	if err != nil {
		return err
	}
	text := app.Text() // there are no messages for programs
	rewrite.Observer = rewriteMessages(text, rewrite)
	access := cli.Append
	switch {
	case opts.dryRun:
		access = cli.Dry
	case opts.forget:
		access = cli.Exclusive
		text.Printf("create exclusive lock for repository\n")
	}
	return app.Open(ctx, access, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), ids)
		if err != nil {
			return err
		}
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		n, err := transfer.Rewrite(ctx, r, list, rewrite)
		if err != nil {
			return err
		}
		switch {
		case n == 0 && opts.dryRun:
			text.Printf("\nno snapshots would be modified\n")
		case n == 0:
			text.Printf("\nno snapshots were modified\n")
		case opts.dryRun:
			text.Printf("\nwould modify %d snapshots\n", n)
		default:
			text.Printf("\nmodified %d snapshots\n", n)
		}
		return nil
	})
}

// rewriting returns what the flags ask for.
func (o *rewriteOptions) rewriting(app *cli.App) (*transfer.RewriteOptions, error) {
	excludes, err := o.patterns.excludeLists(app)
	if err != nil {
		return nil, err
	}
	includes, err := o.patterns.includeLists(app)
	if err != nil {
		return nil, err
	}
	p := &o.patterns
	excluding, including := len(p.excludes)+len(p.iexcludes) > 0, len(p.includes)+len(p.iincludes) > 0
	fromFiles := [2]bool{len(p.excludeFiles)+len(p.iexcludeFiles) > 0, len(p.includeFiles)+len(p.iincludeFiles) > 0}
	switch {
	case (excluding || fromFiles[0]) && (including || fromFiles[1]):
		return nil, cli.Usage("exclude and include patterns are mutually exclusive")
	case !excluding && !including && fromFiles == [2]bool{} && !o.summary && o.newHost == "" && o.newTime == "":
		return nil, cli.Usage("nothing to do: give patterns to exclude or include, or new metadata")
	}
	// An empty pattern matches nothing, but is not the same as none.
	if excluding && len(excludes) == 0 {
		excludes = []*pattern.List{{}}
	}
	if including && len(includes) == 0 {
		includes = []*pattern.List{{}}
	}
	opts := &transfer.RewriteOptions{
		Excludes: excludes, Includes: includes, Hostname: o.newHost, Summary: o.summary, Forget: o.forget, DryRun: o.dryRun,
	}
	if o.newTime != "" {
		if opts.Time, err = time.ParseInLocation(timeFormat, o.newTime, time.Local); err != nil {
			return nil, cli.Usage("invalid --new-time %q: want a time like '2012-11-01 22:08:41'", o.newTime)
		}
	}
	return opts, nil
}

// rewriteMessages tells people what happens.
func rewriteMessages(app *cli.App, opts *transfer.RewriteOptions) transfer.RewriteObserver {
	o := transfer.RewriteObserver{
		Started: func(sn *snapshot.Snapshot) { app.Printf("\n%s\n", describe(sn)) },
		Saved: func(_, version *snapshot.Snapshot) {
			if opts.DryRun {
				app.Printf("would save new snapshot\n")
				if opts.Forget {
					app.Printf("would remove old snapshot\n")
				}
			}
			if !opts.Time.IsZero() {
				app.Printf("%s time to %s\n", setting(opts), opts.Time)
			}
			if opts.Hostname != "" && opts.DryRun {
				app.Printf("would set hostname to %s\n", opts.Hostname)
			} else if opts.Hostname != "" {
				app.Printf("setting host to %s\n", opts.Hostname)
			}
			if !opts.DryRun {
				app.Printf("saved new snapshot %s\n", version.ID.Short())
			}
		},
		Removed: func(old *snapshot.Snapshot) {
			if !opts.DryRun {
				app.Printf("removed old snapshot %s\n", old.ID.Short())
			}
		},
	}
	if app.Verbose >= 2 {
		o.Excluded = func(path string) { app.Printf("excluding %q\n", path) }
		o.Included = func(path string, folder bool) {
			if folder {
				app.Printf("including directory %q\n", path)
			} else {
				app.Printf("including %q\n", path)
			}
		}
	}
	return o
}

func setting(opts *transfer.RewriteOptions) string {
	if opts.DryRun {
		return "would set"
	}
	return "setting"
}
