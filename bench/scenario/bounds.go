package scenario

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/limit"
	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/report"
)

// bounds gathers how fast this machine could be with a corpus: the speeds of
// primitives, and how much work a repository of garner's turned out to be. All
// of it happens between operations, untimed. A nil *bounds gathers nothing.
type bounds struct {
	group  string
	tree   *limit.Tree // before it was changed
	work   limit.Work
	speeds limit.Speeds
}

// beginBounds measures the primitives, if a garner is among the peers.
func (s *session) beginBounds(ctx context.Context, c *corpus.Corpus) error {
	if s.NoLimits {
		s.rep.Note("limits: not asked for (--no-limits)")
		return nil
	}
	if !s.hasGarner() {
		s.rep.Note("limits: no garner is among the peers")
		return nil
	}
	s.Log("%s: measuring what limits this machine\n", c.Name)
	tree, err := limit.Look(ctx, c.Dir)
	if err != nil {
		return err
	}
	scratch := filepath.Join(s.RunDir, "limit-"+c.Name) // goes with RunDir: see manyFiles
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	s.sync()
	speeds, failed := limit.Measure(ctx, limit.Config{Tree: tree, Scratch: scratch})
	for _, err := range failed {
		s.rep.Note("%s: limits: %v", c.Name, err)
	}
	s.bounds = &bounds{group: c.Name, tree: tree, speeds: speeds, work: limit.Work{Corpus: tree.All(), Cores: runtime.GOMAXPROCS(0)}}
	return ctx.Err()
}

func (s *session) hasGarner() bool {
	for _, p := range s.Peers {
		if p.Kind == "garner" {
			return true
		}
	}
	return false
}

// key measures deriving the key of garner's first repository.
func (b *bounds) key(ctx context.Context, s *session, l *lane) {
	if b == nil || l.Kind != "garner" || b.speeds[limit.Derive] != 0 {
		return
	}
	speed, err := limit.MeasureDerive(ctx, l.target.Repository, peer.Password)
	if err != nil {
		s.rep.Note("%s: limits: %s: %v", b.group, limit.Derive, err)
		return
	}
	b.speeds[limit.Derive] = speed
}

// stored asks garner's first repository what is in it after its first and
// its third backup, which is the one of the changed corpus.
func (b *bounds) stored(ctx context.Context, s *session, l *lane) {
	if b == nil || l.Kind != "garner" {
		return
	}
	var into **limit.Stored
	switch {
	case l.target.Backups == 1 && b.work.First == nil:
		into = &b.work.First
	case l.target.Backups == 3 && b.work.All == nil:
		into = &b.work.All
	default:
		return
	}
	found, err := limit.Ask(ctx, l.target.Repository, peer.Password)
	if err != nil {
		s.rep.Note("%s: limits: what %s stored: %v", b.group, l.Name, err)
		return
	}
	*into = found
}

// changed finds out what the corpus' change touched.
func (b *bounds) changed(ctx context.Context, s *session) error {
	if b == nil || b.work.Changed != nil {
		return nil
	}
	now, err := limit.Look(ctx, b.tree.Dir)
	if err != nil {
		return err
	}
	b.work.Changed = now.Since(b.tree)
	return nil
}

// endBounds enters the limits in the report.
func (s *session) endBounds() {
	b := s.bounds
	if s.bounds = nil; b == nil {
		return
	}
	l := report.Limits{Group: b.group, Seconds: make(map[string]float64)}
	for _, p := range limit.Primitives() {
		if speed := b.speeds[p]; speed > 0 {
			l.Primitives = append(l.Primitives, report.Primitive{Name: string(p), Unit: p.Unit(), Speed: speed})
		}
	}
	for _, op := range Operations() {
		if seconds, ok := limit.Seconds(op, b.work, b.speeds); ok {
			l.Seconds[op] = seconds
		}
	}
	s.rep.Limits = append(s.rep.Limits, l)
}
