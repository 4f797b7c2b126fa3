// Package scenario runs the programs on the corpora, operation by operation,
// and gathers what that took in a report.
//
// All programs do one operation, then all do the next, and each run of a
// scenario begins with another program, so that what else happens on the
// machine meets all of them. What a program restored is compared with the
// source, and a difference ends the run: a fast program that is wrong has no
// time to report.
//
// Start at Run; Names tells what there is besides the corpora.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/machine"
	"github.com/garner-backup/garner/bench/measure"
	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/report"
)

// Config says what to run.
type Config struct {
	Peers   []*peer.Peer
	Corpora []string // names of corpora
	// Scenarios are names that Names returns.
	Scenarios []string
	// Operations are the ones to report; none means all. Those that they need
	// run too.
	Operations []string
	Scale      float64
	Seed       uint64
	Runs       int
	NoLimits   bool // do not measure how fast this machine could be at all
	NoSync     bool // do not have the system write everything out before each operation
	Blobs      int  // in the index of the scenario "blobs"
	Snapshots  int  // in the repository of the scenario "snapshots"
	Heavy      int  // snapshots in the repository of the scenario "heavy"; zero is 30
	// CorpusDir takes corpora, which stay. RunDir takes all else, and exists.
	CorpusDir, RunDir string
	Path              string // the value of PATH that programs get
	Strace            string // path of strace; empty: calls are not counted
	// CanMount says that FUSE mounts work here; Unmount is the program that
	// takes a mount point to unmount, with its arguments.
	CanMount bool
	Unmount  []string
	// Log, which may be nil, is told what happens.
	Log func(format string, args ...any)
}

// Names returns the names of the scenarios.
func Names() []string { return []string{"heavy", "snapshots", "blobs"} }

// session is a run of Run.
type session struct {
	*Config
	runner *measure.Runner
	rep    *report.Report
	// counting is during runs in which calls are counted, and no time.
	counting bool
	// bounds gathers what limits the corpus at hand; nil if nobody asks.
	bounds *bounds
	// keeps says that what a run left is removed after all runs only.
	keeps bool
	kept  int // how many sets of lanes have been kept
}

// manyFiles is from how many files on removing a restored tree would disturb
// what is measured next: ext4 without a journal searches past the inodes of
// files that were deleted in the last minutes, one by one, for each new file.
const manyFiles = 1000

// roomFor is how many times the bytes of a corpus must be free for trees and
// repositories of its runs to be kept to the end.
const roomFor = 4

// keep decides whether the folders of a corpus' runs stay until the end.
func (s *session) keep(c *corpus.Corpus) {
	free, known := machine.Free(s.RunDir)
	s.keeps = c.Files >= manyFiles && known && free > int64(roomFor*len(s.Peers)*(s.Runs+1))*c.Bytes
}

// Run measures everything and adds it to the report. It leaves RunDir to the
// caller, whatever happens.
func Run(ctx context.Context, c *Config, rep *report.Report) error {
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	if c.Heavy == 0 {
		c.Heavy = heavySnapshots
	}
	for _, op := range c.Operations {
		if !slices.Contains(Operations(), op) {
			return fmt.Errorf("no operation is called %q: there are %v", op, Operations())
		}
	}
	s := &session{Config: c, rep: rep, runner: &measure.Runner{Scratch: filepath.Join(c.RunDir, "output")}}
	if err := os.MkdirAll(s.runner.Scratch, 0o700); err != nil {
		return err
	}
	for _, name := range c.Corpora {
		if err := s.corpus(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range c.Scenarios {
		if err := s.scenario(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Operations returns the names of all operations that reports have.
func Operations() []string {
	var list []string
	for _, st := range chain() {
		list = append(list, st.name)
	}
	return append(list, "ls-cold") // with an empty cache, where that is measured
}

func (s *session) wanted(name string) bool {
	return len(s.Operations) == 0 || slices.Contains(s.Operations, name)
}

// makeCorpus makes or finds a corpus and enters it in the report.
func (s *session) makeCorpus(ctx context.Context, name string) (*corpus.Corpus, error) {
	spec := corpus.Spec{Name: name, Scale: s.Scale, Seed: s.Seed}
	s.Log("%s: making the corpus, unless it is there\n", name)
	if err := os.MkdirAll(s.CorpusDir, 0o755); err != nil {
		return nil, err
	}
	return corpus.Make(ctx, filepath.Join(s.CorpusDir, spec.Folder()), spec)
}

func (s *session) enter(group, about string, c *corpus.Corpus) {
	if slices.ContainsFunc(s.rep.Corpora, func(rc report.Corpus) bool { return rc.Name == group }) {
		return
	}
	s.rep.Corpora = append(s.rep.Corpora, report.Corpus{Name: group, About: about, Scale: c.Scale, Seed: c.Seed, Files: c.Files, Bytes: c.Bytes})
}

// lane is one program in one run of a scenario, with folders of its own.
type lane struct {
	*peer.Peer
	dir    string
	target peer.Target
}

// lanes returns a lane for each peer; run number n begins with the n-th.
func (s *session) lanes(n int, source string) ([]*lane, error) {
	var list []*lane
	if s.keeps {
		s.kept++
	}
	for i := range s.Peers {
		p := s.Peers[(i+max(n, 0))%len(s.Peers)]
		name := fmt.Sprintf("run-%d", n)
		if s.keeps {
			name = fmt.Sprintf("kept-%d", s.kept)
		}
		l, err := s.lane(p, name, source)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func (s *session) lane(p *peer.Peer, name, source string) (*lane, error) {
	dir := filepath.Join(s.RunDir, name, p.Name)
	l := &lane{Peer: p, dir: dir, target: peer.Target{
		Repository: filepath.Join(dir, "repository"), Home: filepath.Join(dir, "home"), Source: source, Second: filepath.Join(dir, "second"),
		Point: filepath.Join(dir, "mount"), Keep: 1,
	}}
	for _, d := range []string{l.target.Home, l.target.Point} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// drop removes what a run of a scenario left.
func (s *session) drop(lanes []*lane) error {
	if s.keeps {
		return nil
	}
	for _, l := range lanes {
		if err := os.RemoveAll(l.dir); err != nil {
			return err
		}
	}
	return nil
}

// do runs an operation's commands without recording them.
func (s *session) do(ctx context.Context, l *lane, op peer.Op) error {
	_, _, err := s.perform(ctx, l, op)
	return err
}

// sync has the system write out what is not written yet, so that no operation
// pays for what was before it.
func (s *session) sync() {
	if !s.NoSync {
		measure.Sync()
	}
}

// perform runs an operation's commands, and returns what they took together.
func (s *session) perform(ctx context.Context, l *lane, op peer.Op) (measure.Usage, []string, error) {
	cmds, err := l.Commands(op, l.target, s.Path)
	if err != nil {
		return measure.Usage{}, nil, fmt.Errorf("%s: %s: %w", l.Name, op, err)
	}
	var sum measure.Usage
	var texts []string
	s.sync()
	for _, c := range cmds {
		u, err := s.runner.Run(ctx, c)
		if err != nil {
			return measure.Usage{}, nil, fmt.Errorf("%s: %s: %w", l.Name, op, err)
		}
		sum = sum.Add(u)
		texts = append(texts, c.String())
	}
	return sum, texts, nil
}

// record enters what an operation took.
func (s *session) record(group, operation string, l *lane, u measure.Usage, cmds []string, bytes, repository int64) {
	if !s.wanted(operation) {
		return
	}
	s.Log("%s: %-10s %-10s %8.3f s, %8.3f s CPU, %5d MiB\n", group, operation, l.Name, u.Wall.Seconds(), (u.User + u.System).Seconds(), u.RSS>>20)
	if s.counting {
		if i := slices.IndexFunc(s.rep.Lines, func(x report.Line) bool { return x.Group == group && x.Operation == operation && x.Peer == l.Name }); i >= 0 {
			s.rep.Lines[i].Syscalls = u.Syscalls
		}
		return
	}
	line := s.rep.Line(group, operation, l.Name)
	if line.Commands == nil {
		line.Commands = cmds
	}
	line.Bytes = bytes
	line.Samples = append(line.Samples, report.Sample{Wall: u.Wall.Seconds(), User: u.User.Seconds(), System: u.System.Seconds(), RSS: u.RSS, Repository: repository})
}

// latest sets the target's snapshot ID for programs that need one.
func (s *session) latest(ctx context.Context, l *lane) error {
	cmd, parse, ok := l.Latest(l.target, s.Path)
	if !ok {
		return nil
	}
	quiet := *s.runner
	quiet.Strace = ""
	if _, err := quiet.Run(ctx, cmd); err != nil {
		return err
	}
	b, err := os.ReadFile(quiet.Stdout())
	if err != nil {
		return err
	}
	l.target.Snapshot, err = parse(b)
	return err
}

// size returns the sum of the sizes of all files below a folder.
func size(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		sum += fi.Size()
		return nil
	})
	return sum, err
}

func unsupported(err error) bool { return errors.Is(err, peer.ErrUnsupported) }
