package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
)

type snapshotsOptions struct {
	filterOptions
	compact bool
	latest  int
	last    bool
	groupBy string
}

func newSnapshotsCommand(app *cli.App) *cobra.Command {
	var opts snapshotsOptions
	cmd := &cobra.Command{
		Use:     "snapshots [flags] [snapshotID ...]",
		Short:   "List all snapshots",
		Long:    "The \"snapshots\" command lists all snapshots stored in the repository." + exitStatus,
		Example: "  garner snapshots\n  garner snapshots --host web1 --tag daily\n  garner snapshots --latest 1 --group-by host --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSnapshots(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, "only consider snapshots")
	f.BoolVarP(&opts.compact, "compact", "c", false, "use compact output format")
	f.BoolVar(&opts.last, "last", false, "only show the last snapshot for each host and path")
	_ = f.MarkDeprecated("last", "use --latest 1")
	f.IntVar(&opts.latest, "latest", 0, "only show the last `n` snapshots for each host and path")
	f.StringVarP(&opts.groupBy, "group-by", "g", "", "`group` snapshots by host, paths and/or tags, separated by comma")
	return cmd
}

func runSnapshots(ctx context.Context, app *cli.App, opts snapshotsOptions, ids []string) error {
	by, err := snapshot.ParseGrouping(opts.groupBy)
	if err != nil {
		return cli.Usage("%v", err)
	}
	if opts.last {
		opts.latest = 1
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), ids)
		if err != nil {
			return err
		}
		sortMembers(list, by)
		groups := snapshot.GroupBy(list, by)
		for i := range groups {
			snapshot.SortOldestFirst(groups[i].Snapshots)
			if opts.latest > 0 {
				groups[i].Snapshots = lastOfEach(groups[i].Snapshots, opts.latest)
			}
		}
		grouped := by != snapshot.Grouping{}
		if app.JSON {
			return printSnapshotsJSON(app, groups, grouped)
		}
		return printSnapshots(app, groups, grouped, opts.compact)
	})
}

// findSnapshots returns the snapshots that the arguments name, or, without
// arguments, all that pass the filter. What can't be found or read is
// reported.
func findSnapshots(ctx context.Context, app *cli.App, r *repo.Repo, filter snapshot.Filter, ids []string) ([]*snapshot.Snapshot, error) {
	if len(ids) == 0 {
		list, err := r.Snapshots(ctx, filter)
		if err != nil && list == nil && ctx.Err() == nil && !errors.As(err, new(*repo.CorruptError)) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			app.Warnf("Ignoring unreadable snapshots:\n%v\n", err)
		}
		return list, nil
	}
	var list []*snapshot.Snapshot
	seen := make(map[crypto.ID]bool)
	for _, id := range ids {
		sn, folder, err := r.FindSnapshot(ctx, id, filter)
		if folder != "" {
			err = errors.New("a folder of a snapshot can't be given here")
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			app.Warnf("Ignoring %q: %v\n", id, err)
			continue
		}
		if !seen[sn.ID] {
			seen[sn.ID] = true
			list = append(list, sn)
		}
	}
	return list, nil
}

// sortMembers sorts paths, and tags if the snapshots are grouped by them, as
// restic shows them, whatever the order they were given in.
func sortMembers(list []*snapshot.Snapshot, by snapshot.Grouping) {
	for _, sn := range list {
		slices.Sort(sn.Paths)
		if by.Tags {
			slices.Sort(sn.Tags)
		}
	}
}

// lastOfEach keeps the last n snapshots of each host and set of paths.
func lastOfEach(list []*snapshot.Snapshot, n int) []*snapshot.Snapshot {
	var kept []*snapshot.Snapshot
	for _, g := range snapshot.GroupBy(list, snapshot.Grouping{Host: true, Paths: true}) {
		snapshot.SortOldestFirst(g.Snapshots)
		kept = append(kept, g.Snapshots[max(0, len(g.Snapshots)-n):]...)
	}
	snapshot.SortOldestFirst(kept)
	return kept
}

// snapshotJSON is a snapshot in messages for programs.
type snapshotJSON struct {
	*snapshot.Snapshot
	ID      crypto.ID `json:"id"`
	ShortID string    `json:"short_id"`
}

func toJSON(sn *snapshot.Snapshot) snapshotJSON { return snapshotJSON{sn, sn.ID, sn.ID.Short()} }

type groupJSON struct {
	GroupKey  snapshot.GroupKey `json:"group_key"`
	Snapshots []snapshotJSON    `json:"snapshots"`
}

func printSnapshotsJSON(app *cli.App, groups []snapshot.Group, grouped bool) error {
	all := []snapshotJSON{}
	out := []groupJSON{}
	for _, g := range groups {
		part := []snapshotJSON{}
		for _, sn := range g.Snapshots {
			part = append(part, toJSON(sn))
		}
		all = append(all, part...)
		out = append(out, groupJSON{g.Key, part})
	}
	if grouped {
		return app.PrintJSON(out)
	}
	return app.PrintJSON(all)
}

func printSnapshots(app *cli.App, groups []snapshot.Group, grouped, compact bool) error {
	for i, g := range groups {
		if grouped {
			if i > 0 {
				fmt.Fprintln(app.Stdout)
			}
			fmt.Fprintf(app.Stdout, "snapshots for (%s):\n", describeGroup(g.Key))
		}
		if err := snapshotTable(g.Snapshots, compact, nil).Write(app.Stdout); err != nil {
			return err
		}
	}
	if len(groups) == 0 {
		return snapshotTable(nil, compact, nil).Write(app.Stdout)
	}
	return nil
}

func describeGroup(k snapshot.GroupKey) string {
	var parts []string
	if k.Hostname != "" {
		parts = append(parts, "host ["+k.Hostname+"]")
	}
	if k.Tags != nil {
		parts = append(parts, "tags ["+strings.Join(k.Tags, ", ")+"]")
	}
	if k.Paths != nil {
		parts = append(parts, "paths ["+strings.Join(k.Paths, ", ")+"]")
	}
	return strings.Join(parts, ", ")
}

// snapshotTable shows a list, and unless it is compact why each snapshot is
// kept, if there are reasons.
func snapshotTable(list []*snapshot.Snapshot, compact bool, reasons map[crypto.ID][]string) *ui.Table {
	head := []string{"ID", "Time", "Host", "Tags"}
	separator := ","
	if !compact {
		if reasons != nil {
			head = append(head, "Reasons")
		}
		head = append(head, "Paths")
		separator = "\n"
	}
	sized := false
	for _, sn := range list {
		sized = sized || sn.Summary != nil
	}
	if sized {
		head = append(head, "Size")
	}
	t := ui.NewTable(head...)
	for _, sn := range list {
		row := []string{sn.ID.Short(), sn.Time.Local().Format(timeFormat), sn.Hostname, strings.Join(sn.Tags, separator)}
		if !compact {
			if reasons != nil {
				row = append(row, strings.Join(reasons[sn.ID], "\n"))
			}
			row = append(row, strings.Join(sn.Paths, "\n"))
		}
		if sn.Summary != nil {
			row = append(row, ui.Bytes(sn.Summary.TotalBytesProcessed))
		}
		t.Row(row...)
	}
	t.Footer("Timestamps shown in local time")
	t.Footer(fmt.Sprintf("%d snapshots", len(list)))
	return t
}
