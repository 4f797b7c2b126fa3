package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// SaveSnapshot stores a snapshot and returns its ID. Everything that it refers
// to must be durable by now. The lock of the operation is looked at just
// before: had another process removed it, it may be deleting what the
// snapshot needs.
func (r *Repo) SaveSnapshot(ctx context.Context, sn *snapshot.Snapshot) (crypto.ID, error) {
	b, err := sn.Encode()
	if err != nil {
		return crypto.ID{}, err
	}
	if err := r.guardLooking(ctx, true); err != nil {
		return crypto.ID{}, err
	}
	return r.SaveUnpacked(ctx, backend.SnapshotFile, b)
}

// LoadSnapshot returns a snapshot by its ID.
func (r *Repo) LoadSnapshot(ctx context.Context, id crypto.ID) (*snapshot.Snapshot, error) {
	b, err := r.LoadUnpacked(ctx, backend.SnapshotFile, id)
	if err != nil {
		return nil, err
	}
	sn, err := snapshot.Decode(b)
	if err != nil {
		return nil, &CorruptError{Handle: fileHandle(backend.SnapshotFile, id), Err: err}
	}
	sn.ID = id
	return sn, nil
}

// snapshotsAtOnce is how many snapshot files are loaded at the same time;
// they are tiny, so it is the latency that counts.
const snapshotsAtOnce = 8

// AllSnapshots yields every snapshot, in the order in which the backend lists
// them. One that can't be read comes as an error together with a Snapshot
// that has nothing but its ID; an error with nil means that the snapshots
// could not be listed, and is the last.
func (r *Repo) AllSnapshots(ctx context.Context) iter.Seq2[*snapshot.Snapshot, error] {
	return func(yield func(*snapshot.Snapshot, error) bool) {
		var ids []crypto.ID
		for fi, err := range r.List(ctx, backend.SnapshotFile) {
			if err != nil {
				yield(nil, err)
				return
			}
			ids = append(ids, fi.ID)
		}
		type loaded struct {
			sn  *snapshot.Snapshot
			err error
		}
		all := make([]loaded, len(ids))
		var g errgroup.Group
		g.SetLimit(snapshotsAtOnce)
		for i, id := range ids {
			g.Go(func() error {
				sn, err := r.LoadSnapshot(ctx, id)
				if err != nil {
					sn = &snapshot.Snapshot{ID: id}
				}
				all[i] = loaded{sn, err}
				return nil
			})
		}
		_ = g.Wait() // the functions return no errors
		for _, l := range all {
			if errors.Is(l.err, backend.ErrNotExist) {
				continue // forgotten meanwhile
			}
			if !yield(l.sn, l.err) {
				return
			}
		}
	}
}

// Snapshots returns the snapshots that a filter selects, oldest first. The
// second result are the errors of snapshots that could not be read, joined;
// an error of the backend comes alone with a nil list.
func (r *Repo) Snapshots(ctx context.Context, filter snapshot.Filter) ([]*snapshot.Snapshot, error) {
	var list []*snapshot.Snapshot
	var unreadable []error
	for sn, err := range r.AllSnapshots(ctx) {
		switch {
		case sn == nil:
			return nil, err
		case err != nil:
			unreadable = append(unreadable, fmt.Errorf("snapshot %s: %w", sn.ID.Short(), err))
		case filter.Match(sn):
			list = append(list, sn)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	snapshot.SortOldestFirst(list)
	return list, errors.Join(unreadable...)
}

// ErrNoSnapshot means that no snapshot passes the filter.
var ErrNoSnapshot = errors.New("no snapshot found")

// FindSnapshot returns the snapshot that spec names: "latest", the beginning
// of an ID, or an ID, each perhaps followed by a colon and the path of a
// folder. The filter applies to "latest" only. The second result is that
// path, empty if there is none.
func (r *Repo) FindSnapshot(ctx context.Context, spec string, filter snapshot.Filter) (*snapshot.Snapshot, string, error) {
	name, folder, _ := strings.Cut(spec, ":")
	if name != "latest" {
		id, err := r.FindID(ctx, backend.SnapshotFile, name)
		if err != nil {
			return nil, "", err
		}
		sn, err := r.LoadSnapshot(ctx, id)
		return sn, folder, err
	}
	list, err := r.Snapshots(ctx, filter)
	if len(list) == 0 {
		if err == nil {
			err = ErrNoSnapshot
		}
		return nil, "", err
	}
	return list[len(list)-1], folder, nil
}
