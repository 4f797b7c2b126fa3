package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// Apply carries the plan out. If the repository is not as it was, it changes
// nothing and returns [ErrStale]. After an error or a crash at any point,
// making a new plan and applying that finishes the work. A plan is applied
// once; the Repo must load its index anew afterwards.
func (p *Plan) Apply(ctx context.Context) error {
	if err := p.checkFresh(ctx); err != nil {
		return err
	}
	if !p.Empty() {
		if err := p.apply(ctx); err != nil {
			return err
		}
	}
	// All that was marked is decided now. Marks that stayed would only keep
	// a later Mark waiting.
	marks, err := Marks(ctx, p.repo)
	if errors.Is(err, ErrNoMarks) {
		return nil
	}
	if err == nil {
		err = removeMarks(ctx, p.repo, marks)
	}
	return err
}

func (p *Plan) apply(ctx context.Context) error {
	p.deleteOrphans(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.repackAll(ctx); err != nil {
		return err
	}
	if err := p.leaveIndex(ctx); err != nil {
		return err
	}
	return p.deletePacks(ctx)
}

// checkFresh compares the repository with the plan.
func (p *Plan) checkFresh(ctx context.Context) error {
	snapshots, err := list(ctx, p.repo, backend.SnapshotFile)
	if err != nil {
		return err
	}
	for _, id := range snapshots {
		if !p.state.snapshots[id] && !slices.Contains(p.opts.Ignore, id) {
			return fmt.Errorf("%w: snapshot %s is new", ErrStale, id.Short())
		}
	}
	indexes, err := list(ctx, p.repo, backend.IndexFile)
	if err != nil {
		return err
	}
	slices.SortFunc(indexes, crypto.ID.Compare)
	if !slices.Equal(indexes, p.state.indexes) {
		return fmt.Errorf("%w: the index files are not the same", ErrStale)
	}
	return nil
}

// removeFiles deletes files, several at a time. What is gone already counts
// as deleted. Errors go to failed, one at a time; it stops early only if ctx
// is done.
func removeFiles(ctx context.Context, r *repo.Repo, t backend.FileType, ids []crypto.ID, done func(), failed func(error)) {
	var g errgroup.Group
	g.SetLimit(max(backend.Connections(r.Backend()), 4))
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := r.Remove(ctx, t, id); err != nil && !errors.Is(err, backend.ErrNotExist) {
				failed(err)
			}
			done()
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
}

// deleteOrphans deletes packs that no index lists. They come from interrupted
// work, and nothing depends on their being gone.
func (p *Plan) deleteOrphans(ctx context.Context) {
	if len(p.orphan) > 0 {
		p.seen.phase(PhaseOrphans, len(p.orphan))
		removeFiles(ctx, p.repo, backend.PackFile, p.orphan, func() { p.seen.done(PhaseOrphans) }, p.seen.warn)
	}
}

// repackAll copies what is in use out of the packs to be packed anew. When it
// returns, every blob that the plan keeps is durable and indexed in a pack
// that stays.
func (p *Plan) repackAll(ctx context.Context) error {
	if len(p.repack) == 0 {
		return nil
	}
	p.seen.phase(PhaseRepack, len(p.repack))
	chosen := index.NewBitmap(len(p.packs))
	for _, n := range p.repack {
		chosen.Add(n)
	}
	copiers := sync.Pool{New: func() any { return new(copier) }}
	err := p.repo.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(max(backend.Connections(p.repo.Backend()), 2))
		for n, positions := range p.view.ByPack(chosen.Has) {
			if gctx.Err() != nil {
				break
			}
			g.Go(func() error {
				c := copiers.Get().(*copier)
				defer copiers.Put(c)
				c.repo, c.w, c.several = p.repo, w, p.several
				err := c.copyPack(gctx, repo.FileInfo{ID: p.view.PackID(n), Size: p.packs[n].size}, p.blobs(positions, nil), p.blobs(positions, p.keep.Has))
				p.seen.done(PhaseRepack)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return context.Cause(ctx)
	})
	if err != nil {
		return err
	}
	return p.checkCopies(chosen)
}

// blobs returns the blobs at those positions that choose takes, nil being
// all.
func (p *Plan) blobs(positions []int, choose func(position int) bool) []index.Blob {
	blobs := make([]index.Blob, 0, len(positions))
	for _, at := range positions {
		if choose == nil || choose(at) {
			blobs = append(blobs, p.view.At(at))
		}
	}
	return blobs
}

// several reports whether a blob is stored in more than one place.
func (p *Plan) several(h index.BlobHandle) bool {
	first, ok := p.view.Ordinal(h)
	return ok && p.view.End(first)-first > 1
}

// checkCopies makes sure that every blob that was to be copied is in a pack
// that stays, before anything is deleted. It goes by the index as it is now.
func (p *Plan) checkCopies(repacked index.Bitmap) error {
	leaving := p.leaving()
	var places []index.Location
	for at := range p.view.Len() {
		if !p.keep.Has(at) || !repacked.Has(p.view.PackOf(at)) {
			continue
		}
		h := p.view.At(at).BlobHandle
		places = p.repo.Index().Lookup(places[:0], h)
		stays := func(l index.Location) bool { return !leaving[l.Pack] }
		if !slices.ContainsFunc(places, stays) {
			return fmt.Errorf("blob %v was not copied; nothing was deleted", h)
		}
	}
	return nil
}

// leaving returns the packs that are to leave the index.
func (p *Plan) leaving() map[crypto.ID]bool {
	ids := make(map[crypto.ID]bool, p.remove.Len())
	for n := range p.packs {
		if p.remove.Has(n) {
			ids[p.view.PackID(n)] = true
		}
	}
	return ids
}

// leaveIndex makes the index forget the packs that go. Everything that stays
// is in a new index file before an old one is deleted.
func (p *Plan) leaveIndex(ctx context.Context) error {
	leaving := p.leaving()
	if p.opts.UnsafeRecovery || len(leaving) == 0 {
		return nil // recover makes room first
	}
	return dropFromIndex(ctx, p.repo, p.repo.Index().Files(), leaving, p.seen)
}

// dropFromIndex replaces those of the index files that list packs which go.
func dropFromIndex(ctx context.Context, r *repo.Repo, files []crypto.ID, leaving map[crypto.ID]bool, seen *observed) error {
	seen.phase(PhaseRewrite, 0)
	_, err := r.RewriteIndex(ctx, &repo.IndexRewrite{Files: files, Drop: func(pack crypto.ID) bool { return leaving[pack] }})
	if errors.Is(err, repo.ErrIndexChanged) {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	return err
}

// deletePacks deletes the packs that no index lists any more. A pack that
// can't be deleted does no harm: the next prune finds it.
func (p *Plan) deletePacks(ctx context.Context) error {
	var ids []crypto.ID
	for n := range p.packs {
		if p.remove.Has(n) && p.packs[n].size > 0 {
			ids = append(ids, p.view.PackID(n))
		}
	}
	if p.opts.UnsafeRecovery {
		return p.recover(ctx, ids)
	}
	deletePacks(ctx, p.repo, ids, p.seen)
	return context.Cause(ctx)
}

// recoverGrace is the time to write the index when the operation was
// cancelled after the old one was deleted.
const recoverGrace = 10 * time.Minute

// recover deletes index files and packs to make room, and writes the index
// anew, which only the memory holds meanwhile. So it tries that whatever
// happens, unless the lock is lost: others may have written one then.
func (p *Plan) recover(ctx context.Context, packs []crypto.ID) error {
	stays := func(n int) bool { return !p.remove.Has(n) }
	err := deleteIndexFiles(ctx, p.repo, p.state.indexes, p.seen)
	if err == nil {
		deletePacks(ctx, p.repo, packs, p.seen)
		err = context.Cause(ctx)
	} else {
		stays = nil // no pack was deleted
	}
	if errors.Is(err, repo.ErrLockLost) {
		return err
	}
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoverGrace)
	defer cancel()
	if werr := writeIndex(wctx, p.repo, p.view, stays); werr != nil {
		return fmt.Errorf("the new index could not be written: %w\nrun `garner repair index` when there is room", werr)
	}
	return err
}

// deletePacks deletes packs and warns of those that can't be.
func deletePacks(ctx context.Context, r *repo.Repo, ids []crypto.ID, seen *observed) {
	if len(ids) > 0 {
		seen.phase(PhaseDelete, len(ids))
		removeFiles(ctx, r, backend.PackFile, ids, func() { seen.done(PhaseDelete) }, seen.warn)
	}
}

// deleteIndexFiles deletes index files. One that stays is an error: it may
// list packs that are going to be deleted.
func deleteIndexFiles(ctx context.Context, r *repo.Repo, ids []crypto.ID, seen *observed) error {
	seen.phase(PhaseRewrite, len(ids))
	var failed firstError
	removeFiles(ctx, r, backend.IndexFile, ids, func() { seen.done(PhaseRewrite) }, failed.set)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failed.get()
}

// writeIndex writes index files for the packs of a view that stay.
func writeIndex(ctx context.Context, r *repo.Repo, v *index.View, stays func(number int) bool) error {
	// The age of an index file does not matter: the packs are old.
	c := index.NewCollector(func() time.Time { return time.Time{} })
	var blobs []index.Blob
	for n, positions := range v.ByPack(stays) {
		blobs = blobs[:0]
		for _, at := range positions {
			blobs = append(blobs, v.At(at))
		}
		if len(blobs) > 0 {
			c.Add(v.PackID(n), blobs)
		}
		if err := saveIndex(ctx, r, c, false); err != nil {
			return err
		}
	}
	return saveIndex(ctx, r, c, true)
}

// saveIndex writes the index file that is due, if one is.
func saveIndex(ctx context.Context, r *repo.Repo, c *index.Collector, force bool) error {
	file := c.Take(force)
	if file == nil {
		return nil
	}
	_, err := r.SaveIndex(ctx, file)
	return err
}
