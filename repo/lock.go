package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// LockMode says what else may happen while a lock is held.
type LockMode uint8

const (
	// SharedLock allows other shared locks: reading, and adding files.
	SharedLock LockMode = iota
	// ExclusiveLock allows no other lock: deleting and rewriting files.
	ExclusiveLock
)

// LockInfo is the content of a lock file.
type LockInfo struct {
	Time      time.Time `json:"time"` // of the lock or its last refresh
	Exclusive bool      `json:"exclusive"`
	Hostname  string    `json:"hostname"`
	Username  string    `json:"username"`
	PID       int       `json:"pid"`
	UID       uint32    `json:"uid,omitempty"`
	GID       uint32    `json:"gid,omitempty"`
}

// LockOptions say how to wait for a lock; nil means not at all.
type LockOptions struct {
	// Retry is how long to go on trying while another lock is in the way.
	Retry time.Duration
	// Early lets the operation begin before it is certain that nobody else
	// took an exclusive lock at the same moment, which is looked at once more
	// after a fifth of a second, unless the storage shows it at once. If somebody did, the operation ends with a
	// [*LockedError] then. It is for operations that only read, and does not
	// go with Retry.
	Early bool
	// Waiting, if set, is called before each wait.
	Waiting func(locked *LockedError, wait time.Duration)
}

// lockTiming are the times of the lock protocol. All programs that share a
// repository must agree on them.
type lockTiming struct {
	settle     time.Duration   // between writing a lock and looking again
	refresh    time.Duration   // age at which an own lock is renewed
	watch      time.Duration   // how often an own lock is looked at
	verify     time.Duration   // for how long such a look is trusted
	expire     time.Duration   // age at which a lock no longer protects: 1.5 refreshes before others call it stale
	stale      time.Duration   // age at which others may remove a lock
	unreadable []time.Duration // waits before a lock that can't be read is looked at again
	firstRetry time.Duration
	lastRetry  time.Duration
	hang       time.Duration // how long an expired lock may be found unrefreshed before it counts as lost
	release    time.Duration // grace for removing a lock after cancellation
}

func defaultLockTiming() lockTiming {
	return lockTiming{
		settle:     200 * time.Millisecond,
		refresh:    5 * time.Minute,
		watch:      time.Minute,
		verify:     10 * time.Second,
		expire:     22*time.Minute + 30*time.Second,
		stale:      30 * time.Minute,
		unreadable: []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second},
		firstRetry: 5 * time.Second,
		lastRetry:  time.Minute,
		hang:       2 * time.Minute,
		release:    time.Minute,
	}
}

// Lock is a lock file of the repository. If it can't be read, Err says why
// and Info is empty.
type Lock struct {
	ID   crypto.ID
	Info LockInfo
	Err  error
}

// Locks yields all locks. One that vanishes meanwhile is left out; an error
// in the sequence means that the locks could not be listed.
func (r *Repo) Locks(ctx context.Context) iter.Seq2[Lock, error] {
	return func(yield func(Lock, error) bool) {
		for fi, err := range r.List(ctx, backend.LockFile) {
			if err != nil {
				yield(Lock{}, err)
				return
			}
			l := Lock{ID: fi.ID}
			l.Info, l.Err = r.loadLock(ctx, fi.ID)
			if errors.Is(l.Err, backend.ErrNotExist) {
				continue
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (r *Repo) loadLock(ctx context.Context, id crypto.ID) (LockInfo, error) {
	b, err := r.LoadUnpacked(ctx, backend.LockFile, id)
	if err != nil {
		return LockInfo{}, err
	}
	var info LockInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return LockInfo{}, &CorruptError{Handle: fileHandle(backend.LockFile, id), Err: err}
	}
	return info, nil
}

// WithLock runs fn while it holds a lock. The context that fn gets ends when
// the lock is lost; its cause is then [ErrLockLost], which WithLock returns.
// The lock is removed when fn returns, also if ctx is done by then.
func (r *Repo) WithLock(ctx context.Context, mode LockMode, opts *LockOptions, fn func(ctx context.Context) error) (err error) {
	held, err := r.acquire(ctx, mode, opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	held.onLoss(cancel)
	var watchers sync.WaitGroup
	watchers.Go(func() { held.watch(ctx) })
	watchers.Go(func() { held.watchExpiry(ctx) })
	if !held.settled {
		watchers.Go(func() { held.settle(ctx) })
	}
	defer func() {
		cancel(nil)
		watchers.Wait()
		if rerr := held.release(context.WithoutCancel(ctx)); err == nil {
			err = rerr
		}
		// A loss that fn did not notice counts all the same: others may have
		// changed what it went by.
		if lost := held.loss(); lost != nil {
			err = lost
		}
	}()
	return fn(ctx)
}

// acquire takes a lock, and tries again for as long as opts allow.
func (r *Repo) acquire(ctx context.Context, mode LockMode, opts *LockOptions) (*heldLock, error) {
	if opts == nil {
		opts = &LockOptions{}
	}
	start := r.now()
	wait := min(r.timing.firstRetry, opts.Retry)
	for {
		held, err := r.tryAcquire(ctx, mode, opts.Early && mode == SharedLock && opts.Retry == 0)
		var locked *LockedError
		if !errors.As(err, &locked) {
			return held, err
		}
		left := opts.Retry - r.now().Sub(start)
		if left <= 0 {
			return nil, err
		}
		wait = min(wait, left)
		if opts.Waiting != nil {
			opts.Waiting(locked, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, r.timing.lastRetry)
	}
}

// tryAcquire looks for conflicting locks, writes its own, and looks again:
// of two processes that write at the same time at least one sees the other,
// and gives way. Before the second look there is time for both locks to become
// visible. Where lists are coherent they are at once: whoever writes later sees
// the other. An early lock is looked at without that time, and by settle again.
func (r *Repo) tryAcquire(ctx context.Context, mode LockMode, early bool) (*heldLock, error) {
	r.lockMu.Lock()
	defer r.lockMu.Unlock()
	if r.held != nil {
		return nil, errors.New("the repository is locked by this very operation")
	}
	if err := r.checkConflicts(ctx, mode, crypto.ID{}); err != nil {
		return nil, err
	}
	coherent := backend.ListsCoherently(r.be)
	held := &heldLock{repo: r, mode: mode, settled: coherent || !early}
	id, refreshed, err := r.writeLock(ctx, mode)
	if err != nil {
		return nil, err
	}
	held.setRefreshed(id, refreshed)
	if !early && !coherent {
		err = sleep(ctx, r.timing.settle)
	}
	if err == nil {
		err = r.checkConflicts(ctx, mode, held.id)
	}
	if err != nil {
		held.removeFile(context.WithoutCancel(ctx))
		return nil, err
	}
	r.held = held
	return held, nil
}

func (r *Repo) writeLock(ctx context.Context, mode LockMode) (crypto.ID, time.Time, error) {
	now := r.now()
	b, err := json.Marshal(LockInfo{
		Time: now, Exclusive: mode == ExclusiveLock,
		Hostname: r.identity.Hostname, Username: r.identity.Username,
		PID: r.identity.PID, UID: r.identity.UID, GID: r.identity.GID,
	})
	if err != nil {
		return crypto.ID{}, now, err
	}
	id, err := r.SaveUnpacked(ctx, backend.LockFile, b)
	if err != nil {
		return crypto.ID{}, now, fmt.Errorf("lock repository: %w", err)
	}
	return id, now.Round(0), nil // wall clock: the monotonic one stops in standby
}

// checkConflicts returns a *LockedError if a lock other than own excludes
// mode. A lock that can't be read may still be on its way to a slow storage,
// so it is looked at again after a while, and is an error in the end: it may
// be anybody's, also an exclusive one.
func (r *Repo) checkConflicts(ctx context.Context, mode LockMode, own crypto.ID) error {
	for attempt := 0; ; attempt++ {
		unreadable, err := r.findConflict(ctx, mode, own)
		if err != nil || unreadable == nil {
			return err
		}
		if attempt == len(r.timing.unreadable) {
			return unreadable
		}
		if err := sleep(ctx, r.timing.unreadable[attempt]); err != nil {
			return err
		}
	}
}

// findConflict looks through the locks, and again if one vanished between
// being listed and being read: its holder may have renewed it under another
// name, which the listing did not show.
func (r *Repo) findConflict(ctx context.Context, mode LockMode, own crypto.ID) (unreadable *InvalidLockError, err error) {
	for {
		unreadable, vanished, err := r.lookForConflict(ctx, mode, own)
		if err != nil || !vanished {
			return unreadable, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (r *Repo) lookForConflict(ctx context.Context, mode LockMode, own crypto.ID) (unreadable *InvalidLockError, vanished bool, err error) {
	for fi, err := range r.List(ctx, backend.LockFile) {
		if err != nil {
			return nil, false, err
		}
		if fi.ID == own {
			continue
		}
		info, err := r.loadLock(ctx, fi.ID)
		switch {
		case errors.Is(err, backend.ErrNotExist):
			vanished = true
		case err != nil && ctx.Err() != nil:
			return nil, false, ctx.Err()
		case err != nil:
			unreadable = &InvalidLockError{ID: fi.ID, Err: err}
		case mode == ExclusiveLock || info.Exclusive:
			return nil, false, &LockedError{ID: fi.ID, Lock: info}
		}
	}
	return unreadable, vanished, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isStale reports whether the holder of a lock is gone: its last refresh is
// too long ago, or it ran on this host and no longer does.
func (r *Repo) isStale(info LockInfo) bool {
	if r.now().Round(0).Sub(info.Time) > r.timing.stale {
		return true
	}
	return info.Hostname == r.identity.Hostname && !processExists(info.PID)
}

// RemoveStaleLocks deletes the locks whose holders are gone and returns how
// many. Locks that can't be read stay; the first of them is returned as an
// [*InvalidLockError] after the others are gone.
func (r *Repo) RemoveStaleLocks(ctx context.Context) (removed int, err error) {
	var unreadable error
	for l, err := range r.Locks(ctx) {
		if err != nil {
			return removed, err
		}
		if l.Err != nil {
			unreadable = &InvalidLockError{ID: l.ID, Err: l.Err}
			continue
		}
		if !r.isStale(l.Info) {
			continue
		}
		if err := r.removeLockFile(ctx, l.ID); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, unreadable
}

// RemoveAllLocks deletes every lock without reading it, also those of
// processes that are running: they stop when they notice.
func (r *Repo) RemoveAllLocks(ctx context.Context) (removed int, err error) {
	for fi, err := range r.be.List(ctx, backend.LockFile) {
		if err != nil {
			return removed, fmt.Errorf("list locks: %w", err)
		}
		id, err := crypto.ParseID(fi.Name)
		if err != nil {
			continue
		}
		if err := r.removeLockFile(ctx, id); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// removeLockFile treats a lock that is gone already as removed.
func (r *Repo) removeLockFile(ctx context.Context, id crypto.ID) error {
	err := r.be.Remove(ctx, fileHandle(backend.LockFile, id))
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		return fmt.Errorf("remove lock %s: %w", id.Short(), err)
	}
	return nil
}
