// Package restore writes a snapshot, or a folder of it, into a directory.
//
// [Run] walks the tree and works on it a segment at a time, while the walk
// collects the next one: it makes the folders, reads the packs that the segment's files need, several at a time
// and each once, writes every blob to all files that want it, then makes
// links and special files, and gives the folders that are complete their
// metadata. Memory is bounded by the size of a segment.
//
// A tree is not trusted. Every file is made and changed relative to an open
// directory below the target, so that neither a name in the tree nor a
// symbolic link on the disk, however it got there, leads out of the target.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// Overwrite says what happens to files that are there already.
type Overwrite uint8

const (
	// OverwriteAlways brings every file to the snapshot's state; of files
	// that exist only the parts that differ are written.
	OverwriteAlways Overwrite = iota
	// OverwriteIfChanged trusts the content of files with the right size and
	// modification time.
	OverwriteIfChanged
	// OverwriteIfNewer leaves files alone unless the snapshot's is newer.
	OverwriteIfNewer
	// OverwriteNever leaves all files alone that exist.
	OverwriteNever
)

var overwriteNames = [...]string{"always", "if-changed", "if-newer", "never"}

// String returns the word that the command line uses.
func (o Overwrite) String() string {
	if int(o) < len(overwriteNames) {
		return overwriteNames[o]
	}
	return fmt.Sprintf("invalid(%d)", uint8(o))
}

// ParseOverwrite is the inverse of String.
func ParseOverwrite(s string) (Overwrite, error) {
	for i, name := range overwriteNames {
		if s == name {
			return Overwrite(i), nil
		}
	}
	return 0, fmt.Errorf("invalid overwrite behavior %q, must be one of (always|if-changed|if-newer|never)", s)
}

// Options say what is restored and how; nil restores all.
type Options struct {
	// Select says for a path in the snapshot, which begins with a slash,
	// whether it is restored, and, for a folder, whether anything below it
	// may be. Nil selects all. It may be called from several goroutines.
	Select func(path string, dir bool) (selected, below bool)
	// SelectXattr says which extended attributes are restored, and which of
	// the others' are left alone on the disk; nil selects all.
	SelectXattr func(name string) bool
	Overwrite   Overwrite
	// Delete removes what is in restored folders but not in the snapshot,
	// as far as Select selects it.
	Delete bool
	// DryRun changes nothing.
	DryRun bool
	// Sparse leaves holes where new files have zeros.
	Sparse bool
	// Verify reads every restored file again and compares hashes.
	Verify bool
	// OwnershipByName looks up user and group by name instead of number.
	OwnershipByName bool
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// Observer is told of a restore's progress. Its functions may be nil; they
// are called from several goroutines at the same time.
type Observer struct {
	// Found is called for each item when the walk meets it.
	Found func(path string, size int64)
	// Progress is called when bytes of a file were written, or found to be
	// there already.
	Progress func(bytes int64)
	// Item is called when an item is done.
	Item func(path string, action Action, size int64)
	// Error is called for each item that could not be restored, or not with
	// all its metadata; the restore goes on.
	Error func(path string, err error)
}

// Action says what happened to an item.
type Action uint8

const (
	Restored  Action = iota // it was not there
	Updated                 // it was there and was changed
	Unchanged               // it was there and is as it should be, or was left alone
	Deleted                 // it was there and is not in the snapshot
)

var actionNames = [...]string{"restored", "updated", "unchanged", "deleted"}

// String returns the word for messages.
func (a Action) String() string { return actionNames[a] }

// Result sums up a restore. Files counts items of all types.
type Result struct {
	Files, FilesRestored, FilesSkipped, FilesDeleted int64
	Bytes, BytesRestored, BytesSkipped               int64
	Verified                                         int64 // files
	Errors                                           int64 // told to Observer.Error
}

// segmentFiles and segmentBlobs are how much the walk collects before it is
// written: enough that a pack is read once for nearly all its files. Two
// segments exist at the same time.
const (
	segmentFiles = 10_000
	segmentBlobs = 100_000
)

// Run restores the tree root into the directory target, which is made if it
// does not exist. The repository's index must be loaded. Items that fail are
// reported and counted; an error means that the restore did not finish.
func Run(ctx context.Context, r *repo.Repo, root crypto.ID, target string, opts *Options) (*Result, error) {
	if opts == nil {
		opts = &Options{}
	}
	top, err := openTarget(target, opts.DryRun)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	rs := &restorer{
		ctx:      ctx,
		repo:     r,
		opts:     opts,
		dirs:     newDirCache(),
		files:    newFileCache(),
		links:    make(map[linkID]linkTarget),
		seg:      new(segment),
		segments: make(chan *segment),
		workers:  max(runtime.GOMAXPROCS(0)+1, backend.Connections(r.Backend())),
		apply:    &osmeta.ApplyOptions{Owner: osmeta.NewOwnerLookup(opts.OwnershipByName), SelectXattr: opts.SelectXattr},
	}
	defer rs.dirs.close()
	defer rs.files.close()
	rs.top = &directory{handle: top, missing: top == nil}
	if top != nil {
		defer top.Close()
	}
	g.Go(func() error {
		defer close(rs.segments)
		if err := rs.walk(rs.top, root); err != nil {
			return err
		}
		return rs.handOver()
	})
	g.Go(func() error {
		for seg := range rs.segments {
			if err := rs.flush(seg); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	rs.finishDir(rs.top)
	res := rs.count.result()
	return &res, nil
}

// openTarget opens the target directory, or returns nil if it does not exist
// in a dry run.
func openTarget(target string, dryRun bool) (*osmeta.Dir, error) {
	if !dryRun {
		if err := os.MkdirAll(target, 0o700); err != nil {
			return nil, fmt.Errorf("create target directory: %w", err)
		}
	}
	top, err := osmeta.OpenDir(target)
	if dryRun && errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open target directory: %w", err)
	}
	return top, nil
}

// restorer is the state of one Run. The walk fills a segment in one goroutine
// while another sees to it that several write the one before.
type restorer struct {
	ctx      context.Context // of Run, and done as soon as one goroutine fails
	repo     *repo.Repo
	opts     *Options
	apply    *osmeta.ApplyOptions
	top      *directory
	dirs     *dirCache
	files    *fileCache
	links    map[linkID]linkTarget // first file of each set of hard links; owned by the walk
	seg      *segment              // owned by the walk
	segments chan *segment         // from the walk to those who write
	workers  int
	count    counters
}

// handOver passes the segment on to be written and begins a new one.
func (rs *restorer) handOver() error {
	select {
	case rs.segments <- rs.seg:
		rs.seg = new(segment)
		return nil
	case <-rs.ctx.Done():
		return context.Cause(rs.ctx)
	}
}

// linkID is what hard links of one file have in common.
type linkID struct{ device, inode uint64 }

type linkTarget struct {
	dir  *directory
	name string
}

// walk enters a folder's items into the segment. Errors of the repository or
// the file system are reported; walk returns only what ends the restore.
func (rs *restorer) walk(dir *directory, id crypto.ID) error {
	nodes, err := rs.repo.LoadTree(rs.ctx, id)
	if err != nil {
		if rs.ctx.Err() != nil {
			return context.Cause(rs.ctx)
		}
		rs.fail(dir.shown(), err)
		dir.keepExtra = true
		return nil
	}
	defer nodes.Close()
	for {
		n := new(tree.Node)
		err := nodes.Next(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			rs.fail(dir.shown(), err)
			dir.keepExtra = true
			return nil
		}
		if rs.ctx.Err() != nil {
			return context.Cause(rs.ctx)
		}
		if err := rs.enter(dir, n); err != nil {
			return err
		}
		if rs.seg.full() {
			if err := rs.handOver(); err != nil {
				return err
			}
		}
	}
}

// enter puts one item into the segment if it is selected.
func (rs *restorer) enter(dir *directory, n *tree.Node) error {
	path := dir.path + "/" + n.Name
	if err := tree.CheckName(n.Name); err != nil {
		rs.fail(path, err)
		return nil
	}
	if rs.opts.Delete {
		dir.wanted = append(dir.wanted, n.Name)
	}
	selected, below := rs.selects(path, n.Type == tree.TypeDir)
	switch {
	case n.Type == tree.TypeDir:
		if selected || below {
			return rs.enterDir(dir, n, path, selected, below)
		}
	case !selected || n.Type == tree.TypeSocket:
	case n.Type == tree.TypeFile:
		rs.enterFile(dir, n, path)
	case n.Type == tree.TypeSymlink, n.Type == tree.TypeDevice, n.Type == tree.TypeCharDevice, n.Type == tree.TypeFifo:
		rs.found(path, 0)
		rs.use(dir)
		rs.seg.specials = append(rs.seg.specials, special{dir: dir, node: n})
	default:
		rs.fail(path, fmt.Errorf("items of type %q can't be restored", n.Type))
	}
	return nil
}

func (rs *restorer) selects(path string, dir bool) (selected, below bool) {
	if rs.opts.Select == nil {
		return true, true
	}
	return rs.opts.Select(path, dir)
}

// enterDir walks a folder. One that is not selected itself is made only when
// something below it is restored, and gets its metadata all the same.
func (rs *restorer) enterDir(parent *directory, n *tree.Node, path string, selected, below bool) error {
	dir := &directory{parent: parent, name: n.Name, path: path, depth: parent.depth + 1, node: n, selected: selected}
	if selected {
		rs.found(path, 0)
		rs.use(dir)
	}
	if below {
		if n.Subtree.IsZero() {
			rs.fail(path, errors.New("folder without a tree"))
			dir.keepExtra = true
		} else if err := rs.walk(dir, n.Subtree); err != nil {
			return err
		}
	} else {
		dir.keepExtra = true
	}
	rs.seg.complete = append(rs.seg.complete, dir)
	return nil
}

// use marks a folder, and those above it, as needed.
func (rs *restorer) use(dir *directory) {
	for d := dir; d != nil && !d.used; d = d.parent {
		d.used = true
	}
}

func (rs *restorer) enterFile(dir *directory, n *tree.Node, path string) {
	if id := (linkID{n.DeviceID, n.Inode}); n.Links > 1 && n.Inode != 0 {
		if first, ok := rs.links[id]; ok {
			rs.found(path, 0)
			rs.use(dir)
			rs.seg.links = append(rs.seg.links, hardLink{dir: dir, node: n, first: first})
			return
		}
		rs.links[id] = linkTarget{dir, n.Name}
	}
	f := &file{dir: dir, node: n, path: path}
	if err := rs.locate(f); err != nil {
		rs.fail(path, err)
		return
	}
	rs.found(path, f.size)
	rs.use(dir)
	rs.seg.files = append(rs.seg.files, f)
	rs.seg.blobs += len(n.Content)
}
