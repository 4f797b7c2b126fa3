package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/machine"
	"github.com/garner-backup/garner/bench/measure"
	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/report"
	"github.com/garner-backup/garner/bench/scenario"
)

type runOptions struct {
	peers      []string
	corpora    []string
	scenarios  []string
	operations []string
	scale      float64
	seed       uint64
	runs       int
	blobs      int
	snapshots  int
	dir        string
	out        string
	keep       bool
	syscalls   bool
	noSync     bool
	noLimits   bool
	stderr     io.Writer
}

const runHelp = `bench measures what garner and other backup programs take for each operation
on the same files, in turn, and writes a report: report.md, report.json and
plots. Every restore is compared with its source.

Without --peer, garner is built from this tree and restic comes from Debian,
unpacked into the work folder by .ci/peers. The first peer is the one that
ratios are to.

The corpora are made once and stay in the work folder; at scale 1 they and the
repositories need about 30 GiB. All else is removed at the end.`

const runExample = `  go run ./bench                                  # everything, 5 runs; takes hours
  go run ./bench --scale 0.05 --runs 3            # a first look
  go run ./bench --corpus src --op backup1,restore
  go run ./bench --peer restic=restic --peer garner=./garner --peer borg=borg
  go run ./bench --peer garner:old=/tmp/garner --peer garner:new=./garner --out after
  go run ./bench compare before/report.json after/report.json
  go run ./bench corpus src /tmp/src --scale 0.1`

func newRunCommand(stderr io.Writer) *cobra.Command {
	o := &runOptions{stderr: stderr}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure backup programs", Long: runHelp, Example: runExample,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.peers, "peer", nil, "measure the program `KIND[:NAME]=PATH`; KIND is one of "+strings.Join(peer.Kinds(), ", ")+" (can be given several times)")
	f.StringSliceVar(&o.corpora, "corpus", []string{"src", "tiny", "big", "vm"}, "measure on these `CORPORA`: "+strings.Join(corpus.Names(), ", ")+", none")
	f.StringSliceVar(&o.scenarios, "scenario", scenario.Names(), "measure these `SCENARIOS` too: "+strings.Join(scenario.Names(), ", ")+", none")
	f.StringSliceVar(&o.operations, "op", nil, "measure only these `OPERATIONS`: "+strings.Join(scenario.Operations(), ", "))
	f.Float64Var(&o.scale, "scale", 1, "make the corpora `N` times as large")
	f.Uint64Var(&o.seed, "seed", corpus.DefaultSeed, "make the corpora of the seed `N`")
	f.IntVar(&o.runs, "runs", 5, "measure each operation `N` times")
	f.IntVar(&o.blobs, "blobs", 10_000_000, "list `N` blobs in the index of the scenario blobs")
	f.IntVar(&o.snapshots, "snapshots", 300, "make `N` snapshots for the scenario snapshots")
	f.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "garner-bench"), "work in the folder `DIR`; its file system is what is measured")
	f.StringVar(&o.out, "out", "bench-results", "write the report into the folder `DIR`")
	f.BoolVar(&o.keep, "keep", false, "keep repositories and restored files")
	f.BoolVar(&o.noLimits, "no-limits", false, "do not measure how fast this machine could be at all")
	f.BoolVar(&o.noSync, "no-sync", false, "do not have the system write everything out before each operation; for trials, as the figures suffer")
	f.BoolVar(&o.syscalls, "syscalls", false, "count system calls too, with strace, in one more run")
	return cmd
}

func runBench(ctx context.Context, o *runOptions) (err error) {
	c, err := o.config()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	unlock, err := lockFolder(o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if c.RunDir, err = os.MkdirTemp(o.dir, "run-"); err != nil {
		return err
	}
	if o.keep {
		defer c.Log("kept: %s\n", c.RunDir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(c.RunDir)) }()
	}
	if c.Peers, err = o.findPeers(ctx, c); err != nil {
		return err
	}
	rep := &report.Report{Time: time.Now().UTC().Truncate(time.Second), Command: commandLine(o), Machine: machine.Describe(o.dir), Runs: o.runs}
	for _, p := range c.Peers {
		if err := p.AskVersion(ctx, c.Path, c.RunDir); err != nil {
			return err
		}
		rep.Peers = append(rep.Peers, report.Peer{Name: p.Name, Kind: p.Kind, Path: p.Path, Version: p.Version})
	}
	if err := scenario.Run(ctx, c, rep); err != nil {
		return err
	}
	if err := writeReport(o.out, rep); err != nil {
		return err
	}
	c.Log("%s\n", filepath.Join(o.out, "report.md"))
	return nil
}

// config checks the flags and turns them into what a run needs.
func (o *runOptions) config() (*scenario.Config, error) {
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	c := &scenario.Config{
		Operations: o.operations, Scale: o.scale, Seed: o.seed, Runs: o.runs, Blobs: o.blobs, Snapshots: o.snapshots, NoSync: o.noSync, NoLimits: o.noLimits,
		CorpusDir: filepath.Join(o.dir, "corpora"), Path: os.Getenv("PATH"),
		Log: func(format string, args ...any) { fmt.Fprintf(o.stderr, format, args...) },
	}
	switch {
	case runtime.GOOS == "windows":
		return nil, errors.New("programs are measured on Unix systems only; `bench compare` and `bench corpus` work everywhere")
	case !(o.scale > 0):
		return nil, fmt.Errorf("--scale %g: it must be above 0", o.scale)
	case o.runs < 1 || o.runs > report.MaxRuns:
		return nil, fmt.Errorf("--runs %d: it must be 1 to %d", o.runs, report.MaxRuns)
	case o.blobs < 1 || o.snapshots < 1:
		return nil, errors.New("--blobs and --snapshots must be at least 1")
	}
	if c.Corpora, err = choose("--corpus", o.corpora, corpus.Names()); err != nil {
		return nil, err
	}
	if c.Scenarios, err = choose("--scenario", o.scenarios, scenario.Names()); err != nil {
		return nil, err
	}
	if _, err = choose("--op", o.operations, scenario.Operations()); err != nil {
		return nil, err
	}
	if o.syscalls {
		if c.Strace, err = exec.LookPath("strace"); err != nil {
			return nil, fmt.Errorf("--syscalls: %w", err)
		}
	}
	c.CanMount, c.Unmount = findMount()
	return c, nil
}

// choose returns the list without "none", if all of it is known.
func choose(flag string, list, known []string) ([]string, error) {
	var chosen []string
	for _, name := range list {
		switch {
		case name == "none":
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("%s %q: there are %s", flag, name, strings.Join(known, ", "))
		case !slices.Contains(chosen, name):
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}

// findMount tells whether FUSE works, as far as one can see, and how to unmount.
func findMount() (bool, []string) {
	if runtime.GOOS != "linux" {
		return false, nil
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		return false, nil
	} else if err := f.Close(); err != nil {
		return false, nil
	}
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return true, []string{path, "-u"}
		}
	}
	return false, nil
}

// commandLine returns the command that repeats this run.
func commandLine(o *runOptions) []string {
	return strings.Fields(measure.Command{Args: append([]string{"go", "run", "./bench"}, os.Args[1:]...)}.String())
}

// writeReport writes the report in all its forms into a folder.
func writeReport(dir string, rep *report.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	plots, err := rep.Plots()
	if err != nil {
		return err
	}
	images := make(map[string]string)
	files := map[string]func(w io.Writer) error{
		"report.json": rep.WriteJSON,
		"report.md":   func(w io.Writer) error { return rep.WriteMarkdown(w, images) },
	}
	for group, svg := range plots {
		images[group] = "wall-" + group + ".svg"
		files[images[group]] = func(w io.Writer) error { _, err := w.Write(svg); return err }
	}
	for name, write := range files {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
