package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/peer"
)

const (
	heavySnapshots = 30
	heavyChurn     = 20 // per cent of the files between two of them
	heavyKeep      = 5
)

// heavy measures a prune that has a lot to do: a fifth of all files is new in
// each snapshot, and all snapshots but five go.
func (s *session) heavy(ctx context.Context) error {
	const group = "heavy"
	c, err := s.ownCorpus(ctx, group, corpus.Spec{Name: "src", Scale: s.Scale, Seed: s.Seed})
	if err != nil {
		return err
	}
	s.enter(group, fmt.Sprintf("The files of src, %d snapshots with %d %% of the files new in each, of which prune keeps %d", s.Heavy, heavyChurn, heavyKeep), c)
	built, err := s.build(ctx, group, c, s.Heavy, heavyChurn)
	if err != nil {
		return err
	}
	err = s.rounds(func(n int) error {
		lanes, err := s.lanes(n, c.Dir)
		if err != nil {
			return err
		}
		for _, l := range lanes {
			l.target.Keep = heavyKeep
			if err := s.pruneHeavy(ctx, group, l, built[l.Format()]); err != nil {
				return err
			}
		}
		return s.drop(lanes)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.RunDir, group))
}

// pruneHeavy prunes a copy of the repository, and has it checked afterwards.
func (s *session) pruneHeavy(ctx context.Context, group string, l *lane, from *lane) error {
	if err := os.CopyFS(l.target.Repository, os.DirFS(from.target.Repository)); err != nil {
		return err
	}
	if err := s.do(ctx, l, peer.Attach); err != nil {
		return err
	}
	u, cmds, err := s.perform(ctx, l, peer.Prune)
	if err != nil {
		return err
	}
	bytes, err := size(l.target.Repository)
	if err != nil {
		return err
	}
	s.record(group, "prune", l, u, cmds, 0, bytes)
	if s.counting {
		return nil
	}
	return s.do(ctx, l, peer.Check)
}

// ownCorpus makes a corpus that only the scenario uses, and may alter.
func (s *session) ownCorpus(ctx context.Context, group string, spec corpus.Spec) (*corpus.Corpus, error) {
	s.Log("%s: making its files\n", group)
	dir := filepath.Join(s.RunDir, group)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return corpus.Make(ctx, filepath.Join(dir, "source"), spec)
}

// build makes a repository of each format that the peers have, with snapshots
// of the corpus between which a part of it is renewed. The first peer of each
// format makes it, for all of them.
func (s *session) build(ctx context.Context, group string, c *corpus.Corpus, snapshots, churn int) (map[string]*lane, error) {
	built := make(map[string]*lane)
	for _, p := range s.Peers {
		if built[p.Format()] != nil {
			continue
		}
		l, err := s.lane(p, filepath.Join(group, "built"), c.Dir)
		if err != nil {
			return nil, err
		}
		for _, op := range []peer.Op{peer.Init, peer.Attach} {
			if err := s.do(ctx, l, op); err != nil {
				return nil, err
			}
		}
		built[p.Format()] = l
	}
	for i := range snapshots {
		s.Log("%s: making snapshot %d of %d\n", group, i+1, snapshots)
		for _, l := range built {
			l.target.Backups++
			if err := s.do(ctx, l, peer.Backup); err != nil {
				return nil, err
			}
		}
		if i+1 < snapshots {
			if err := c.Churn(ctx, i, churn); err != nil {
				return nil, err
			}
		}
	}
	for _, l := range built {
		if err := s.latest(ctx, l); err != nil {
			return nil, err
		}
	}
	return built, nil
}
