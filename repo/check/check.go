// Package check looks for damage in a repository: whether the index, the
// packs and the snapshots fit together, and, if asked, whether every byte of
// the packs is what it was.
//
// [Run] returns a [Report] of typed [Problem] values. It repairs nothing; what
// can be mended is up to package repair. An error from Run means that the
// check itself could not be done.
package check

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// Options say how deep to look; nil checks everything but the packs' content.
type Options struct {
	// Filter says which snapshots' trees are walked.
	Filter snapshot.Filter
	// Names, if there are any, are the snapshots whose trees are walked: IDs,
	// the beginnings of IDs, or "latest", the newest that passes Filter. One
	// that is not there is a problem.
	Names []string
	// SelectPacks, if not nil, chooses from all packs those that are read
	// whole. See AllPacks, PackGroup and RandomPacks.
	SelectPacks func(packs []Pack) []Pack
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// Observer is told of a check's progress. Its functions may be nil; Problem
// and Done are called from several goroutines, but one at a time.
type Observer struct {
	// Phase is called when a part of the check begins. total is the number
	// of Done calls to expect, or 0 if that is not known.
	Phase func(p Phase, total int)
	// Done is called for each snapshot or pack that was looked at.
	Done func(p Phase)
	// Problem is called as soon as a problem is found.
	Problem func(Problem)
}

// Phase is a part of a check.
type Phase uint8

const (
	PhaseIndex     Phase = iota // index files are loaded
	PhasePacks                  // packs are listed and compared with the index
	PhaseSnapshots              // trees of all snapshots are walked
	PhaseData                   // packs are read
)

// Kind classifies a problem.
type Kind uint8

const (
	// Errors: something is lost or wrong.
	DamagedIndex    Kind = iota + 1 // an index file can't be read
	ConflictIndex                   // a pack that index files list in different ways
	MissingPack                     // a pack that the index lists is not there
	WrongPackSize                   // a pack is shorter or longer than the index says
	DamagedPack                     // a pack's content is not what its name or header says
	UnreadablePack                  // a pack that the storage does not give in full
	DamagedSnapshot                 // a snapshot file can't be read
	DamagedTree                     // a tree is missing or can't be read
	InvalidNode                     // an item in a tree is not as it must be
	MissingBlob                     // a file's content is in no pack
	MissingSnapshot                 // a snapshot that was asked for is not there

	// Hints: nothing is lost, but something may be done.
	UnindexedPack  Kind = iota + 64 // a pack that no index file lists
	DuplicateIndex                  // a pack that several index files list
	MixedPack                       // a pack with both data and trees
)

// Hint reports whether the repository is sound in spite of the problem.
func (k Kind) Hint() bool { return k >= 64 }

// Problem is something that is not as it should be.
type Problem struct {
	Kind Kind
	// What the problem is about, as far as it applies:
	File     backend.Handle   // a file of the repository
	Blob     index.BlobHandle // a blob; zero ID if none
	Snapshot crypto.ID        // one of the snapshots that it affects
	Path     string           // in that snapshot
	Err      error            // what was found
}

// Error returns the problem in one line.
func (p Problem) Error() string {
	s := ""
	if !p.Snapshot.IsZero() {
		s = "snapshot " + p.Snapshot.Short() + ": "
	}
	if p.Path != "" {
		s += p.Path + ": "
	}
	return s + p.Err.Error()
}

// Unwrap returns what was found.
func (p Problem) Unwrap() error { return p.Err }

// Report is the result of a check.
type Report struct {
	Problems []Problem
	// Errors and Hints count the problems of either sort.
	Errors, Hints int

	Snapshots int   // checked
	Trees     int   // read
	Packs     int   // in the repository
	PacksRead int   // whole
	BytesRead int64 // of those
}

// BrokenPacks returns the packs whose content is damaged, in order. Those that
// index files disagree about are among them, as nobody knows what is in them;
// a repair of the index may find out.
func (r *Report) BrokenPacks() []crypto.ID {
	seen := make(map[crypto.ID]bool)
	var ids []crypto.ID
	for _, p := range r.Problems {
		if p.Kind != DamagedPack && p.Kind != WrongPackSize && p.Kind != ConflictIndex {
			continue
		}
		if id, err := crypto.ParseID(p.File.Name); err == nil && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].Compare(ids[j]) < 0 })
	return ids
}

// Has reports whether a problem of one of the kinds was found.
func (r *Report) Has(kinds ...Kind) bool {
	for _, p := range r.Problems {
		for _, k := range kinds {
			if p.Kind == k {
				return true
			}
		}
	}
	return false
}

// checker is the state of one Run.
type checker struct {
	repo *repo.Repo
	opts *Options

	unread []Problem // snapshots that can't be read; they count when their turn comes

	buffers chan *packBuffers // that are free; set by checkData

	mu     sync.Mutex
	report Report // owned by mu while several goroutines work
}

// Run checks the repository. It loads the index itself; if that is damaged, it
// looks no further. Nothing else should change the repository meanwhile, so
// the caller holds an exclusive lock, or knows that problems may be of passing
// nature.
func Run(ctx context.Context, r *repo.Repo, opts *Options) (*Report, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := &checker{repo: r, opts: opts}
	// Snapshots are listed before the index is loaded: one that is saved
	// meanwhile may need index files that were not there yet.
	snapshots, err := c.loadSnapshots(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.checkIndex(ctx); err != nil {
		return nil, err
	}
	if c.report.Has(DamagedIndex) {
		return &c.report, nil // much would seem to be missing
	}
	packs, err := c.checkPacks(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.checkTrees(ctx, snapshots); err != nil {
		return nil, err
	}
	if opts.SelectPacks != nil {
		if err := c.checkData(ctx, opts.SelectPacks(packs)); err != nil {
			return nil, err
		}
	}
	return &c.report, nil
}

func (c *checker) found(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Problems = append(c.report.Problems, p)
	if p.Kind.Hint() {
		c.report.Hints++
	} else {
		c.report.Errors++
	}
	if o := c.opts.Observer; o != nil && o.Problem != nil {
		o.Problem(p)
	}
}

func (c *checker) phase(p Phase, total int) {
	if o := c.opts.Observer; o != nil && o.Phase != nil {
		o.Phase(p, total)
	}
}

func (c *checker) done(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.opts.Observer; o != nil && o.Done != nil {
		o.Done(p)
	}
}

// loadSnapshots returns the snapshots that are to be checked. Damaged ones
// are problems.
func (c *checker) loadSnapshots(ctx context.Context) ([]*snapshot.Snapshot, error) {
	if len(c.opts.Names) > 0 {
		return c.namedSnapshots(ctx)
	}
	var list []*snapshot.Snapshot
	for sn, err := range c.repo.AllSnapshots(ctx) {
		switch {
		case err == nil:
			if c.opts.Filter.Match(sn) {
				list = append(list, sn)
			}
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case sn == nil:
			return nil, err // could not be listed
		default:
			h := backend.Handle{Type: backend.SnapshotFile, Name: sn.ID.String()}
			c.unread = append(c.unread, Problem{Kind: DamagedSnapshot, File: h, Err: err})
		}
	}
	return list, nil
}

// namedSnapshots returns each snapshot that was asked for once.
func (c *checker) namedSnapshots(ctx context.Context) ([]*snapshot.Snapshot, error) {
	var list []*snapshot.Snapshot
	seen := make(map[crypto.ID]bool)
	for _, name := range c.opts.Names {
		sn, _, err := c.repo.FindSnapshot(ctx, name, c.opts.Filter)
		switch corrupt := (*repo.CorruptError)(nil); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &corrupt):
			c.unread = append(c.unread, Problem{Kind: DamagedSnapshot, File: corrupt.Handle, Err: err})
		case err != nil:
			c.unread = append(c.unread, Problem{Kind: MissingSnapshot, Err: fmt.Errorf("snapshot %q: %w", name, err)})
		case !seen[sn.ID]:
			seen[sn.ID] = true
			list = append(list, sn)
		}
	}
	return list, nil
}

// checkIndex loads all index files. Those that can't be read are problems.
func (c *checker) checkIndex(ctx context.Context) error {
	c.phase(PhaseIndex, 0)
	again := make(map[crypto.ID]bool) // packs listed more than once; false: in different ways
	damaged, err := c.repo.LoadIndexFiles(ctx, func(_, pack crypto.ID, same bool) {
		before, known := again[pack]
		again[pack] = same && (before || !known)
	})
	if err != nil {
		return err
	}
	for pack, same := range again {
		p := Problem{Kind: DuplicateIndex, File: packHandle(pack), Err: fmt.Errorf("pack %s is in several index files", pack.Short())}
		if !same {
			p.Kind, p.Err = ConflictIndex, fmt.Errorf("pack %s is in several index files, which do not list the same blobs", pack)
		}
		c.found(p)
	}
	for _, d := range damaged {
		c.found(Problem{Kind: DamagedIndex, File: d.Handle, Err: d})
	}
	return nil
}
