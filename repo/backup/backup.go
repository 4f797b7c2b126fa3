// Package backup stores a source of files in a repository as a snapshot.
//
// [Run] walks the source a folder at a time. Folders are cut into batches of
// entries, batches run side by side, and each writes the tree nodes of its
// entries, which are joined in order. A file whose metadata is that of the
// parent snapshot is not read. Memory is bounded by the number of workers: it
// grows neither with the size of a file nor with the number of entries of a
// folder.
//
// The package does not look at file systems (source does) and does not decide
// what a snapshot's parent is (snapshot does).
package backup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/foldercache"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
)

// Options say what the snapshot records and how files are compared. Nil and
// zero mean the defaults.
type Options struct {
	// Snapshot holds what the caller records: time, host name, user name,
	// IDs, tags, excludes, program version. Run fills in the rest. A zero
	// time is the time of the start.
	Snapshot snapshot.Snapshot
	// Parent is compared with to find unchanged files; nil reads everything.
	Parent *snapshot.Snapshot
	// IgnoreInode leaves inode number and ctime out of the comparison.
	IgnoreInode bool
	// IgnoreCtime leaves the ctime out of the comparison.
	IgnoreCtime bool
	// SkipIfUnchanged saves no snapshot if its tree is the parent's.
	SkipIfUnchanged bool
	// DryRun saves no snapshot. The repository's backend should discard what
	// is saved, too.
	DryRun bool
	// Workers is how many batches of files are worked on at the same time;
	// zero is twice the number of processors.
	Workers int
	// Folders tells which folders look as they did at the last backup, so that
	// they need not be looked at more closely, and takes down how they look
	// now; nil is nothing. It goes by change times, unless IgnoreInode or
	// IgnoreCtime is set: then it is not used.
	Folders *foldercache.Store
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// ErrEmptySnapshot means that nothing was left to save.
var ErrEmptySnapshot = errors.New("snapshot is empty: no file could be read, or all are excluded")

// Result is what a backup has done.
type Result struct {
	// Snapshot is the new snapshot. Its ID is zero if it was not saved, for
	// DryRun or SkipIfUnchanged.
	Snapshot *snapshot.Snapshot
	// Incomplete counts the items that could not be read, or not in full,
	// and which Observer.Error was told of.
	Incomplete int64
	Duration   time.Duration
}

// Run stores the source as a snapshot. The repository's index must be loaded,
// and a lock held unless nothing is saved. Items that can't be read are left
// out and counted in the Result; an error means that there is no snapshot.
func Run(ctx context.Context, r *repo.Repo, src source.Source, opts *Options) (*Result, error) {
	if opts == nil {
		opts = &Options{}
	}
	start := time.Now()
	a, err := newArchiver(r, opts)
	if err != nil {
		return nil, err
	}
	sn := opts.Snapshot
	sn.Paths = src.Paths()
	if sn.Time.IsZero() {
		sn.Time = start
	}
	if opts.Parent != nil {
		sn.Parent = &opts.Parent.ID
	}
	if sn.Tree, err = a.saveSource(ctx, src); err != nil {
		return nil, err
	}
	sn.Summary = a.summary(start, time.Now())
	res := &Result{Snapshot: &sn, Incomplete: a.stats.errors.Load()}
	if !opts.DryRun && !a.unchanged(&sn) {
		if sn.ID, err = r.SaveSnapshot(ctx, &sn); err != nil {
			return nil, err
		}
	}
	res.Duration = time.Since(start)
	return res, nil
}

// unchanged reports whether the snapshot is to be skipped.
func (a *archiver) unchanged(sn *snapshot.Snapshot) bool {
	return a.opts.SkipIfUnchanged && a.opts.Parent != nil && a.opts.Parent.Tree != nil && *a.opts.Parent.Tree == *sn.Tree
}

// archiver is the state of one Run.
type archiver struct {
	repo   *repo.Repo
	w      *repo.Writer
	opts   *Options
	table  *chunk.Table
	stats  stats
	slots  chan struct{} // holds an element for each goroutine that is at work
	hasher crypto.Hasher
	zeros  zeroChunk

	folders *foldercache.Store // nil: none
	blocks  blockPool
	batches sync.Pool // of *batch
	rests   sync.Pool // of *rest
}

func newArchiver(r *repo.Repo, opts *Options) (*archiver, error) {
	table, err := chunk.NewTable(chunk.Params{Pol: r.Config().ChunkerPolynomial})
	if err != nil {
		return nil, fmt.Errorf("chunker: %w", err)
	}
	workers := opts.Workers
	if workers <= 0 {
		workers = 2 * runtime.GOMAXPROCS(0)
	}
	folders := opts.Folders
	if opts.IgnoreInode || opts.IgnoreCtime {
		folders = nil
	}
	return &archiver{
		folders: folders,
		repo:    r,
		opts:    opts,
		table:   table,
		slots:   make(chan struct{}, workers),
		hasher:  crypto.NewHasher(),
		zeros:   newZeroChunk(),
		blocks:  newBlockPool(workers + 1),
	}, nil
}

// saveSource stores all blobs of the source and returns the root tree's ID.
// When it returns, all of them are durable and indexed.
func (a *archiver) saveSource(ctx context.Context, src source.Source) (*crypto.ID, error) {
	root, err := src.Root(ctx)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	parent := noTree
	if p := a.opts.Parent; p != nil && p.Tree != nil {
		parent = *p.Tree
	}
	var content dirContent
	err = a.repo.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		a.w = w
		a.slots <- struct{}{}
		defer func() { <-a.slots }()
		content, err = a.saveDir(ctx, root, nil, parent)
		if err == nil && content.entries == 0 {
			err = ErrEmptySnapshot
		}
		a.stats.add(content.added)
		return err
	})
	return &content.tree, err
}

// fork runs fn in a goroutine if a slot is free, else before it returns. It
// never waits for a slot, so forked work may fork again. The channel it
// returns is closed when fn has returned; wait for it with wait.
func (a *archiver) fork(fn func()) <-chan struct{} {
	if done, ok := a.tryFork(fn); ok {
		return done
	}
	return runHere(fn)
}

// tryFork runs fn in a goroutine if a slot is free.
func (a *archiver) tryFork(fn func()) (done chan struct{}, ok bool) {
	select {
	case a.slots <- struct{}{}:
	default:
		return nil, false
	}
	done = make(chan struct{})
	go func() {
		defer func() {
			<-a.slots
			close(done)
		}()
		fn()
	}()
	return done, true
}

// wait waits for forked work. The slot of the caller is for others meanwhile:
// if folders that wait for folders inside of them kept theirs, a deep tree
// would leave none to work with.
func (a *archiver) wait(done <-chan struct{}) {
	if closed(done) {
		return
	}
	<-a.slots
	<-done
	a.slots <- struct{}{}
}

// runHere runs fn before it returns, in the form of fork.
func runHere(fn func()) <-chan struct{} {
	fn()
	done := make(chan struct{})
	close(done)
	return done
}
