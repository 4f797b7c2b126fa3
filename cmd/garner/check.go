package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/check"
)

type checkOptions struct {
	filter      filterOptions
	readData    bool
	subset      string
	withCache   bool
	checkUnused bool
}

const checkHelp = `The "check" command tests the repository for errors and reports any errors it
finds. It can also be used to read all data and therefore simulate a restore.`

func newCheckCommand(app *cli.App) *cobra.Command {
	var opts checkOptions
	cmd := &cobra.Command{
		Use:     "check [flags] [snapshotID ...]",
		Short:   "Check the repository for errors",
		Long:    checkHelp + exitStatus,
		Example: "  garner check\n  garner check --read-data\n  garner check --read-data-subset 1/7\n  garner check --read-data-subset 2.5%\n  garner check --read-data-subset 10G",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCheck(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.readData, "read-data", false, "read all data blobs")
	f.StringVar(&opts.subset, "read-data-subset", "", "read a `subset` of data packs, specified as 'n/t' for specific part, or either 'x%' or 'x.y%' or a size in bytes with suffixes k/K, m/M, g/G, t/T for a random subset")
	f.BoolVar(&opts.checkUnused, "check-unused", false, "find unused blobs")
	_ = f.MarkDeprecated("check-unused", "`check-unused` is deprecated and will be ignored")
	f.BoolVar(&opts.withCache, "with-cache", false, "use existing cache, only read uncached data from repository (local repositories have none)")
	opts.filter.addFlags(app, f, "only check snapshots")
	return cmd
}

func runCheck(ctx context.Context, app *cli.App, opts checkOptions, args []string) error {
	sel, err := opts.packSelection()
	if err != nil {
		return err
	}
	return app.Open(ctx, cli.ReadAlone, func(ctx context.Context, r *repo.Repo) error {
		return checkRepository(ctx, app, r, &check.Options{SelectPacks: sel, Filter: opts.filter.filter(), Names: args})
	})
}

// checkRepository checks a repository that is locked, and tells of it. The
// error says that the check could not be done, or what came of it.
func checkRepository(ctx context.Context, app *cli.App, r *repo.Repo, o *check.Options) error {
	if o == nil {
		o = &check.Options{}
	}
	d := &checkDisplay{app: app}
	d.progress = app.Progress(d.lines, func() {})
	o.Observer = &check.Observer{Phase: d.enter, Done: func(check.Phase) { d.done.Add(1) }, Problem: d.problem}
	rep, err := check.Run(ctx, r, o)
	d.enter(noPhase, 0)
	d.progress.Stop()
	if err != nil {
		return err
	}
	return d.summary(rep)
}

// packSelection returns which packs are read.
func (o *checkOptions) packSelection() (func([]check.Pack) []check.Pack, error) {
	switch {
	case o.readData && o.subset != "":
		return nil, cli.Usage("check flags --read-data and --read-data-subset cannot be used together")
	case o.readData:
		return check.AllPacks, nil
	case o.subset == "":
		return nil, nil
	}
	if a, b, ok := strings.Cut(o.subset, "/"); ok {
		n, err1 := strconv.Atoi(a)
		t, err2 := strconv.Atoi(b)
		if err1 != nil || err2 != nil || n < 1 || t < 1 || n > t {
			return nil, cli.Usage("check flag --read-data-subset=n/t values must be positive integers, and n <= t, e.g. --read-data-subset=1/2")
		}
		if t > 256 {
			return nil, cli.Usage("check flag --read-data-subset=n/t t must be at most 256")
		}
		return check.PackGroup(n, t), nil
	}
	if p, ok := strings.CutSuffix(o.subset, "%"); ok {
		v, err := strconv.ParseFloat(p, 64)
		if err != nil || v <= 0 || v > 100 {
			return nil, cli.Usage("check flag --read-data-subset=x%% x must be above 0.0%% and at most 100.0%%")
		}
		return check.RandomPacks(v / 100), nil
	}
	size, err := ui.ParseBytes(o.subset)
	if err != nil || size <= 0 {
		return nil, cli.Usage("check flag --read-data-subset has invalid value %q: want n/t, a percentage like 2.5%%, or a size like 10G", o.subset)
	}
	return check.RandomBytes(size), nil
}

// noPhase stands for the time after the check.
const noPhase = check.Phase(255)

var phaseNames = map[check.Phase]string{
	check.PhaseIndex: "load indexes", check.PhasePacks: "check all packs",
	check.PhaseSnapshots: "check snapshots, trees and blobs", check.PhaseData: "read data",
}

var phaseUnits = map[check.Phase]string{check.PhaseSnapshots: "snapshots", check.PhaseData: "packs"}

// checkDisplay tells people and programs of a check.
type checkDisplay struct {
	app      *cli.App
	progress *ui.Progress
	phase    atomic.Uint32
	began    atomic.Int64 // the phase, Unix nanoseconds
	done     atomic.Int64
	total    atomic.Int64
}

// enter begins a phase, and leaves the last state of the one before.
func (d *checkDisplay) enter(p check.Phase, total int) {
	last := d.lines()
	d.progress.Print(func() {
		if len(last) > 0 {
			d.app.Printf("%s\n", last[0])
		}
		if name := phaseNames[p]; name != "" {
			d.app.Printf("%s\n", name)
		}
	})
	d.done.Store(0)
	d.total.Store(int64(total))
	d.began.Store(time.Now().UnixNano())
	d.phase.Store(uint32(p))
}

func (d *checkDisplay) lines() []string {
	total := d.total.Load()
	if total == 0 {
		return nil
	}
	spent := time.Duration(time.Now().UnixNano() - d.began.Load())
	return []string{fmt.Sprintf("[%s] %s  %d / %d %s", ui.Duration(spent), ui.Percent(d.done.Load(), total), d.done.Load(), total,
		phaseUnits[check.Phase(d.phase.Load())])}
}

type checkError struct {
	MessageType string `json:"message_type"` // "error"
	Message     string `json:"message"`
}

func (d *checkDisplay) problem(p check.Problem) {
	d.progress.Print(func() {
		switch {
		case p.Kind.Hint():
			d.app.Printf("%v\n", p)
		case d.app.JSON:
			b, _ := json.Marshal(checkError{"error", p.Error()}) // plain fields: can't fail
			d.app.Warnf("%s\n", b)
		default:
			d.app.Warnf("error: %v\n", p)
		}
	})
}

type checkSummary struct {
	MessageType        string   `json:"message_type"` // "summary"
	NumErrors          int      `json:"num_errors"`
	BrokenPacks        []string `json:"broken_packs"`
	SuggestRepairIndex bool     `json:"suggest_repair_index"`
	SuggestPrune       bool     `json:"suggest_prune"`
}

var errFoundProblems = errors.New("repository contains errors")

func (d *checkDisplay) summary(rep *check.Report) error {
	var broken []string
	for _, id := range rep.BrokenPacks() {
		broken = append(broken, id.String())
	}
	suggestIndex := rep.Has(check.DuplicateIndex, check.DamagedIndex)
	suggestPrune := rep.Has(check.UnindexedPack, check.MixedPack)
	if d.app.JSON {
		if err := d.app.PrintJSON(checkSummary{"summary", rep.Errors, broken, suggestIndex, suggestPrune}); err != nil {
			return err
		}
	} else {
		d.advise(rep, broken, suggestIndex, suggestPrune)
	}
	if rep.Errors > 0 {
		return errFoundProblems
	}
	d.app.Printf("no errors were found\n")
	return nil
}

// advise says what to do about the problems.
func (d *checkDisplay) advise(rep *check.Report, broken []string, suggestIndex, suggestPrune bool) {
	if rep.Errors > 0 {
		d.app.Warnf("\n%s", repairAdvice(rep, broken, suggestIndex))
		return
	}
	if suggestIndex {
		d.app.Printf("`garner repair index` makes the index smaller; nothing is lost.\n")
	}
	if suggestPrune {
		d.app.Printf("`garner prune` cleans up; nothing is lost.\n")
	}
}

// repairAdvice names the next step of a repair. Each step may show more damage
// or less, so there is another check behind it.
func repairAdvice(rep *check.Report, broken []string, suggestIndex bool) string {
	const first = "The repository is damaged. Make a copy of it if there is room for one. "
	switch {
	case suggestIndex || rep.Has(check.MissingPack, check.ConflictIndex):
		advice := first + "The next step is\n  garner repair index\nand then another check."
		if len(broken) > 0 {
			advice += " If that names the same packs again:\n  garner repair packs " + strings.Join(broken, " ")
		}
		return advice + "\n"
	case len(broken) > 0:
		return first + "The next step is\n  garner repair packs " + strings.Join(broken, " ") + "\nand then another check.\n"
	case rep.Has(check.DamagedTree, check.MissingBlob, check.InvalidNode):
		return first + "The next steps are\n  garner repair index\n  garner repair snapshots --forget\n" +
			"If the files still exist, back them up before the second: that may make the snapshots whole again.\n"
	case rep.Has(check.DamagedSnapshot):
		return "A snapshot that can't be read can't be repaired. If its file in the folder snapshots of the repository is removed,\n" +
			"  garner recover\nmakes a new one of what belonged to it.\n"
	}
	return ""
}
