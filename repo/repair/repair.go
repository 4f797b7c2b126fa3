// Package repair mends what is damaged in a repository, as far as what is
// left of it allows: [Index] makes the index files fit the packs, [Packs]
// saves what is whole in damaged packs, [PlanSnapshots] takes what is lost out
// of the snapshots, and [Recover] makes a snapshot of the folders that no
// snapshot has. Package check finds out what is to be done.
//
// Every function needs an exclusive lock. None of them leaves the repository
// worse than it was when it is interrupted: what is new is stored before what
// it replaces is removed, and what an index file says about a pack is given up
// only for what the pack itself says, or when the pack is gone.
package repair

import (
	"errors"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// Kind says what a Finding is.
type Kind uint8

const (
	DamagedIndex    Kind = iota + 1 // an index file that can't be read; it is removed
	MissingPack                     // a pack that is in the index and not there; it leaves the index
	UnindexedPack                   // a pack that is not in the index; it is entered
	ResizedPack                     // a pack of another size than the index says; it is entered anew
	ConflictingPack                 // a pack that index files disagree about; it is entered anew
	UnreadablePack                  // a pack whose header can't be read; what the index says of it stays
	LostBlob                        // a blob that can't be read from a damaged pack or anywhere else
	PackStays                       // a damaged pack that is in no index any more could not be removed
	LostContent                     // a file without a part of its content; the part is taken out
	WrongSize                       // a file whose size is not that of its content; it is corrected
	InvalidNode                     // an item without a type; it is left out
	LostTree                        // a folder that can't be read; it becomes empty
	LostRoot                        // a snapshot whose root can't be read; the snapshot is removed
	UnreadableTree                  // a folder that can't be read and is not recovered
)

// Finding is something that a repair came across. What it does about it is
// written at its Kind.
type Finding struct {
	Kind     Kind
	ID       crypto.ID        // of the index file or the pack, if it is about one
	Blob     index.BlobHandle // if it is about one
	Snapshot crypto.ID        // where Path is
	Path     string           // in a snapshot
	Err      error            // what is wrong; nil if Kind says it all
	Got      int64            // ResizedPack: the size in bytes of the file
	Want     int64            // ResizedPack: the size that the index says
}

// Phase is a part of a repair.
type Phase uint8

const (
	PhaseLoad    Phase = iota // index files are loaded
	PhaseList                 // packs are listed
	PhaseHeaders              // headers of packs are read
	PhaseIndex                // index files are written
	PhaseCopy                 // copies of damaged packs are made
	PhaseSalvage              // blobs of damaged packs are stored anew
	PhaseRemove               // damaged packs are removed
	PhaseTrees                // trees are read
)

// Observer is told of a repair's progress. Its functions may be nil, and are
// called one at a time.
type Observer struct {
	// Phase is called when a part begins. total is the number of Done calls
	// to expect, or 0 if that is not known.
	Phase func(p Phase, total int)
	// Done is called for each pack or tree.
	Done func()
	// Found is called for each finding.
	Found func(Finding)
}

// watcher calls an Observer, which may be nil, one call at a time.
type watcher struct {
	mu sync.Mutex
	o  Observer
}

func watch(o *Observer) *watcher {
	w := &watcher{}
	if o != nil {
		w.o = *o
	}
	return w
}

func (w *watcher) phase(p Phase, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o.Phase != nil {
		w.o.Phase(p, total)
	}
}

func (w *watcher) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o.Done != nil {
		w.o.Done()
	}
}

func (w *watcher) found(f Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o.Found != nil {
		w.o.Found(f)
	}
}

// isDamage reports whether err tells of damage or loss, as opposed to a
// storage that does not answer just now. What is given up for the latter
// might be there tomorrow.
func isDamage(err error) bool {
	return errors.As(err, new(*repo.CorruptError)) || errors.As(err, new(*repo.MissingBlobError)) ||
		errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrShortFile)
}
