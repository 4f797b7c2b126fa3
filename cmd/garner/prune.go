package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/prune"
)

// pruneOptions are the flags that prune and forget --prune share, and those
// of prune alone.
type pruneOptions struct {
	maxUnused         string
	maxRepack         string
	cacheableOnly     bool
	repackSmall       bool
	smallerThan       string
	uncompressed      bool
	dryRun            bool
	unsafeRecovery    string
	unsafeRecoverySet bool
	twoPhase          bool
	grace             time.Duration
}

const pruneHelp = `The "prune" command deletes data that no snapshot needs any more. Packs without
anything in use go; packs that are used in part are packed anew if more than
--max-unused of the repository would be waste otherwise.

Nobody else can use the repository meanwhile. With --two-phase everybody can:
the first call packs anew and marks what may go, under a shared lock; a call
after the grace time deletes what is unused still, and locks others out for
moments only. Run it from the same timer every time, it does what is due.`

const pruneExample = `  garner prune
  garner prune --dry-run -vv
  garner prune --max-unused 2% --max-repack-size 20G
  garner prune --two-phase --retry-lock 2h`

func newPruneCommand(app *cli.App) *cobra.Command {
	var opts pruneOptions
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove unneeded data from the repository",
		Long:    pruneHelp + exitStatus,
		Example: pruneExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.unsafeRecoverySet = cmd.Flags().Changed("unsafe-recover-no-free-space")
			if cmd.Flags().Changed("grace") && !opts.twoPhase {
				return cli.Usage("--grace says when the second phase of --two-phase is due, and makes no sense without it")
			}
			return runPrune(cmd.Context(), app, opts)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&opts.dryRun, "dry-run", "n", false, "do not change the repository, just print what would be done")
	f.StringVar(&opts.unsafeRecovery, "unsafe-recover-no-free-space", "", "UNSAFE: recover a repository whose storage is full, by deleting the index before anything else; give the `ID` of the repository to confirm. Try prune --max-repack-size 0 before")
	f.BoolVar(&opts.twoPhase, "two-phase", false, "mark now and delete after the grace time, without locking others out")
	f.DurationVar(&opts.grace, "grace", prune.DefaultGrace, "how long marks must stand before --two-phase deletes")
	opts.addFlags(f)
	return cmd
}

// addFlags defines the flags that forget has, too.
func (o *pruneOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.maxUnused, "max-unused", "5%", "tolerate this much unused data: a `limit` in bytes with suffixes k/K, m/M, g/G, t/T, a value in % or the word 'unlimited'")
	f.StringVar(&o.maxRepack, "max-repack-size", "", "pack anew no more than this `size` in total (suffixes k/K, m/M, g/G, t/T)")
	f.BoolVar(&o.cacheableOnly, "repack-cacheable-only", false, "only pack anew what a cache holds: packs with trees")
	f.BoolVar(&o.repackSmall, "repack-small", false, "")
	_ = f.MarkDeprecated("repack-small", "small packs are packed anew anyhow. Use --repack-smaller-than to say what is small")
	f.StringVar(&o.smallerThan, "repack-smaller-than", "", "pack anew what is below this `size` (suffixes k/K, m/M)")
	f.BoolVar(&o.uncompressed, "repack-uncompressed", false, "pack anew all data that is not compressed")
}

// options returns what the flags say.
func (o *pruneOptions) options(app *cli.App) (*prune.Options, error) {
	opts := &prune.Options{CacheableOnly: o.cacheableOnly, Uncompressed: o.uncompressed}
	var err error
	if opts.MaxUnused, err = prune.ParseTolerance(o.maxUnused, ui.ParseBytes); err != nil {
		return nil, cli.Usage("--max-unused: %v", err)
	}
	if o.maxRepack != "" {
		if opts.MaxRepack, err = ui.ParseBytes(o.maxRepack); err != nil {
			return nil, cli.Usage("--max-repack-size: %v", err)
		}
		if opts.MaxRepack == 0 {
			opts.MaxRepack = prune.NoRepack
		}
	}
	if o.smallerThan != "" {
		if opts.SmallerThan, err = ui.ParseBytes(o.smallerThan); err != nil {
			return nil, cli.Usage("--repack-smaller-than: %v", err)
		}
		target := int64(app.PackSize) << 20
		if target == 0 {
			target = repo.DefaultPackSize
		}
		if opts.SmallerThan > target {
			return nil, cli.Usage("--repack-smaller-than: %s exceeds the target size of packs, %s; see --pack-size", o.smallerThan, ui.Bytes(uint64(target)))
		}
	}
	return opts, nil
}

func runPrune(ctx context.Context, app *cli.App, o pruneOptions) error {
	opts, err := o.options(app)
	if err != nil {
		return err
	}
	switch {
	case app.NoLock && !o.dryRun:
		return cli.Usage("--no-lock is only applicable in combination with --dry-run for prune command")
	case o.twoPhase && o.unsafeRecoverySet:
		return cli.Usage("--unsafe-recover-no-free-space deletes at once; it can't be combined with --two-phase")
	case o.grace < 0:
		return cli.Usage("--grace: %v is negative", o.grace)
	case o.twoPhase:
		return runTwoPhase(ctx, app, o, opts)
	}
	return app.Open(ctx, cli.ReadAlone, func(ctx context.Context, r *repo.Repo) error {
		if o.unsafeRecoverySet {
			if id := r.Config().ID.String(); o.unsafeRecovery != id {
				return cli.Usage("must pass id '%s' to --unsafe-recover-no-free-space", id)
			}
			opts.UnsafeRecovery = true
		}
		return pruneLocked(ctx, app, r, o.dryRun, opts)
	})
}

// pruneLocked plans, tells, and prunes.
func pruneLocked(ctx context.Context, app *cli.App, r *repo.Repo, dryRun bool, opts *prune.Options) error {
	d := newPhases(app)
	opts.Observer = pruneObserver(d)
	plan, err := prune.NewPlan(ctx, r, opts)
	if err != nil {
		d.stop()
		return err
	}
	d.enter("", "", 0)
	d.progress.Print(func() { err = printPlan(app, plan, dryRun) })
	if err != nil || dryRun {
		d.stop()
		return err
	}
	err = plan.Apply(ctx)
	d.stop()
	if err == nil {
		app.Printf("done\n")
	}
	return err
}

func pruneObserver(d *phases) *prune.Observer {
	return &prune.Observer{Phase: func(p prune.Phase, total int) {
		name, unit := prunePhase(p)
		d.enter(name, unit, total)
	}, Done: func(prune.Phase) { d.step() }, Warn: d.warn}
}

func prunePhase(p prune.Phase) (name, unit string) {
	switch p {
	case prune.PhaseSnapshots:
		return "loading all snapshots...", ""
	case prune.PhaseIndex:
		return "loading indexes...", ""
	case prune.PhaseMark:
		return "finding data that is still in use", "snapshots"
	case prune.PhasePacks:
		return "sorting out packs...", ""
	case prune.PhaseOrphans:
		return "deleting unreferenced packs", "packs"
	case prune.PhaseRepack:
		return "repacking packs", "packs repacked"
	case prune.PhaseRewrite:
		return "rebuilding index", "indexes"
	}
	return "removing old packs", "packs deleted"
}

// pruneSummary is the document that programs get.
type pruneSummary struct {
	MessageType string `json:"message_type"` // "summary"
	prune.Stats
}

// printPlan tells what is going to happen.
func printPlan(app *cli.App, plan *prune.Plan, dryRun bool) error {
	s := plan.Stats()
	if app.JSON {
		return app.PrintJSON(pruneSummary{"summary", s})
	}
	if dryRun {
		app.Printf("\nWould have made the following changes:\n")
	}
	app.Printf("\n")
	if app.Verbose > 0 {
		printUse(app, s)
	}
	printChanges(app, s)
	if app.Verbose > 0 {
		printPacks(app, s)
	}
	if dryRun && app.Verbose > 1 {
		printPackIDs(app, plan)
	}
	return nil
}

func blobLine(app *cli.App, title string, blobs int, bytes int64) {
	app.Printf("%-16s%8d blobs / %s\n", title, blobs, ui.Bytes(uint64(bytes)))
}

// share returns part of total in percent.
func share(part, total int64) string {
	if total == 0 {
		return "0.00%"
	}
	return ui.Percent(part, total)
}

func printUse(app *cli.App, s prune.Stats) {
	blobLine(app, "used:", s.Blobs.Used, s.Bytes.Used)
	if s.Blobs.Duplicate > 0 {
		blobLine(app, "duplicates:", s.Blobs.Duplicate, s.Bytes.Duplicate)
	}
	blobLine(app, "unused:", s.Blobs.Unused, s.Bytes.Unused)
	if s.Bytes.Unreferenced > 0 {
		app.Printf("%-16s%22s\n", "unreferenced:", ui.Bytes(uint64(s.Bytes.Unreferenced)))
	}
	blobLine(app, "total:", s.Blobs.Total, s.Bytes.Total)
	app.Printf("unused size: %s of total size\n\n", share(s.Bytes.Unused+s.Bytes.Duplicate, s.Bytes.Total))
}

func printChanges(app *cli.App, s prune.Stats) {
	blobLine(app, "to repack:", s.Blobs.Repack, s.Bytes.Repack)
	blobLine(app, "this removes:", s.Blobs.RepackRemove, s.Bytes.RepackRemove)
	blobLine(app, "to delete:", s.Blobs.Remove, s.Bytes.Remove+s.Bytes.Unreferenced)
	blobLine(app, "total prune:", s.Blobs.RemoveTotal, s.Bytes.RemoveTotal)
	if s.Bytes.Uncompressed > 0 {
		app.Printf("not yet compressed: %s\n", ui.Bytes(uint64(s.Bytes.Uncompressed)))
	}
	blobLine(app, "remaining:", s.Blobs.Remaining, s.Bytes.Remaining)
	app.Printf("unused size after prune: %s (%s of remaining size)\n\n",
		ui.Bytes(uint64(s.Bytes.RemainingUnused)), share(s.Bytes.RemainingUnused, s.Bytes.Remaining))
}

func printPacks(app *cli.App, s prune.Stats) {
	for _, l := range []struct {
		title string
		n     int
	}{
		{"totally used packs:", s.Packs.Used}, {"partly used packs:", s.Packs.PartlyUsed}, {"unused packs:", s.Packs.Unused},
		{"unreferenced packs:", s.Packs.Unreferenced}, {"to keep:", s.Packs.Keep}, {"to repack:", s.Packs.Repack}, {"to delete:", s.Packs.RemoveTotal},
	} {
		app.Printf("%-20s%8s packs\n", l.title, strconv.Itoa(l.n))
	}
	app.Printf("\n")
}

func printPackIDs(app *cli.App, plan *prune.Plan) {
	app.Printf("Would have repacked and removed the following packs:\n%s\n", idSet(plan.Repacks()))
	app.Printf("Would have removed the following no longer used packs:\n%s\n", idSet(plan.Removes()))
}

func idSet(ids []crypto.ID) string {
	s := "{"
	for i, id := range ids {
		if i > 0 {
			s += " "
		}
		s += id.Short()
	}
	return fmt.Sprintf("%s}\n", s)
}
