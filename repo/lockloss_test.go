package repo

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// TestALossThatNobodyNoticedCounts removes the lock of an operation that does
// not care for errors.
func TestALossThatNobodyNoticedCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		err := r.WithLock(t.Context(), ExclusiveLock, nil, func(ctx context.Context) error {
			if _, err := sameRepo(t, r, "other").RemoveAllLocks(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(r.timing.verify)
			_ = r.Remove(ctx, backend.PackFile, crypto.Hash([]byte("x")))
			if !errors.Is(context.Cause(ctx), ErrLockLost) {
				t.Errorf("the operation goes on: %v", context.Cause(ctx))
			}
			return nil
		})
		if !errors.Is(err, ErrLockLost) {
			t.Errorf("got %v", err)
		}
	})
}

// hangingStat is a storage that stops answering whether a lock is there.
type hangingStat struct {
	backend.Backend
	hangs atomic.Bool
}

func (b *hangingStat) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	if h.Type == backend.LockFile && b.hangs.Load() {
		<-ctx.Done()
		return backend.FileInfo{}, ctx.Err()
	}
	return b.Backend.Stat(ctx, h)
}

// TestAHangingStorageEndsTheLock must end the operation before others may
// take its lock for stale.
func TestAHangingStorageEndsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := &hangingStat{Backend: mem.New()}
		r := newTestRepo(t, be, nil)
		began := time.Now()
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			be.hangs.Store(true)
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, ErrLockLost) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took < r.timing.expire || took >= r.timing.stale {
			t.Errorf("the operation ended after %v, want %v to %v", took, r.timing.expire, r.timing.stale)
		}
	})
}

// renewing is a storage on which a lock is renewed just when it is read.
type renewing struct {
	backend.Backend
	renew func()
	done  atomic.Bool
}

func (b *renewing) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	if h.Type == backend.LockFile && b.done.CompareAndSwap(false, true) {
		b.renew()
	}
	return b.Backend.Load(ctx, h, offset, length, buf)
}

// TestALockThatIsRenewedWhileBeingReadIsSeen lists a lock whose file has
// another name when it is read.
func TestALockThatIsRenewedWhileBeingReadIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := mem.New()
		r := newTestRepo(t, plain, nil)
		be := &renewing{Backend: plain}
		other := sameRepo(t, r, "other")
		other.be = be
		err := r.WithLock(t.Context(), ExclusiveLock, nil, func(ctx context.Context) error {
			be.renew = func() {
				if err := r.ShareLock(ctx); err != nil {
					t.Error(err)
				}
			}
			err := other.WithLock(ctx, ExclusiveLock, nil, nothing)
			var locked *LockedError
			if !errors.As(err, &locked) {
				t.Errorf("an exclusive lock beside a shared one: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestShareLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		if err := r.ShareLock(t.Context()); err == nil {
			t.Error("shared a lock that nobody holds")
		}
		other := sameRepo(t, r, "other")
		err := r.WithLock(t.Context(), ExclusiveLock, nil, func(ctx context.Context) error {
			if !r.HoldsAlone() || other.WithLock(ctx, SharedLock, nil, nothing) == nil {
				t.Error("not alone at first")
			}
			if err := r.ShareLock(ctx); err != nil {
				return err
			}
			if err := other.WithLock(ctx, SharedLock, nil, nothing); err != nil {
				t.Errorf("beside the shared lock: %v", err)
			}
			if r.HoldsAlone() || other.WithLock(ctx, ExclusiveLock, nil, nothing) == nil {
				t.Error("the shared lock does not keep others from an exclusive one")
			}
			if r.ShareLock(ctx) == nil {
				t.Error("shared a shared lock")
			}
			return nil
		})
		if err != nil || lockCount(t, r) != 0 || r.HoldsAlone() {
			t.Fatalf("%v; %d locks left", err, lockCount(t, r))
		}
	})
}

// TestEarlyLocksCostNoTime begins at once, and is seen by who wants to be
// alone.
func TestEarlyLocksCostNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		other := sameRepo(t, r, "other")
		began := time.Now()
		err := r.WithLock(t.Context(), SharedLock, &LockOptions{Early: true}, func(ctx context.Context) error {
			if took := time.Since(began); took > 0 {
				t.Errorf("began after %v", took)
			}
			var locked *LockedError
			if err := other.WithLock(ctx, ExclusiveLock, nil, nothing); !errors.As(err, &locked) {
				t.Errorf("an exclusive lock beside an early one: %v", err)
			}
			return nil
		})
		if err != nil || lockCount(t, r) != 0 {
			t.Fatalf("%v; %d locks left", err, lockCount(t, r))
		}
	})
}

// lateListing is a storage whose listings are somewhat behind.
type lateListing struct {
	backend.Backend
	behind atomic.Pointer[mem.Backend] // what is listed, if set
}

func (b *lateListing) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	if late := b.behind.Load(); late != nil {
		return late.List(ctx, t)
	}
	return b.Backend.List(ctx, t)
}

// TestEarlyLocksEndWhenAnotherWasFirst meets an exclusive lock that becomes
// visible only after the operation began.
func TestEarlyLocksEndWhenAnotherWasFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := mem.New()
		other := newTestRepo(t, plain, nil)
		be := &lateListing{Backend: plain}
		r := sameRepo(t, other, "reader")
		r.be = be
		before := plain.Clone()
		err := other.WithLock(t.Context(), ExclusiveLock, nil, func(ctx context.Context) error {
			be.behind.Store(before)
			err := r.WithLock(ctx, SharedLock, &LockOptions{Early: true}, func(ctx context.Context) error {
				be.behind.Store(nil)
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
					t.Error("the operation goes on beside an exclusive lock")
				}
				return nil
			})
			var locked *LockedError
			if !errors.As(err, &locked) {
				t.Errorf("got %v", err)
			}
			return nil
		})
		if err != nil || lockCount(t, other) != 0 {
			t.Fatalf("%v; %d locks left", err, lockCount(t, other))
		}
	})
}
