// Package stats counts what snapshots hold and what it takes to store them:
// files, blobs and bytes, in one of several ways of counting, see [Mode].
//
// Start with [Run]. It reads trees and the index, no content of files.
package stats

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
)

// Mode says what is counted.
type Mode uint8

const (
	// RestoreSize counts every item of every snapshot and the bytes that a
	// restore would write: names of one file within a snapshot count once.
	RestoreSize Mode = iota
	// FilesByContents counts items that differ in content, and their bytes;
	// all without content are one.
	FilesByContents
	// BlobsPerFile counts the blobs of files that differ in content, each
	// blob once for each path, and those paths.
	BlobsPerFile
	// RawData counts every blob that the snapshots need once, and the bytes
	// that it takes in the repository.
	RawData
)

func (m Mode) String() string {
	switch m {
	case RestoreSize:
		return "restore-size"
	case FilesByContents:
		return "files-by-contents"
	case BlobsPerFile:
		return "blobs-per-file"
	case RawData:
		return "raw-data"
	}
	return fmt.Sprintf("invalid(%d)", uint8(m))
}

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for m := RestoreSize; m <= RawData; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown counting mode %q, want restore-size, files-by-contents, blobs-per-file or raw-data", s)
}

// Totals is what was counted. Sizes are in bytes.
type Totals struct {
	Snapshots int
	Files     uint64 // items or paths, as the mode says; zero with RawData
	Blobs     uint64 // BlobsPerFile and RawData only
	Size      uint64

	// The rest is for RawData in repositories of format 2, where Size is
	// after compression. The sizes include what encryption adds.

	Uncompressed         uint64 // size of all blobs, were none compressed
	Compressed           uint64 // size of the compressed ones, as stored
	CompressedFrom       uint64 // their size before compression
	repositoryCompresses bool
}

// Compresses reports whether the members about compression mean anything.
func (t *Totals) Compresses() bool { return t.repositoryCompresses }

// Ratio returns by which factor the compressed blobs were larger; zero if
// there are none.
func (t *Totals) Ratio() float64 {
	if t.Compressed == 0 {
		return 0
	}
	return float64(t.CompressedFrom) / float64(t.Compressed)
}

// Progress returns how much of the data is in compressed blobs, in percent;
// zero if there is no data.
func (t *Totals) Progress() float64 {
	if t.Uncompressed == 0 {
		return 0
	}
	return float64(t.CompressedFrom) / float64(t.Uncompressed) * 100
}

// Saving returns how much less is stored than there is data, in percent; zero
// if there is no data.
func (t *Totals) Saving() float64 {
	if t.Uncompressed == 0 {
		return 0
	}
	return (1 - float64(t.Size)/float64(t.Uncompressed)) * 100
}

// Options say how Run counts; nil is the default.
type Options struct {
	Mode Mode // zero is RestoreSize
	// Observer is told what was counted so far.
	Observer *Observer
}

// Observer shows how far Run is, to be read at any time.
type Observer struct {
	Snapshots    atomic.Int64
	Files, Bytes atomic.Uint64
}

// Run counts what is in snapshots. Their order matters to BlobsPerFile only:
// a content counts at the path where it is seen first. The index must be
// loaded. A tree that can't be read ends the count.
func Run(ctx context.Context, r *repo.Repo, snapshots []*snapshot.Snapshot, opts *Options) (*Totals, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := &counter{repo: r, view: r.Index().View(), obs: opts.Observer}
	if c.obs == nil {
		c.obs = &Observer{}
	}
	roots := make([]crypto.ID, 0, len(snapshots))
	for _, sn := range snapshots {
		if sn.Tree == nil {
			return nil, fmt.Errorf("snapshot %s has no tree", sn.ID.Short())
		}
		roots = append(roots, *sn.Tree)
	}
	c.totals.Snapshots = len(roots)
	var err error
	switch opts.Mode {
	case RestoreSize:
		err = c.restoreSize(ctx, roots)
	case FilesByContents:
		err = c.filesByContents(ctx, roots)
	case BlobsPerFile:
		err = c.blobsPerFile(ctx, roots)
	case RawData:
		err = c.rawData(ctx, roots)
	default:
		err = errors.New("unknown counting mode " + opts.Mode.String())
	}
	if err != nil {
		return nil, err
	}
	return &c.totals, nil
}

// counter is one call of Run.
type counter struct {
	repo   *repo.Repo
	view   *index.View
	totals Totals
	obs    *Observer
}

// rawData counts blobs as they are stored.
func (c *counter) rawData(ctx context.Context, roots []crypto.ID) error {
	marker := c.repo.NewMarker()
	if err := marker.Mark(ctx, roots, func() { c.obs.Snapshots.Add(1) }); err != nil {
		return err
	}
	t := &c.totals
	t.repositoryCompresses = c.repo.Config().Version >= 2
	view, used := marker.Marks()
	for at := range view.Len() {
		if !used.Has(at) {
			continue
		}
		b := view.At(at)
		t.Blobs++
		t.Size += uint64(b.Length)
		if !t.repositoryCompresses {
			continue
		}
		plain := uint64(b.PlaintextLength() + crypto.Overhead)
		t.Uncompressed += plain
		if b.Compressed() {
			t.Compressed += uint64(b.Length)
			t.CompressedFrom += plain
		}
	}
	c.obs.Bytes.Store(t.Size)
	return nil
}
