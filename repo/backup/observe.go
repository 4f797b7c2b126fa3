package backup

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// Observer is told of a backup's progress. Its functions may be nil; they are
// called from several goroutines at the same time.
type Observer struct {
	// Start is called before a file is read.
	Start func(path string)
	// Done is called after a file for which Start was called was read, or
	// failed.
	Done func(path string)
	// Progress is called after a part of a file's content was processed,
	// with the number of its bytes, and after an item with bytes zero.
	Progress func(files, dirs int, bytes int64)
	// Item is called for each file and folder that was saved.
	Item func(Item)
	// Error is called for each item that is left out, or saved incompletely.
	// The backup goes on.
	Error func(path string, err error)
}

// Action tells how an item compares with the parent snapshot.
type Action uint8

const (
	New Action = iota
	Changed
	Unmodified
)

// Item is a file or folder that was saved.
type Item struct {
	Path     string // in the snapshot, beginning with a slash
	Type     tree.NodeType
	Action   Action
	Duration time.Duration
	Added    Added
}

// Added counts what an item added to the repository: new blobs, the bytes of
// their content, and the bytes they take in packs.
type Added struct {
	DataBlobs, TreeBlobs int
	DataSize, DataStored int64
	TreeSize, TreeStored int64
}

func (s *Added) data(b repo.SavedBlob, size int) {
	if b.New {
		s.DataBlobs++
		s.DataSize += int64(size)
		s.DataStored += int64(b.Stored)
	}
}

func (s *Added) tree(b repo.SavedBlob, size int64) {
	if b.New {
		s.TreeBlobs++
		s.TreeSize += size
		s.TreeStored += int64(b.Stored)
	}
}

// stats are the totals of a backup, by Action where there are three.
type stats struct {
	files, dirs          [3]atomic.Int64
	bytes                atomic.Int64
	errors               atomic.Int64
	dataBlobs, treeBlobs atomic.Int64
	added, packed        atomic.Int64
}

func (s *stats) add(a Added) {
	s.dataBlobs.Add(int64(a.DataBlobs))
	s.treeBlobs.Add(int64(a.TreeBlobs))
	s.added.Add(a.DataSize + a.TreeSize)
	s.packed.Add(a.DataStored + a.TreeStored)
}

func (a *archiver) summary(start, end time.Time) *snapshot.Summary {
	s := &a.stats
	sum := &snapshot.Summary{
		BackupStart:         start,
		BackupEnd:           end,
		FilesNew:            uint(s.files[New].Load()),
		FilesChanged:        uint(s.files[Changed].Load()),
		FilesUnmodified:     uint(s.files[Unmodified].Load()),
		DirsNew:             uint(s.dirs[New].Load()),
		DirsChanged:         uint(s.dirs[Changed].Load()),
		DirsUnmodified:      uint(s.dirs[Unmodified].Load()),
		DataBlobs:           int(s.dataBlobs.Load()),
		TreeBlobs:           int(s.treeBlobs.Load()),
		DataAdded:           uint64(s.added.Load()),
		DataAddedPacked:     uint64(s.packed.Load()),
		TotalBytesProcessed: uint64(s.bytes.Load()),
	}
	sum.TotalFilesProcessed = sum.FilesNew + sum.FilesChanged + sum.FilesUnmodified
	return sum
}

// report tells of an item that is left out or incomplete. Items that vanished
// between being listed and being opened are nobody's fault and not reported.
func (a *archiver) report(path string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	a.stats.errors.Add(1)
	if o := a.opts.Observer; o != nil && o.Error != nil {
		o.Error(path, err)
	}
}

// saved counts an item and tells the observer.
func (a *archiver) saved(dir *dirPath, n *tree.Node, action Action, start time.Time, added Added) {
	files, dirs := 0, 0
	switch n.Type {
	case tree.TypeFile:
		a.stats.files[action].Add(1)
		files = 1
	case tree.TypeDir:
		a.stats.dirs[action].Add(1)
		dirs = 1
	}
	a.stats.add(added)
	o := a.opts.Observer
	if o == nil {
		return
	}
	if o.Progress != nil {
		o.Progress(files, dirs, 0)
	}
	if o.Item != nil {
		o.Item(Item{Path: dir.join(n.Name), Type: n.Type, Action: action, Duration: time.Since(start), Added: added})
	}
}

// processed counts bytes of files, read or known to be unchanged.
func (a *archiver) processed(n int64) {
	a.stats.bytes.Add(n)
	if o := a.opts.Observer; o != nil && o.Progress != nil {
		o.Progress(0, 0, n)
	}
}

// reading tells that a file is about to be read. The function it returns tells
// the end of that.
func (a *archiver) reading(dir *dirPath, name string) (done func()) {
	o := a.opts.Observer
	if o == nil || o.Start == nil && o.Done == nil {
		return func() {}
	}
	path := dir.join(name)
	if o.Start != nil {
		o.Start(path)
	}
	return func() {
		if o.Done != nil {
			o.Done(path)
		}
	}
}
