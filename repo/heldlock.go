package repo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// heldLock is the lock of a running operation. Its file is renewed under a
// new name from time to time, so that others can see that the holder lives.
type heldLock struct {
	repo    *Repo
	mode    LockMode
	settled bool // false: it has not been looked at after the settling time

	mu        sync.Mutex
	id        crypto.ID // of the lock file now; owned by mu
	refreshed time.Time // wall clock of the file's time; owned by mu
	verified  time.Time // when the file was last seen; owned by mu

	// lost is set once, to an error that wraps ErrLockLost or to the conflict
	// that settle found, and ends the operation then. It and refreshedAt can be read while mu is held for a
	// request to the storage, which may hang.
	lost        atomic.Pointer[error]
	cancel      context.CancelCauseFunc // of the operation; set before others use the lock
	refreshedAt atomic.Int64            // refreshed, Unix nanoseconds
}

// onLoss says what to cancel when the lock is lost.
func (l *heldLock) onLoss(cancel context.CancelCauseFunc) { l.cancel = cancel }

// lose ends the operation.
func (l *heldLock) lose(err error) error {
	l.lost.CompareAndSwap(nil, &err)
	if l.cancel != nil {
		l.cancel(l.loss())
	}
	return l.loss()
}

// loss returns why the lock is lost, or nil if it is not.
func (l *heldLock) loss() error {
	if err := l.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// setRefreshed notes the file that is the lock now. The caller holds mu, or
// is the only one who knows the lock.
func (l *heldLock) setRefreshed(id crypto.ID, when time.Time) {
	l.id, l.refreshed, l.verified = id, when, when
	l.refreshedAt.Store(when.UnixNano())
}

// watch renews the lock until ctx is done, which it is when the lock is lost.
func (l *heldLock) watch(ctx context.Context) {
	for sleep(ctx, l.repo.timing.watch) == nil {
		_ = l.ensure(ctx, true) // a loss cancels ctx, other errors are passing
	}
}

// settle looks for conflicting locks that were not visible when this one was
// taken, and ends the operation if there are any. If it ends by itself before,
// that is just as good: who takes an exclusive lock looks again before doing
// anything.
func (l *heldLock) settle(ctx context.Context) {
	if sleep(ctx, l.repo.timing.settle) != nil {
		return
	}
	l.mu.Lock()
	own := l.id
	l.mu.Unlock()
	if err := l.repo.checkConflicts(ctx, l.mode, own); err != nil && ctx.Err() == nil {
		_ = l.lose(err)
	}
}

// watchExpiry ends the operation when the lock has expired and is not renewed
// for a while: a request to the storage may hang and keep watch from
// noticing. After standby, watch has that while to renew the lock.
func (l *heldLock) watchExpiry(ctx context.Context) {
	var expired time.Time // when that was seen first
	for sleep(ctx, l.repo.timing.hang/4) == nil {
		age := l.repo.now().Round(0).Sub(time.Unix(0, l.refreshedAt.Load()))
		switch {
		case age <= l.repo.timing.expire:
			expired = time.Time{}
		case expired.IsZero():
			expired = time.Now() // with the monotonic clock, which stops in standby
		case time.Since(expired) >= l.repo.timing.hang:
			_ = l.lose(fmt.Errorf("%w: not refreshed for %v", ErrLockLost, age.Round(time.Second)))
			return
		}
	}
}

// ensure makes sure that the lock protects: it renews a file that is due,
// and looks whether the file is still there if look is set or the last look
// was a while ago. An error that is not ErrLockLost is passing; the lock
// holds until it expires.
func (l *heldLock) ensure(ctx context.Context, look bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost := l.loss(); lost != nil {
		return lost
	}
	now := l.repo.now().Round(0)
	age := now.Sub(l.refreshed)
	expired := age > l.repo.timing.expire
	var err error
	switch {
	case age >= l.repo.timing.refresh || expired:
		err = l.renew(ctx, expired)
	case look || now.Sub(l.verified) >= l.repo.timing.verify:
		err = l.verify(ctx)
	}
	if err != nil && expired && ctx.Err() == nil && !errors.Is(err, ErrLockLost) {
		err = fmt.Errorf("%w: not refreshed for %v: %w", ErrLockLost, age.Round(time.Second), err)
	}
	if errors.Is(err, ErrLockLost) {
		return l.lose(err)
	}
	return err
}

// verify looks whether the lock file is there. Someone who removed it takes
// the holder for dead and may be changing the repository.
func (l *heldLock) verify(ctx context.Context) error {
	_, err := l.repo.be.Stat(ctx, fileHandle(backend.LockFile, l.id))
	if errors.Is(err, backend.ErrNotExist) {
		return fmt.Errorf("%w: another process removed lock %s", ErrLockLost, l.id.Short())
	}
	if err == nil {
		l.verified = l.repo.now().Round(0)
	}
	return err
}

// renew writes a new lock file and then deletes the old one, so that at any
// instant at least one is there. After the lock had expired, as happens in
// standby, the old file must outlast the new one by the settling time, whatever
// the storage: only then nobody can have taken an exclusive lock in between.
func (l *heldLock) renew(ctx context.Context, expired bool) error {
	if err := l.verify(ctx); err != nil {
		return err
	}
	id, refreshed, err := l.repo.writeLock(ctx, l.mode)
	if err != nil {
		return err
	}
	if expired {
		err = sleep(ctx, l.repo.timing.settle)
	}
	if err == nil {
		err = l.verify(ctx)
	}
	if err == nil {
		err = l.repo.removeLockFile(ctx, l.id)
	}
	if err != nil {
		_ = l.repo.removeLockFile(context.WithoutCancel(ctx), id) // the old one stays the lock
		return err
	}
	l.setRefreshed(id, refreshed)
	return nil
}

// ShareLock turns the exclusive lock of the running operation into a shared
// one. No other exclusive lock is possible in between, so nothing but
// additions can happen between what was done alone and what is done now.
func (r *Repo) ShareLock(ctx context.Context) error {
	r.lockMu.Lock()
	held := r.held
	r.lockMu.Unlock()
	if held == nil {
		return errors.New("share lock: none is held")
	}
	return held.share(ctx)
}

func (l *heldLock) share(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost := l.loss(); lost != nil {
		return lost
	}
	if l.mode != ExclusiveLock {
		return errors.New("share lock: it is not an exclusive one")
	}
	was := l.mode
	l.mode = SharedLock
	err := l.renew(ctx, l.repo.now().Round(0).Sub(l.refreshed) > l.repo.timing.expire)
	if err != nil {
		l.mode = was
	}
	if errors.Is(err, ErrLockLost) {
		return l.lose(err)
	}
	return err
}

// HoldsAlone reports whether the running operation holds an exclusive lock.
func (r *Repo) HoldsAlone() bool {
	r.lockMu.Lock()
	held := r.held
	r.lockMu.Unlock()
	if held == nil {
		return false
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	return held.mode == ExclusiveLock && held.loss() == nil
}

// release removes the lock, for which it has a minute of its own.
func (l *heldLock) release(ctx context.Context) error {
	l.repo.lockMu.Lock()
	l.repo.held = nil
	l.repo.lockMu.Unlock()
	return l.removeFile(ctx)
}

func (l *heldLock) removeFile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.repo.timing.release)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repo.removeLockFile(ctx, l.id)
}

// guard is called before a file is stored that others rely on, and before
// one is deleted. It fails if the lock of the running operation no longer
// protects it. Without a lock it only looks at ctx.
func (r *Repo) guard(ctx context.Context) error { return r.guardLooking(ctx, false) }

// guardLooking is guard, and looks at the lock file in any case if look is
// set. A snapshot must not appear after another process began to delete.
func (r *Repo) guardLooking(ctx context.Context, look bool) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r.lockMu.Lock()
	held := r.held
	r.lockMu.Unlock()
	if held == nil {
		return nil
	}
	return held.ensure(ctx, look)
}
