package prune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// DefaultGrace is how old marks should be before packs are swept.
const DefaultGrace = 24 * time.Hour

// Mark is the first phase of a prune that does not lock others out, as its
// result stands in the repository: packs that held nothing in use that is not
// in another pack, too, and packs that no index listed. It is a hint of what
// to look at; [NewSweep] decides anew.
type Mark struct {
	ID      crypto.ID // of the file
	Time    time.Time
	Packs   []crypto.ID
	Orphans []crypto.ID // packs that no index listed; a backup that ran then may have listed them since
	// Err says why the file can't be read. Such a mark marks nothing.
	Err error
}

// Due reports whether the grace time is over. It is for a mark that can't be
// read, which nobody has to wait for.
func (m *Mark) Due(now time.Time, grace time.Duration) bool {
	return m.Err != nil || now.Sub(m.Time) >= grace
}

// markFile is what is stored of a Mark.
type markFile struct {
	Kind    string      `json:"kind"`
	Version int         `json:"version"`
	Time    time.Time   `json:"time"`
	Packs   []crypto.ID `json:"packs"`
	Orphans []crypto.ID `json:"orphans"`
}

const (
	markKind    = "prune-mark"
	markVersion = 1
)

// ErrNoMarks means that the storage has no place for marks.
var ErrNoMarks = errors.New("this storage takes no files but those of a repository, so it can't keep the marks of a two-phase prune: use prune without --two-phase")

// Mark is the other way to carry a plan out, for which a shared lock is
// enough, held from before NewPlan on. It packs anew what the plan says and
// stores a Mark of the packs that are then no longer needed. It deletes
// nothing. If there is nothing to mark, nothing is stored and the result is
// nil.
func (p *Plan) Mark(ctx context.Context, now time.Time) (*Mark, error) {
	if p.opts.UnsafeRecovery {
		return nil, errors.New("recovery from a full storage deletes at once, it can't be done in two phases")
	}
	m := &Mark{Time: now.UTC().Truncate(time.Second), Orphans: p.orphan}
	for n := range p.packs {
		if p.remove.Has(n) && p.packs[n].size > 0 {
			m.Packs = append(m.Packs, p.view.PackID(n))
		}
	}
	if len(m.Packs)+len(m.Orphans) == 0 {
		return nil, nil
	}
	if err := p.repackAll(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(m.Packs, crypto.ID.Compare)
	b, err := json.Marshal(markFile{markKind, markVersion, m.Time, m.Packs, m.Orphans})
	if err != nil {
		return nil, err
	}
	if m.ID, err = p.repo.SaveUnpacked(ctx, backend.ExtensionFile, b); errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("%w (%w)", ErrNoMarks, err)
	}
	return m, err
}

// Marks returns the marks in the repository, oldest first. Files of other
// kinds and versions are passed over.
func Marks(ctx context.Context, r *repo.Repo) ([]*Mark, error) {
	ids, err := list(ctx, r, backend.ExtensionFile)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("%w (%w)", ErrNoMarks, err)
	}
	if err != nil {
		return nil, err
	}
	var marks []*Mark
	for _, id := range ids {
		b, err := r.LoadUnpacked(ctx, backend.ExtensionFile, id)
		var corrupt *repo.CorruptError
		switch {
		case errors.Is(err, backend.ErrNotExist):
		case errors.As(err, &corrupt):
			marks = append(marks, &Mark{ID: id, Err: err})
		case err != nil:
			return nil, err
		default:
			if m := decodeMark(b); m != nil {
				m.ID = id
				marks = append(marks, m)
			}
		}
	}
	slices.SortFunc(marks, func(a, b *Mark) int { return a.Time.Compare(b.Time) })
	return marks, nil
}

// decodeMark returns nil for a file of another kind or version.
func decodeMark(b []byte) *Mark {
	var f markFile
	if err := json.Unmarshal(b, &f); err != nil || f.Kind != markKind || f.Version != markVersion {
		return nil
	}
	return &Mark{Time: f.Time, Packs: f.Packs, Orphans: f.Orphans}
}

func removeMarks(ctx context.Context, r *repo.Repo, marks []*Mark) error {
	for _, m := range marks {
		if err := r.Remove(ctx, backend.ExtensionFile, m.ID); err != nil && !errors.Is(err, backend.ErrNotExist) {
			return err
		}
	}
	return nil
}
