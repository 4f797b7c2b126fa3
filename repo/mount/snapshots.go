package mount

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// snapshots is the part of a View above the content of snapshots.
type snapshots struct {
	root atomic.Pointer[topNode] // replaced as a whole

	mu      sync.Mutex                       // held by who lists snapshots
	checked time.Time                        // when that was; owned by mu
	stale   bool                             // the index must be read again: owned by mu
	known   map[crypto.ID]*snapshot.Snapshot // all that are there and could be read; owned by mu
	failed  map[crypto.ID]struct{}           // those that could not, told already; owned by mu
}

// loadTop is the first refresh: here errors count.
func (v *View) loadTop(ctx context.Context) error {
	v.top.mu.Lock()
	defer v.top.mu.Unlock()
	v.top.known = make(map[crypto.ID]*snapshot.Snapshot)
	v.top.failed = make(map[crypto.ID]struct{})
	if _, err := v.listSnapshots(ctx); err != nil {
		return err
	}
	if err := v.repo.LoadIndex(ctx); err != nil {
		return err
	}
	v.publish()
	return nil
}

// current returns the root, after looking for new snapshots if it is time. If
// that fails, the old state stays until the next time.
func (v *View) current(ctx context.Context) *topNode {
	if v.opts.Refresh < 0 {
		return v.top.root.Load()
	}
	v.top.mu.Lock()
	defer v.top.mu.Unlock()
	if v.opts.Now().Sub(v.top.checked) >= v.opts.Refresh && v.ctx.Err() == nil {
		// A reader that gives up must not spoil it for the others.
		if err := v.refresh(v.ctx); err != nil && v.ctx.Err() == nil {
			v.opts.Report(fmt.Errorf("look for new snapshots: %w", err))
		}
	}
	return v.top.root.Load()
}

// refresh reads what is new: snapshots first, then the index, as a snapshot
// that appears later may need an index that is not there yet. The caller holds
// v.top.mu.
func (v *View) refresh(ctx context.Context) error {
	changed, err := v.listSnapshots(ctx)
	if err != nil {
		return err
	}
	if changed || v.top.stale {
		// What index files that are gone listed stays known: if its packs are
		// gone too, reading fails.
		_, err = v.repo.UpdateIndex(ctx)
		v.top.stale = err != nil
	}
	if changed {
		v.publish()
	}
	return err
}

// publish shows the known snapshots. The caller holds v.top.mu.
func (v *View) publish() {
	var list []*snapshot.Snapshot
	for _, sn := range v.top.known {
		if v.opts.Filter.Match(sn) {
			list = append(list, sn)
		}
	}
	snapshot.SortOldestFirst(list)
	v.top.root.Store(v.buildTop(list))
}

// listSnapshots brings v.top.known up to date and reports whether that changed
// it. The caller holds v.top.mu.
func (v *View) listSnapshots(ctx context.Context) (changed bool, err error) {
	v.top.checked = v.opts.Now()
	found := make(map[crypto.ID]struct{})
	var unknown []crypto.ID
	for fi, err := range v.repo.List(ctx, backend.SnapshotFile) {
		if err != nil {
			return false, err
		}
		found[fi.ID] = struct{}{}
		if v.top.known[fi.ID] == nil {
			unknown = append(unknown, fi.ID)
		}
	}
	for id := range v.top.known {
		if _, ok := found[id]; !ok {
			delete(v.top.known, id)
			changed = true
		}
	}
	for id, l := range v.loadSnapshots(ctx, unknown) {
		switch {
		case l.err == nil:
			v.top.known[id] = l.sn
			changed = true
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case errors.Is(l.err, backend.ErrNotExist): // forgotten meanwhile
		default:
			if _, told := v.top.failed[id]; !told {
				v.top.failed[id] = struct{}{}
				v.opts.Report(fmt.Errorf("snapshot %s: %w", id.Short(), l.err))
			}
		}
	}
	return changed, nil
}

type loadedSnapshot struct {
	sn  *snapshot.Snapshot
	err error
}

// loadSnapshots loads several snapshots at the same time.
func (v *View) loadSnapshots(ctx context.Context, ids []crypto.ID) map[crypto.ID]loadedSnapshot {
	const atOnce = 8 // they are tiny: it is the latency that counts
	results := make(map[crypto.ID]loadedSnapshot, len(ids))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			sn, err := v.repo.LoadSnapshot(ctx, id)
			mu.Lock()
			results[id] = loadedSnapshot{sn, err}
			mu.Unlock()
			<-slots
		})
	}
	wg.Wait()
	return results
}

// find returns what is at a path, or nil.
func (n *topNode) find(p string) *topNode {
	for p != "" && n != nil {
		var name string
		name, p, _ = strings.Cut(p, "/")
		n = n.children[name]
	}
	return n
}
