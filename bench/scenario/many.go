package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/peer"
)

// manySnapshots measures commands on a repository with many snapshots of few
// files.
func (s *session) manySnapshots(ctx context.Context) error {
	const group = "snapshots"
	c, err := s.ownCorpus(ctx, group, corpus.Spec{Name: "tiny", Scale: 0.001, Seed: s.Seed})
	if err != nil {
		return err
	}
	s.enter(group, fmt.Sprintf("%d snapshots of a few files of tiny", s.Snapshots), c)
	built, err := s.build(ctx, group, c, s.Snapshots, 5)
	if err != nil {
		return err
	}
	steps := []step{{name: "snapshots", op: peer.Snapshots}, {name: "ls", op: peer.Ls}, {name: "find", op: peer.Find},
		{name: "stats", op: peer.Stats}, {name: "check", op: peer.Check}}
	err = s.rounds(func(n int) error {
		lanes, err := s.lanesOn(ctx, n, c, built)
		if err != nil {
			return err
		}
		for _, l := range lanes { // the caches are empty
			if err := s.do(ctx, l, peer.Ls); err != nil {
				return err
			}
		}
		return s.reading(ctx, group, steps, lanes)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.RunDir, group))
}

// lanesOn returns lanes that share the repositories that were built.
func (s *session) lanesOn(ctx context.Context, n int, c *corpus.Corpus, built map[string]*lane) ([]*lane, error) {
	lanes, err := s.lanes(n, c.Dir)
	if err != nil {
		return nil, err
	}
	var list []*lane
	for _, l := range lanes {
		from := built[l.Format()]
		if from == nil {
			continue
		}
		l.target.Repository, l.target.Backups, l.target.Snapshot, l.target.Pattern = from.target.Repository, from.target.Backups, from.target.Snapshot, c.Find
		if err := s.do(ctx, l, peer.Attach); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// reading measures steps that leave the repository as it is.
func (s *session) reading(ctx context.Context, group string, steps []step, lanes []*lane) error {
	for _, st := range steps {
		if !s.wanted(st.name) {
			continue
		}
		for _, l := range lanes {
			if _, err := l.Commands(st.op, l.target, s.Path); unsupported(err) {
				s.rep.Note("%s: %s: %v", l.Name, st.name, peer.ErrUnsupported)
				continue
			}
			u, cmds, err := s.perform(ctx, l, st.op)
			if err != nil {
				return err
			}
			s.record(group, st.name, l, u, cmds, 0, 0)
		}
	}
	return s.drop(lanes)
}

// manyBlobs measures opening a repository whose index is large. Its snapshots
// are small; what the index lists besides is not there.
func (s *session) manyBlobs(ctx context.Context) error {
	const group = "blobs"
	c, err := s.ownCorpus(ctx, group, corpus.Spec{Name: "tiny", Scale: 0.001, Seed: s.Seed})
	if err != nil {
		return err
	}
	all := s.Peers
	defer func() { s.Peers = all }()
	s.Peers = nil
	for _, p := range all {
		if p.Format() == "restic" {
			s.Peers = append(s.Peers, p)
		} else {
			s.rep.Note("%s: scenario blobs: its index can't be made", p.Name)
		}
	}
	if len(s.Peers) == 0 {
		return nil
	}
	s.enter(group, fmt.Sprintf("A few files of tiny, in a repository whose index lists %d more blobs", s.Blobs), c)
	built, err := s.build(ctx, group, c, 1, 0)
	if err != nil {
		return err
	}
	l := built["restic"]
	s.Log("%s: making the index\n", group)
	if err := fillIndex(ctx, l.target.Repository, peer.Password, s.Seed, s.Blobs); err != nil {
		return err
	}
	steps := []step{{name: "ls-cold", op: peer.Ls}, {name: "ls", op: peer.Ls}, {name: "snapshots", op: peer.Snapshots}, {name: "find", op: peer.Find}}
	err = s.rounds(func(n int) error {
		lanes, err := s.lanesOn(ctx, n, c, built)
		if err != nil {
			return err
		}
		return s.reading(ctx, group, steps, lanes)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.RunDir, group))
}

// scenario measures a scenario.
func (s *session) scenario(ctx context.Context, name string) error {
	switch name {
	case "heavy":
		return s.heavy(ctx)
	case "snapshots":
		return s.manySnapshots(ctx)
	case "blobs":
		return s.manyBlobs(ctx)
	}
	return fmt.Errorf("no scenario is called %q: there are %s", name, strings.Join(Names(), ", "))
}
