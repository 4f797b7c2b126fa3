package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// Sweep is the second phase: it deletes those marked packs that no snapshot
// needs by then.
//
// It relies on nothing that the first phase found out. A marked pack goes only
// if every blob in it that any snapshot uses is in another pack, too, which
// stays. Most of that is looked up under a shared lock; under the exclusive
// one only what came meanwhile is.
type Sweep struct {
	repo   *repo.Repo
	seen   *observed
	marks  []*Mark
	marker *repo.Marker
	marked map[crypto.ID]bool // packs of all marks
	state  repositoryIDs
	broken map[crypto.ID]bool // packs in the index that are missing or have a wrong size
	orphan []crypto.ID        // packs that no index listed, neither when they were marked nor when the sweep began
	files  []crypto.ID        // index files that list marked packs
	stats  SweepStats
}

// SweepStats are the figures of a sweep.
type SweepStats struct {
	Marked  int // packs
	Deleted int // of them
	Spared  int // of them, as they are in use again
	Orphans int // packs deleted that no index listed
}

// NewSweep finds what is in use. It changes nothing, and a shared lock is
// enough.
func NewSweep(ctx context.Context, r *repo.Repo, marks []*Mark, o *Observer) (*Sweep, error) {
	s := &Sweep{repo: r, seen: observe(o), marks: marks, marked: make(map[crypto.ID]bool), broken: make(map[crypto.ID]bool)}
	orphans := make(map[crypto.ID]bool)
	for _, m := range marks {
		for _, id := range m.Packs {
			s.marked[id] = true
			orphans[id] = true // when a sweep was interrupted after the index forgot it
		}
		for _, id := range m.Orphans {
			orphans[id] = true
		}
	}
	p := &Plan{repo: r, seen: s.seen}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	for n := range p.packs {
		if !p.packs[n].sound {
			s.broken[p.view.PackID(n)] = true
		}
	}
	s.marker, s.state = p.marker, p.state
	for _, id := range p.orphan {
		if orphans[id] {
			s.orphan = append(s.orphan, id)
		}
	}
	var err error
	s.files, err = r.IndexFilesWith(ctx, s.state.indexes, func(pack crypto.ID) bool { return s.marked[pack] })
	return s, err
}

// Preview returns what Apply would do if it was called now.
func (s *Sweep) Preview() SweepStats {
	s.unneeded()
	s.stats.Orphans = len(s.stillOrphans())
	return s.stats
}

// Apply deletes what is still unused. The caller holds an exclusive lock, in
// which nobody else reads or writes; when it is no longer needed, Apply turns
// it into a shared one. If the repository was changed by other than adding to
// it, Apply changes nothing and returns [ErrStale].
//
// The order: the index forgets the packs, the lock is shared, the packs are
// deleted, last the marks.
func (s *Sweep) Apply(ctx context.Context) (SweepStats, error) {
	if !s.repo.HoldsAlone() {
		return s.stats, errors.New("sweep: the operation holds no exclusive lock")
	}
	if err := s.catchUp(ctx); err != nil {
		return s.stats, err
	}
	leaving := s.unneeded()
	orphans := s.stillOrphans()
	if len(leaving) > 0 {
		if err := dropFromIndex(ctx, s.repo, s.filesNow(), leaving, s.seen); err != nil {
			return s.stats, err
		}
	}
	// From here on, packs are deleted that no index lists. Whoever begins
	// now does not know them. Only a repair could bring them back into the
	// index, and that takes an exclusive lock.
	if err := s.repo.ShareLock(ctx); err != nil {
		return s.stats, err
	}
	packs := make([]crypto.ID, 0, len(leaving)+len(orphans))
	for id := range leaving {
		packs = append(packs, id)
	}
	deletePacks(ctx, s.repo, append(packs, orphans...), s.seen)
	if ctx.Err() != nil {
		return s.stats, context.Cause(ctx)
	}
	s.stats.Orphans = len(orphans)
	return s.stats, removeMarks(ctx, s.repo, s.marks)
}

// filesNow returns the index files that may list marked packs: those that did
// and those that are new since.
func (s *Sweep) filesNow() []crypto.ID {
	files := slices.Clone(s.files)
	for _, id := range s.repo.Index().Files() {
		if _, old := slices.BinarySearchFunc(s.state.indexes, id, crypto.ID.Compare); !old {
			files = append(files, id)
		}
	}
	return files
}

// catchUp takes in what was added since NewSweep.
func (s *Sweep) catchUp(ctx context.Context) error {
	var roots []crypto.ID
	snapshots, err := list(ctx, s.repo, backend.SnapshotFile)
	if err != nil {
		return err
	}
	for _, id := range snapshots {
		if s.state.snapshots[id] {
			continue
		}
		sn, err := s.repo.LoadSnapshot(ctx, id)
		if err != nil {
			return unreadable(ctx, true, err)
		}
		if sn.Tree == nil || sn.Tree.IsZero() {
			return &DamageError{Err: fmt.Errorf("snapshot %s has no tree", id.Short())}
		}
		roots = append(roots, *sn.Tree)
	}
	gone, err := s.repo.UpdateIndex(ctx)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return fmt.Errorf("%w: index file %s is gone, another prune or repair was here", ErrStale, gone[0].Short())
	}
	s.marker.Extend()
	return needsRepair(s.marker.Mark(ctx, roots, nil))
}

// unneeded returns the marked packs that may go. Of each blob in use at least
// one place stays, a sound one if there is any.
func (s *Sweep) unneeded() map[crypto.ID]bool {
	v := s.repo.Index().View()
	marked := index.NewBitmap(v.Packs())
	sound := index.NewBitmap(v.Packs())
	for n := range v.Packs() {
		if s.marked[v.PackID(n)] {
			marked.Add(n)
		}
		if !s.broken[v.PackID(n)] {
			sound.Add(n)
		}
	}
	s.stats.Marked = marked.Len()
	leaving := index.NewBitmap(v.Packs())
	copy(leaving, marked)
	for first, end := 0, 0; first < v.Len(); first = end {
		end = v.End(first)
		s.spare(v, first, end, sound, leaving)
	}
	ids := make(map[crypto.ID]bool)
	for n := range v.Packs() {
		if leaving.Has(n) {
			ids[v.PackID(n)] = true
		}
	}
	s.stats.Deleted = len(ids)
	s.stats.Spared = s.stats.Marked - len(ids)
	return ids
}

// spare takes a pack out of leaving if one blob, which is in use, would be in
// no sound pack otherwise.
func (s *Sweep) spare(v *index.View, first, end int, sound, leaving index.Bitmap) {
	best, affected := -1, false
	for at := first; at < end; at++ {
		n := v.PackOf(at)
		switch {
		case !leaving.Has(n) && sound.Has(n):
			return // a place that stays
		case leaving.Has(n):
			affected = true
			if best < 0 || !sound.Has(v.PackOf(best)) {
				best = at
			}
		}
	}
	if affected && s.marker.Used(v.At(first).BlobHandle) {
		leaving.Remove(v.PackOf(best))
	}
}

// stillOrphans returns the marked packs that no index listed and none does
// now. No backup is running, so nobody is about to list them.
func (s *Sweep) stillOrphans() []crypto.ID {
	if len(s.orphan) == 0 {
		return nil
	}
	indexed := make(map[crypto.ID]bool)
	for id := range s.repo.Index().Packs() {
		indexed[id] = true
	}
	var ids []crypto.ID
	for _, id := range s.orphan {
		if !indexed[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
