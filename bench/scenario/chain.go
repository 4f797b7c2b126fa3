package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/measure"
	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/verify"
)

// step is one operation in the life of a repository.
type step struct {
	name string
	op   peer.Op
	// needed steps run also if nobody wants their numbers.
	needed bool
	// writes says that the repository's size changes.
	writes bool
	// wholly says that the operation is about all bytes of the corpus.
	wholly bool
	// changed steps come after the corpus was changed.
	changed bool
}

// chain returns the steps, in order.
func chain() []step {
	return []step{
		{name: "version", op: peer.Version},
		{name: "init", op: peer.Init, needed: true},
		{name: "backup1", op: peer.Backup, needed: true, writes: true, wholly: true},
		{name: "snapshots", op: peer.Snapshots},
		{name: "ls", op: peer.Ls},
		{name: "find", op: peer.Find},
		{name: "stats", op: peer.Stats},
		{name: "mount", op: peer.Mount, wholly: true},
		{name: "backup2", op: peer.Backup, needed: true, writes: true},
		{name: "backup3", op: peer.Backup, needed: true, writes: true, changed: true},
		{name: "check", op: peer.Check, changed: true},
		{name: "checkdata", op: peer.CheckData, wholly: true, changed: true},
		{name: "restore", op: peer.Restore, wholly: true, changed: true},
		{name: "restore1", op: peer.RestoreOne, changed: true},
		{name: "copy", op: peer.Copy, writes: true, changed: true},
		{name: "prune", op: peer.Prune, writes: true, changed: true},
	}
}

// corpus measures the life of a repository with one corpus.
func (s *session) corpus(ctx context.Context, name string) error {
	c, err := s.makeCorpus(ctx, name)
	if err != nil {
		return err
	}
	s.enter(name, "At scale 1: "+corpus.About(name), c)
	s.keep(c)
	defer func() { s.keeps = false }()
	if err := s.beginBounds(ctx, c); err != nil {
		return err
	}
	defer s.endBounds()
	return s.rounds(func(n int) error { return s.life(ctx, n, c) })
}

// rounds calls run for each run, and, if calls are to be counted, once more
// with strace.
func (s *session) rounds(run func(n int) error) error {
	for n := range s.Runs {
		s.Log("run %d of %d\n", n+1, s.Runs)
		if err := run(n); err != nil {
			return err
		}
	}
	if s.Strace == "" {
		return nil
	}
	s.Log("one more run, to count system calls\n")
	s.runner.Strace, s.counting = s.Strace, true
	defer func() { s.runner.Strace, s.counting = "", false }()
	return run(s.Runs)
}

// last returns the number of the last step that anybody wants.
func (s *session) last(steps []step) int {
	last := 0
	for i, st := range steps {
		if s.wanted(st.name) {
			last = i
		}
	}
	return last
}

// life takes one repository of each program through all steps.
func (s *session) life(ctx context.Context, n int, c *corpus.Corpus) (err error) {
	lanes, err := s.lanes(n, c.Dir)
	if err != nil {
		return err
	}
	var changed *corpus.Changed
	defer func() {
		if changed != nil {
			err = errors.Join(err, changed.Undo())
		}
	}()
	steps := chain()
	for i, st := range steps {
		if i > s.last(steps) || !st.needed && !s.wanted(st.name) {
			continue
		}
		if st.changed && changed == nil {
			if changed, err = c.Change(); err != nil {
				return err
			}
			if err := s.bounds.changed(ctx, s); err != nil {
				return err
			}
		}
		for _, l := range lanes {
			l.target.One, l.target.Pattern = c.One, c.Find
			if err := s.step(ctx, st, l, c); err != nil {
				return fmt.Errorf("%s: %w", st.name, err)
			}
		}
	}
	return s.drop(lanes)
}

// step does one step in one lane, with what must be there before, and looks at
// the outcome.
func (s *session) step(ctx context.Context, st step, l *lane, c *corpus.Corpus) error {
	if st.op == peer.Mount {
		return s.mount(ctx, c.Name, l, c)
	}
	if _, err := l.Commands(st.op, l.target, s.Path); unsupported(err) {
		s.rep.Note("%s: %s: %v", l.Name, st.name, peer.ErrUnsupported)
		return nil
	}
	if err := s.before(ctx, st, l); err != nil {
		return err
	}
	u, cmds, err := s.perform(ctx, l, st.op)
	if err != nil {
		return err
	}
	if err := s.after(ctx, st, l, c); err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	var bytes, repository int64
	if st.wholly {
		bytes = c.Bytes
	}
	if st.writes {
		where := l.target.Repository
		if st.op == peer.Copy {
			where = l.target.Second
		}
		if repository, err = size(where); err != nil {
			return err
		}
	}
	s.record(c.Name, st.name, l, u, cmds, bytes, repository)
	return nil
}

// before prepares what the step needs, untimed.
func (s *session) before(ctx context.Context, st step, l *lane) error {
	switch st.op {
	case peer.Backup:
		l.target.Backups++
	case peer.Copy:
		return s.do(ctx, l, peer.InitCopy)
	case peer.Restore, peer.RestoreOne:
		l.target.Into = l.dir + "/" + st.name
		return os.MkdirAll(l.target.Into, 0o700)
	}
	return nil
}

// after prepares what later steps need, and checks the outcome, untimed.
func (s *session) after(ctx context.Context, st step, l *lane, c *corpus.Corpus) error {
	switch st.op {
	case peer.Init:
		s.bounds.key(ctx, s, l)
		return s.do(ctx, l, peer.Attach)
	case peer.Backup:
		s.bounds.stored(ctx, s, l)
		return s.latest(ctx, l)
	case peer.Find:
		fi, err := os.Stat(s.runner.Stdout())
		if err == nil && fi.Size() == 0 {
			err = fmt.Errorf("find %s printed nothing", c.Find)
		}
		return err
	case peer.Restore:
		if err := verify.Trees(ctx, c.Dir, l.Restored(l.target)); err != nil {
			return fmt.Errorf("the restored files are not those of the source: %w", err)
		}
		if s.keeps {
			return nil
		}
		return os.RemoveAll(l.target.Into)
	case peer.RestoreOne:
		if err := verify.File(c.Dir, l.Restored(l.target), c.One); err != nil {
			return fmt.Errorf("the restored file is not that of the source: %w", err)
		}
		return os.RemoveAll(l.target.Into)
	}
	return nil
}

// mount measures how long it takes to mount a repository and read all files of
// the last snapshot through it.
func (s *session) mount(ctx context.Context, group string, l *lane, c *corpus.Corpus) error {
	cmds, err := l.Commands(peer.Mount, l.target, s.Path)
	switch {
	case unsupported(err):
		s.rep.Note("%s: mount: %v", l.Name, peer.ErrUnsupported)
		return nil
	case err != nil:
		return err
	case !s.CanMount:
		s.rep.Note("mount: this machine can't mount (it takes Linux, /dev/fuse and fusermount)")
		return nil
	}
	point := l.target.Point
	s.sync()
	u, res, err := s.runner.RunMounted(ctx, measure.Mounted{
		Command: cmds[0], Point: point, Unmount: measure.Command{Args: append(s.Unmount, point)},
		Read: func() (string, error) { return l.MountPoint(l.target) },
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	if res.Bytes != c.Bytes {
		return fmt.Errorf("%s: read %d bytes of %d files through the mount; the source has %d", l.Name, res.Bytes, res.Files, c.Bytes)
	}
	s.record(group, "mount", l, u, []string{cmds[0].String()}, c.Bytes, 0)
	return nil
}
