package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/forget"
	"github.com/garner-backup/garner/repo/snapshot"
)

type forgetOptions struct {
	filterOptions
	keepOptions
	allowRemoveAll bool
	compact        bool
	groupBy        string
	dryRun         bool
	explain        bool
	prune          bool
	pruning        pruneOptions
}

const forgetHelp = `The "forget" command removes snapshots: those that are named, or those that a
policy does not keep. For a policy, the snapshots are divided into groups
("--group-by"), and the policy applies to each of them by itself. A snapshot
stays if any of the rules keeps it. As long as a rule for hours, days, weeks,
months or years is not used up, the oldest snapshot of the group stays, too.

A policy is made of "--keep-*" flags, or written as one text:
"--keep '7d 5w 12m 10y'". "--explain" shows what it would do and why.

Only the snapshots go. The data that no other snapshot needs goes with the
"prune" command, which "--prune" runs right after, under the same lock.

EXIT STATUS
===========

Exit status is 0 if the command was successful.
Exit status is 1 if there was any error.
Exit status is 3 if there was an error removing one or more snapshots.
Exit status is 10 if the repository does not exist.
Exit status is 11 if the repository is already locked.
Exit status is 12 if the password is incorrect.
Exit status is 130 if the command was interrupted.`

const forgetExample = `  garner forget --keep-daily 30 --keep-weekly 5 --keep-monthly 12
  garner forget --keep "last 3 30d 5w 12m 10y tag release" --dry-run
  garner forget --keep "30d 5w within 7d" --host web1 --explain
  garner forget 79766175 latest`

func newForgetCommand(app *cli.App) *cobra.Command {
	var opts forgetOptions
	cmd := &cobra.Command{
		Use:     "forget [flags] [snapshotID ...]",
		Short:   "Remove snapshots from the repository",
		Long:    forgetHelp,
		Example: forgetExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runForget(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	opts.addKeepFlags(f)
	f.BoolVar(&opts.allowRemoveAll, "unsafe-allow-remove-all", false, "allow deleting all snapshots of a snapshot group")
	opts.addFlagsShort(app, f, "only consider snapshots", "")
	f.StringArrayVar(&opts.hosts, "hostname", opts.hosts, "only consider snapshots for this `hostname`")
	_ = f.MarkDeprecated("hostname", "use --host")
	f.BoolVarP(&opts.compact, "compact", "c", false, "use compact output format")
	f.StringVarP(&opts.groupBy, "group-by", "g", "host,paths", "`group` snapshots by host, paths and/or tags, separated by comma (disable grouping with '')")
	f.BoolVarP(&opts.dryRun, "dry-run", "n", false, "do not delete anything, just print what would be done")
	f.BoolVar(&opts.explain, "explain", false, "do not delete anything, show a calendar of what the policy keeps, and why (garner only)")
	f.BoolVar(&opts.prune, "prune", false, "automatically run the 'prune' command if snapshots have been removed")
	opts.pruning.addFlags(f)
	return cmd
}

// check refuses what makes no sense, before the repository is opened.
func (o *forgetOptions) check(app *cli.App, args []string) (*snapshot.Policy, snapshot.Grouping, error) {
	by, err := snapshot.ParseGrouping(o.groupBy)
	if err != nil {
		return nil, by, cli.Usage("invalid value %q of --group-by: %v", o.groupBy, err)
	}
	policy, err := o.policy()
	filter := o.filter()
	switch {
	case err != nil:
		return nil, by, err
	case o.allowRemoveAll && filter.Empty():
		return nil, by, cli.Usage("--unsafe-allow-remove-all is not allowed unless a snapshot filter option is specified")
	case app.NoLock && !o.dryRun && !o.explain:
		return nil, by, cli.Usage("--no-lock is only applicable in combination with --dry-run for forget command")
	case o.explain && len(args) > 0:
		return nil, by, cli.Usage("--explain is about policies, not about snapshots given by their IDs")
	case o.explain && o.prune:
		return nil, by, cli.Usage("--explain deletes nothing, so there is nothing to --prune")
	case o.keep != "" && len(args) > 0:
		return nil, by, cli.Usage("--keep does not go with snapshots given by their IDs")
	case len(args) == 0 && policy.Empty() && !o.allowRemoveAll:
		return nil, by, forget.ErrNoPolicy
	}
	if _, err := o.pruning.options(app); err != nil {
		return nil, by, err
	}
	if len(args) > 0 && !policy.Empty() {
		app.Warnf("the policy has no effect: the snapshots are given by their IDs\n")
	}
	return policy, by, nil
}

func runForget(ctx context.Context, app *cli.App, opts forgetOptions, args []string) error {
	policy, by, err := opts.check(app, args)
	if err != nil {
		return err
	}
	access := cli.Exclusive
	if opts.dryRun || opts.explain {
		access = cli.ReadAlone
	}
	return app.Open(ctx, access, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), args)
		if err != nil {
			return err
		}
		if len(args) > 0 {
			return opts.apply(ctx, app, r, forget.Chosen(r, list))
		}
		sortMembers(list, by)
		plan, err := forget.NewPlan(r, list, policy, &forget.Options{GroupBy: by, AllowRemoveAll: opts.allowRemoveAll})
		if err != nil {
			return err
		}
		if opts.explain {
			return explainPlan(app, plan, policy)
		}
		if err := opts.printPlan(app, plan, policy); err != nil {
			return err
		}
		return opts.apply(ctx, app, r, plan)
	})
}

// apply carries out a plan, or says what it would do.
func (o *forgetOptions) apply(ctx context.Context, app *cli.App, r *repo.Repo, plan *forget.Plan) error {
	var removed []crypto.ID
	var err error
	if o.dryRun {
		removed = plan.Remove()
		if len(removed) > 0 {
			app.Printf("Would have removed the following snapshots:\n{%s}\n\n", strings.Join(sortedShortIDs(removed), " "))
		}
	} else {
		removed, err = removeSnapshots(ctx, app, plan)
	}
	if err != nil && !errors.Is(err, cli.ErrNotRemoved) {
		return err
	}
	if app.JSON && len(plan.Groups) > 0 {
		if err := app.PrintJSON(forgetJSON(plan)); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if o.prune && len(removed) > 0 {
		return pruneAfterForget(ctx, app, r, o, removed)
	}
	return nil
}

// pruneAfterForget removes what only the removed snapshots needed, under the
// lock under which they were removed. With --dry-run they are still there, as
// a storage may list them for a while in any case, and do not count.
//
// Programs are told of the snapshots only, as restic does, so that what forget
// prints with --json is one document.
func pruneAfterForget(ctx context.Context, app *cli.App, r *repo.Repo, o *forgetOptions, removed []crypto.ID) error {
	opts, err := o.pruning.options(app)
	if err != nil {
		return err
	}
	opts.Ignore = removed
	if o.dryRun {
		app.Printf("what a prune would do without these %d snapshots:\n", len(removed))
	} else {
		app.Printf("%d snapshots are gone, pruning\n", len(removed))
	}
	silent := *app
	if app.JSON {
		silent.JSON, silent.Quiet = false, true
	}
	return pruneLocked(ctx, &silent, r, o.dryRun, opts)
}

func sortedShortIDs(ids []crypto.ID) []string {
	var list []string
	for _, id := range ids {
		list = append(list, id.Short())
	}
	slices.Sort(list)
	return list
}

// removeSnapshots applies the plan and shows how far it is.
func removeSnapshots(ctx context.Context, app *cli.App, plan *forget.Plan) ([]crypto.ID, error) {
	total := int64(len(plan.Remove()))
	if total == 0 {
		return nil, nil
	}
	var done atomic.Int64
	began := time.Now()
	lines := func() []string {
		n := done.Load()
		return []string{fmt.Sprintf("[%s] %s  %d / %d files deleted", ui.Duration(time.Since(began)), ui.Percent(n, total), n, total)}
	}
	progress := app.Progress(lines, func() {})
	removed, err := plan.Apply(ctx, &forget.ApplyOptions{
		Removed: func(id crypto.ID) {
			done.Add(1)
			if app.Verbose > 1 {
				progress.Print(func() { app.Printf("removed snapshot/%v\n", id) })
			}
		},
		Failed: func(id crypto.ID, err error) {
			progress.Print(func() { app.Warnf("unable to remove snapshot/%v from the repository: %v\n", id, err) })
		},
	})
	progress.Stop()
	app.Printf("%s\n", lines()[0])
	if errors.As(err, new(*forget.RemoveError)) {
		err = cli.ErrNotRemoved
	}
	return removed, err
}

// printPlan shows the groups as tables.
func (o *forgetOptions) printPlan(app *cli.App, plan *forget.Plan, policy *snapshot.Policy) error {
	if app.JSON || app.Quiet {
		return nil
	}
	app.Printf("Applying Policy: %s\n", policyText(policy))
	for i := range plan.Groups {
		g := &plan.Groups[i]
		if name := describeGroup(g.Key); name != "" {
			app.Printf("snapshots for (%s):\n", name)
		}
		reasons := make(map[crypto.ID][]string)
		for _, r := range g.Reasons() {
			reasons[r.Snapshot.ID] = r.Matches
		}
		if err := o.printPart(app, "keep", g.Keep(), reasons); err != nil {
			return err
		}
		if err := o.printPart(app, "remove", g.Remove(), nil); err != nil {
			return err
		}
	}
	return nil
}

func policyText(p *snapshot.Policy) string {
	if p.Empty() {
		return "remove all"
	}
	return "keep " + p.String()
}

func (o *forgetOptions) printPart(app *cli.App, verb string, list []*snapshot.Snapshot, reasons map[crypto.ID][]string) error {
	if len(list) == 0 {
		return nil
	}
	app.Printf("%s %d snapshots:\n", verb, len(list))
	snapshot.SortOldestFirst(list)
	if err := snapshotTable(list, o.compact, reasons).Write(app.Stdout); err != nil {
		return err
	}
	app.Printf("\n")
	return nil
}

// forgetGroupJSON is what programs are told of a group.
type forgetGroupJSON struct {
	Tags    []string       `json:"tags"`
	Host    string         `json:"host"`
	Paths   []string       `json:"paths"`
	Keep    []snapshotJSON `json:"keep"` // the newest first
	Remove  []snapshotJSON `json:"remove"`
	Reasons []reasonJSON   `json:"reasons"`
}

type reasonJSON struct {
	Snapshot snapshotJSON `json:"snapshot"`
	Matches  []string     `json:"matches"`
}

func forgetJSON(plan *forget.Plan) []forgetGroupJSON {
	var out []forgetGroupJSON
	for i := range plan.Groups {
		g := &plan.Groups[i]
		j := forgetGroupJSON{Tags: g.Key.Tags, Host: g.Key.Hostname, Paths: g.Key.Paths}
		for _, sn := range g.Keep() {
			j.Keep = append(j.Keep, toJSON(sn))
		}
		for _, sn := range g.Remove() {
			j.Remove = append(j.Remove, toJSON(sn))
		}
		for _, r := range g.Reasons() {
			j.Reasons = append(j.Reasons, reasonJSON{toJSON(r.Snapshot), r.Matches})
		}
		out = append(out, j)
	}
	return out
}
