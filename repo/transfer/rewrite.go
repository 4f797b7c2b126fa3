package transfer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/snapshot"
)

// RewriteTag marks the new versions of snapshots whose old ones are kept.
const RewriteTag = "rewrite"

// RewriteOptions say what becomes different; nil and zero change nothing.
type RewriteOptions struct {
	// Excludes are lists of patterns. What any of them matches is left out,
	// folders with all that is in them.
	Excludes []*pattern.List
	// Includes are lists of patterns, not together with Excludes. What none
	// of them matches is left out, and so are folders in which nothing is
	// left, unless a pattern matches them. A snapshot of which nothing would
	// be left stays as it is.
	Includes []*pattern.List
	// Time and Hostname replace those of the snapshot, unless they are zero.
	Time     time.Time
	Hostname string
	// Summary counts the files of snapshots that have no Summary. With
	// Excludes or Includes that is done in any case.
	Summary bool

	// Forget removes the old snapshots. Without it, RewriteTag is added to
	// the new ones.
	Forget bool
	// DryRun stores and removes nothing.
	DryRun bool

	Observer RewriteObserver
}

// RewriteObserver is told of what Rewrite does. Its functions may be nil, and
// are called one at a time.
type RewriteObserver struct {
	// Started is called before a snapshot is looked at.
	Started func(sn *snapshot.Snapshot)
	// Excluded is called for each item that Excludes leave out, Included for
	// each file and each empty folder that Includes keep. If they are set,
	// folders that several snapshots share are looked at again for each.
	Excluded func(path string)
	Included func(path string, folder bool)
	// Saved is called when a new version is stored, or would be in a dry run,
	// in which it has no ID.
	Saved func(old, version *snapshot.Snapshot)
	// Removed is called when an old version is removed, or would be.
	Removed func(old *snapshot.Snapshot)
}

// walks reports whether the trees have to be read.
func (o *RewriteOptions) walks() bool {
	return len(o.Excludes) > 0 || len(o.Includes) > 0 || o.Summary
}

// Rewrite stores new versions of snapshots and returns how many. A snapshot
// that would not differ is left alone. Original of a new version is the ID of
// the snapshot that it was made of, whatever that one's Original was.
//
// The index must be loaded, and the repository locked: exclusively if
// snapshots are removed. Rewrite stops at the first error; a tree that can't
// be stored again without losing something is an [*UnknownContentError].
func Rewrite(ctx context.Context, r *repo.Repo, snapshots []*snapshot.Snapshot, opts *RewriteOptions) (rewritten int, err error) {
	if opts == nil {
		opts = &RewriteOptions{}
	}
	if len(opts.Excludes) > 0 && len(opts.Includes) > 0 {
		return 0, errors.New("rewrite: excludes and includes can't be used together")
	}
	w := newRewriter(r, opts)
	for _, sn := range snapshots {
		if opts.Observer.Started != nil {
			opts.Observer.Started(sn)
		}
		changed, err := w.rewrite(ctx, sn)
		if err != nil {
			return rewritten, fmt.Errorf("rewrite snapshot %s: %w", sn.ID.Short(), err)
		}
		if changed {
			rewritten++
		}
	}
	return rewritten, nil
}

// rewriter is the state of one Rewrite.
type rewriter struct {
	repo  *repo.Repo
	opts  *RewriteOptions
	slots chan struct{} // one for each goroutine beside the first
	memo  rewriteMemo

	tell sync.Mutex // held while the observer is told
}

func newRewriter(r *repo.Repo, opts *RewriteOptions) *rewriter {
	w := &rewriter{repo: r, opts: opts}
	w.slots = make(chan struct{}, max(runtime.GOMAXPROCS(0), backend.Connections(r.Backend())))
	w.memo.off = opts.Observer.Excluded != nil || opts.Observer.Included != nil
	return w
}

// rewrite makes a new version of one snapshot if it would differ. Trees are
// durable and indexed before the snapshot is saved, and the old snapshot is
// removed after that.
func (w *rewriter) rewrite(ctx context.Context, sn *snapshot.Snapshot) (changed bool, err error) {
	version, differs, err := w.version(ctx, sn)
	if err != nil || !differs {
		return false, err
	}
	if !w.opts.DryRun {
		if version.ID, err = w.repo.SaveSnapshot(ctx, version); err != nil {
			return false, err
		}
	}
	if w.opts.Observer.Saved != nil {
		w.opts.Observer.Saved(sn, version)
	}
	if !w.opts.Forget {
		return true, nil
	}
	if !w.opts.DryRun {
		if err := w.repo.Remove(ctx, backend.SnapshotFile, sn.ID); err != nil {
			return false, err
		}
	}
	if w.opts.Observer.Removed != nil {
		w.opts.Observer.Removed(sn)
	}
	return true, nil
}

// version returns what a snapshot becomes, and whether it is any different.
func (w *rewriter) version(ctx context.Context, sn *snapshot.Snapshot) (*snapshot.Snapshot, bool, error) {
	if sn.Tree == nil {
		return nil, false, errors.New("it has no tree")
	}
	version := *sn
	version.ID, version.Original = crypto.ID{}, &sn.ID
	differs := false
	if w.opts.walks() {
		root, err := w.root(ctx, *sn.Tree)
		if err != nil {
			return nil, false, err
		}
		if root.tree.IsZero() {
			return nil, false, nil
		}
		version.Tree = &root.tree
		version.Summary = root.summary(sn.Summary)
		differs = root.tree != *sn.Tree || sn.Summary == nil || *version.Summary != *sn.Summary
	}
	if !w.opts.Time.IsZero() {
		version.Time, differs = w.opts.Time, true
	}
	if w.opts.Hostname != "" {
		version.Hostname, differs = w.opts.Hostname, true
	}
	if !w.opts.Forget {
		version.Tags = addTags(sn.Tags, []string{RewriteTag})
	}
	return &version, differs, nil
}

// summary returns a summary with the new totals, and else what was there.
func (t *rewrittenTree) summary(old *snapshot.Summary) *snapshot.Summary {
	s := new(snapshot.Summary)
	if old != nil {
		*s = *old
	}
	s.TotalFilesProcessed, s.TotalBytesProcessed = t.files, t.bytes
	return s
}
