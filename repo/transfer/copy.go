package transfer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// CopyOptions say whom Copy tells what; nil is nobody. The functions may be
// nil, and are called one at a time.
type CopyOptions struct {
	// Skipped is called for a snapshot that was copied before.
	Skipped func(source, existing *snapshot.Snapshot)
	// Started is called before what a snapshot needs is copied.
	Started func(source *snapshot.Snapshot)
	// Progress is called when there is more to copy for the snapshot that
	// was started last, and when some of it has been copied.
	Progress func(CopyProgress)
	// Finished is called when all that a snapshot needs was copied. It is
	// saved later, together with others.
	Finished func(source *snapshot.Snapshot, total CopyProgress)
	// Saved is called when a copy is in the destination.
	Saved func(source, copied *snapshot.Snapshot)
	// Warn is called for a snapshot of the destination that can't be read,
	// so that its source may be copied once more.
	Warn func(error)
}

// CopyProgress counts what is copied for one snapshot.
type CopyProgress struct {
	Blobs int   // that the destination lacks, as far as known yet
	Bytes int64 // that they take in the source
	Packs int   // reads of packs that they are in, as far as known yet
	Done  int   // of these
}

// CopyResult says what Copy did.
type CopyResult struct {
	Copied, Skipped int   // snapshots
	Blobs           int   // that were read and handed to the destination
	Bytes           int64 // that they take in the source
}

// The snapshots of a batch are saved together, after their blobs are durable.
// A batch ends with the snapshot that makes it this large, or this old: large
// enough that few packs are stored half full, small enough that little is to
// be done again after a crash.
const (
	batchBytes    = 1600 << 20 // a hundred packs of the default size
	batchDuration = time.Minute
)

// Copy brings snapshots and all blobs that they need from src to dst, where
// they are sealed with dst's key. Every blob is verified, and none is copied
// that dst has. A snapshot that was copied before, or that is a copy of one
// in dst, is skipped.
//
// The indexes of both repositories must be loaded, and both locked. If Copy
// fails, what has arrived stays, and the next attempt goes on from there.
func Copy(ctx context.Context, src, dst *repo.Repo, snapshots []*snapshot.Snapshot, opts *CopyOptions) (CopyResult, error) {
	if opts == nil {
		opts = &CopyOptions{}
	}
	c := newCopier(src, dst, opts)
	if err := c.findExisting(ctx); err != nil {
		return CopyResult{}, err
	}
	for len(snapshots) > 0 {
		done, err := c.batch(ctx, snapshots)
		if err != nil {
			return c.result, err
		}
		snapshots = snapshots[done:]
	}
	return c.result, nil
}

// copier is the state of one Copy.
type copier struct {
	src, dst *repo.Repo
	opts     *CopyOptions
	existing map[crypto.ID][]*snapshot.Snapshot // in dst, by persistent ID and by own ID
	result   CopyResult

	view    *index.View  // of src
	seen    index.Bitmap // blobs of view that were visited
	workers int
}

func newCopier(src, dst *repo.Repo, opts *CopyOptions) *copier {
	view := src.Index().View()
	return &copier{
		src: src, dst: dst, opts: opts,
		existing: make(map[crypto.ID][]*snapshot.Snapshot),
		view:     view,
		seen:     index.NewBitmap(view.Len()),
		workers:  max(runtime.GOMAXPROCS(0), backend.Connections(src.Backend())),
	}
}

func (c *copier) findExisting(ctx context.Context) error {
	for sn, err := range c.dst.AllSnapshots(ctx) {
		if sn == nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			if c.opts.Warn != nil {
				c.opts.Warn(fmt.Errorf("snapshot %s: %w", sn.ID.Short(), err))
			}
			continue
		}
		c.existing[sn.ID] = append(c.existing[sn.ID], sn)
		if sn.Original != nil {
			c.existing[*sn.Original] = append(c.existing[*sn.Original], sn)
		}
	}
	return nil
}

// copied returns the copy of a snapshot in dst, nil if there is none.
func (c *copier) copied(sn *snapshot.Snapshot) *snapshot.Snapshot {
	for _, other := range c.existing[sn.PersistentID()] {
		if similar(sn, other) {
			return other
		}
	}
	return nil
}

// similar reports whether two snapshots are the same in all that a copy
// keeps.
func similar(a, b *snapshot.Snapshot) bool {
	return a.Time.Equal(b.Time) && sameTree(a.Tree, b.Tree) &&
		a.Hostname == b.Hostname && a.Username == b.Username && a.UID == b.UID && a.GID == b.GID &&
		sameSet(a.Paths, b.Paths) && sameSet(a.Tags, b.Tags) && slices.Equal(a.Excludes, b.Excludes)
}

func sameTree(a, b *crypto.ID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			return false
		}
	}
	return true
}

// batch copies the first snapshots of the list and returns how many.
//
// Packs are stored before the index files that list them, and these before
// the snapshots: Write has returned when the first of them is saved.
func (c *copier) batch(ctx context.Context, list []*snapshot.Snapshot) (done int, err error) {
	start := time.Now()
	bytes := c.result.Bytes
	var ready []*snapshot.Snapshot
	err = c.dst.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		for done < len(list) && c.result.Bytes-bytes < batchBytes && time.Since(start) < batchDuration {
			sn := list[done]
			if other := c.copied(sn); other != nil {
				c.result.Skipped++
				if c.opts.Skipped != nil {
					c.opts.Skipped(sn, other)
				}
			} else {
				if err := c.content(ctx, w, sn); err != nil {
					return fmt.Errorf("copy snapshot %s: %w", sn.ID.Short(), err)
				}
				ready = append(ready, sn)
			}
			done++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, sn := range ready {
		if err := c.save(ctx, sn); err != nil {
			return 0, fmt.Errorf("copy snapshot %s: %w", sn.ID.Short(), err)
		}
	}
	return done, nil
}

// content copies the blobs of a snapshot.
func (c *copier) content(ctx context.Context, w *repo.Writer, sn *snapshot.Snapshot) error {
	if c.opts.Started != nil {
		c.opts.Started(sn)
	}
	if sn.Tree == nil {
		return errors.New("it has no tree")
	}
	r := &copyRun{c: c, w: w, ctx: ctx}
	if err := r.copyTrees(*sn.Tree); err != nil {
		return err
	}
	c.result.Blobs += r.progress.Blobs
	c.result.Bytes += r.progress.Bytes
	if c.opts.Finished != nil {
		c.opts.Finished(sn, r.progress)
	}
	return nil
}

// save stores the copy of a snapshot. The parent is left out: it means
// nothing in another repository.
func (c *copier) save(ctx context.Context, sn *snapshot.Snapshot) error {
	copied := *sn
	copied.Parent = nil
	if copied.Original == nil {
		copied.Original = &sn.ID
	}
	var err error
	if copied.ID, err = c.dst.SaveSnapshot(ctx, &copied); err != nil {
		return err
	}
	c.result.Copied++
	if c.opts.Saved != nil {
		c.opts.Saved(sn, &copied)
	}
	return nil
}
