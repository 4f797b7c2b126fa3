// Package prune removes from a repository what no snapshot needs. [NewPlan]
// looks at everything and decides, [Plan.Apply] acts. Packs that hold nothing
// in use are deleted; of those that are used in part, as many as the options
// ask for are packed anew.
//
// The caller of Apply holds an exclusive lock from before NewPlan on. The
// alternative for repositories that many hosts share is [Mark] and [Sweep],
// which need an exclusive lock for moments only; docs/two-phase-prune.md says
// why that is safe.
//
// # Order of steps
//
// Apply deletes packs that no index lists, then writes the new packs and the
// index files that list them, then index files without the packs that go;
// then it deletes the old index files, and last the packs. A crash leaves
// blobs that are stored twice or packs that no index lists, both of which the
// next prune removes, and never an index entry without its pack.
package prune

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

// Options say what is worth packing anew; nil is the default.
type Options struct {
	// MaxUnused is how much unused data may stay in packs that are used in
	// part. Zero is five percent.
	MaxUnused Tolerance
	// MaxRepack is up to how many bytes are packed anew: zero is no limit,
	// NoRepack nothing.
	MaxRepack int64
	// CacheableOnly packs anew no packs but those with trees, which a cache
	// holds.
	CacheableOnly bool
	// Uncompressed packs anew all data that is not compressed, not only all
	// trees. The repository must be of version 2.
	Uncompressed bool
	// SmallerThan is the size in bytes below which packs are packed anew
	// though they are used in full; zero is four fifths of what most packs
	// of the repository have. Fewer than ten such packs stay as they are.
	SmallerThan int64
	// UnsafeRecovery is for a storage so full that not even an index file
	// can be written: index files are deleted first. A crash then leaves a
	// repository that needs its index repaired. It implies NoRepack.
	UnsafeRecovery bool
	// Ignore are snapshots that no longer count, though a storage may still
	// list them.
	Ignore []crypto.ID
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// NoRepack is the MaxRepack of those who only want to delete.
const NoRepack = -1

// ErrUncompressedVersion means that Options.Uncompressed is set for a
// repository whose version has no compression.
var ErrUncompressedVersion = errors.New("compression requires repository format version 2: run `migrate upgrade_repo_v2` first")

// ErrStale means that the repository is no longer as it was when the plan was
// made.
var ErrStale = errors.New("the repository has changed since the plan was made")

// Observer is told of progress. Its functions may be nil; they are called
// from several goroutines, but one at a time.
type Observer struct {
	// Phase is called when a part begins; total is the number of Done calls
	// to expect, or 0 if that is not known.
	Phase func(p Phase, total int)
	// Done is called for each item of a phase.
	Done func(p Phase)
	// Warn is told what was left undone without harm, like a pack that could
	// not be deleted.
	Warn func(err error)
}

// Phase is a part of the work.
type Phase uint8

const (
	PhaseSnapshots Phase = iota // snapshots are loaded
	PhaseIndex                  // the index is loaded
	PhaseMark                   // trees are walked, counted in snapshots
	PhasePacks                  // packs are listed and sorted out
	PhaseOrphans                // packs that no index lists are deleted
	PhaseRepack                 // packs are packed anew
	PhaseRewrite                // index files are replaced
	PhaseDelete                 // packs are deleted
)

// Tolerance is how much unused data may stay.
type Tolerance struct {
	kind  toleranceKind
	value float64
}

type toleranceKind uint8

const (
	tolerateDefault toleranceKind = iota
	toleratePercent
	tolerateBytes
	tolerateAll
)

// defaultUnused is how much unused data may stay by default, in percent.
const defaultUnused = 5

// UnusedPercent tolerates a share of the size after pruning, from 0 to below
// 100.
func UnusedPercent(p float64) Tolerance { return Tolerance{toleratePercent, p} }

// UnusedBytes tolerates so many bytes.
func UnusedBytes(n int64) Tolerance { return Tolerance{tolerateBytes, float64(n)} }

// UnusedUnlimited tolerates everything: no pack is packed anew for its unused
// data.
func UnusedUnlimited() Tolerance { return Tolerance{kind: tolerateAll} }

// ParseTolerance reads "unlimited", a percentage like "5%" or "2.5%", or a
// size, which parseSize understands.
func ParseTolerance(s string, parseSize func(string) (int64, error)) (Tolerance, error) {
	s = strings.TrimSpace(s)
	if s == "unlimited" {
		return UnusedUnlimited(), nil
	}
	if number, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(number, 64)
		switch {
		case err != nil:
			return Tolerance{}, fmt.Errorf("invalid percentage %q", s)
		case p != p || p < 0:
			return Tolerance{}, errors.New("percentage must be positive")
		case p >= 100:
			return Tolerance{}, errors.New("percentage must be below 100%")
		}
		return UnusedPercent(p), nil
	}
	n, err := parseSize(s)
	if err != nil || n < 0 {
		return Tolerance{}, fmt.Errorf("invalid value %q: want a percentage like 5%%, a size like 2G, or unlimited", s)
	}
	return UnusedBytes(n), nil
}

// bytes returns how many unused bytes may stay beside used bytes.
func (t Tolerance) bytes(used int64) float64 {
	switch t.kind {
	case tolerateDefault:
		return UnusedPercent(defaultUnused).bytes(used)
	case toleratePercent:
		return float64(used) * t.value / (100 - t.value)
	case tolerateBytes:
		return t.value
	}
	return float64(1<<63 - 1)
}

func (o *Options) check(r *repo.Repo) error {
	if o.Uncompressed && r.Config().Version < 2 {
		return ErrUncompressedVersion
	}
	if limit := int64(repo.MaxPackSize); o.SmallerThan > limit {
		return fmt.Errorf("packs of up to %d bytes can't be aimed at: the limit is %d", o.SmallerThan, limit)
	}
	return nil
}

// observed calls an Observer's functions in turn.
type observed struct {
	o  *Observer
	mu sync.Mutex
}

func observe(o *Observer) *observed {
	if o == nil {
		o = &Observer{}
	}
	return &observed{o: o}
}

func (w *observed) phase(p Phase, total int) {
	if w.o.Phase != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.o.Phase(p, total)
	}
}

func (w *observed) done(p Phase) {
	if w.o.Done != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.o.Done(p)
	}
}

func (w *observed) warn(err error) {
	if w.o.Warn != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.o.Warn(err)
	}
}

// stored returns how many bytes of its pack are there for a blob.
func stored(b index.Blob) int64 { return int64(b.Length) + int64(pack.EntrySize(b)) }

// list returns the IDs that a repository lists.
func list(ctx context.Context, r *repo.Repo, t backend.FileType) (ids []crypto.ID, err error) {
	for fi, err := range r.List(ctx, t) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, fi.ID)
	}
	return ids, nil
}
