package repo

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/snapshot"
)

// testPol is an irreducible polynomial.
const testPol = chunk.Pol(0x3da3358b4dc173)

// newTestRepo makes a repository without the half second that a key costs.
func newTestRepo(t testing.TB, be backend.Backend, opts *Options) *Repo {
	t.Helper()
	r, err := newRepo(be, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.key = crypto.NewKey()
	r.config = Config{Version: 2, ID: crypto.RandomID(), ChunkerPolynomial: testPol}
	return r
}

// sameRepo returns another user of the repository, on another host.
func sameRepo(t testing.TB, r *Repo, host string) *Repo {
	t.Helper()
	opts := r.opts
	opts.Identity = &Identity{Hostname: host, Username: "someone", PID: 4711}
	other, err := newRepo(r.be, &opts)
	if err != nil {
		t.Fatal(err)
	}
	other.key, other.config = r.key, r.config
	return other
}

func lockCount(t testing.TB, r *Repo) int {
	t.Helper()
	n := 0
	for _, err := range r.List(context.Background(), backend.LockFile) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// hold takes a lock until the function it returns is called.
func hold(t testing.TB, r *Repo, mode LockMode) (release func()) {
	t.Helper()
	locked, done, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		finished <- r.WithLock(context.Background(), mode, nil, func(context.Context) error {
			close(locked)
			<-done
			return nil
		})
	}()
	select {
	case <-locked:
	case err := <-finished:
		t.Fatalf("could not lock: %v", err)
	}
	return sync.OnceFunc(func() {
		close(done)
		if err := <-finished; err != nil {
			t.Errorf("release: %v", err)
		}
	})
}

func nothing(context.Context) error { return nil }

func TestLocksExcludeEachOther(t *testing.T) {
	for _, tc := range []struct {
		name        string
		held, asked LockMode
		blocked     bool
	}{
		{"shared beside shared", SharedLock, SharedLock, false},
		{"exclusive beside shared", SharedLock, ExclusiveLock, true},
		{"shared beside exclusive", ExclusiveLock, SharedLock, true},
		{"exclusive beside exclusive", ExclusiveLock, ExclusiveLock, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTestRepo(t, mem.New(), nil)
				other := sameRepo(t, r, "other")
				release := hold(t, r, tc.held)
				defer release()
				err := other.WithLock(t.Context(), tc.asked, nil, nothing)
				var locked *LockedError
				if errors.As(err, &locked) != tc.blocked {
					t.Fatalf("err = %v", err)
				}
				if tc.blocked && (locked.Lock.PID != os.Getpid() || locked.Lock.Exclusive != (tc.held == ExclusiveLock)) {
					t.Errorf("the error shows %+v", locked.Lock)
				}
				if n := lockCount(t, r); n != 1 {
					t.Errorf("%d lock files are left, want the holder's", n)
				}
				release()
				if n := lockCount(t, r); n != 0 {
					t.Errorf("%d lock files are left after the release", n)
				}
				if err := other.WithLock(t.Context(), tc.asked, nil, nothing); err != nil {
					t.Errorf("after the release: %v", err)
				}
			})
		})
	}
}

// coherent is storage whose lists show at once what was saved.
type coherent struct{ backend.Backend }

func (coherent) ListsCoherently() bool { return true }

func TestOnCoherentStorageLocksAreCertainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, coherent{mem.New()}, nil)
		start := time.Now()
		for _, mode := range []LockMode{SharedLock, ExclusiveLock} {
			release := hold(t, r, mode)
			err := sameRepo(t, r, "other").WithLock(t.Context(), ExclusiveLock, nil, nothing)
			var locked *LockedError
			if !errors.As(err, &locked) {
				t.Errorf("%v beside it: %v", mode, err)
			}
			release()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestOnCoherentStorageNoTwoExclusiveLocksAreTaken(t *testing.T) {
	r := newTestRepo(t, coherent{mem.New()}, nil)
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		other := sameRepo(t, r, "other")
		wg.Go(func() {
			for range 200 {
				err := other.WithLock(t.Context(), ExclusiveLock, nil, func(context.Context) error {
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d hold the lock", n)
					}
					taken.Add(1)
					holders.Add(-1)
					return nil
				})
				var locked *LockedError
				if err != nil && !errors.As(err, &locked) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody took the lock")
	}
}

func TestOfSimultaneousExclusiveLocksAtMostOneIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		var holders, most atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			other := sameRepo(t, r, "other")
			wg.Go(func() {
				_ = other.WithLock(t.Context(), ExclusiveLock, nil, func(context.Context) error {
					if n := holders.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					holders.Add(-1)
					return nil
				})
			})
		}
		wg.Wait()
		if most.Load() > 1 {
			t.Fatalf("%d held it at once", most.Load())
		}
	})
}

func TestRetryTakesALockThatBecomesFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		other := sameRepo(t, r, "other")
		release := hold(t, r, ExclusiveLock)
		time.AfterFunc(12*time.Second, release)
		var waits []time.Duration
		start := time.Now()
		err := other.WithLock(t.Context(), SharedLock, &LockOptions{
			Retry:   time.Minute,
			Waiting: func(_ *LockedError, d time.Duration) { waits = append(waits, d) },
		}, nothing)
		if err != nil || len(waits) != 2 || waits[0] != 5*time.Second || waits[1] != 10*time.Second {
			t.Fatalf("err %v, waits %v", err, waits)
		}
		if took := time.Since(start); took > 16*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestRetryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		other := sameRepo(t, r, "other")
		defer hold(t, r, ExclusiveLock)()
		start := time.Now()
		err := other.WithLock(t.Context(), SharedLock, &LockOptions{Retry: 7 * time.Second}, nothing)
		var locked *LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("err = %v", err)
		}
		if took := time.Since(start); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

func putLock(t testing.TB, r *Repo, info LockInfo) {
	t.Helper()
	b, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SaveUnpacked(context.Background(), backend.LockFile, b); err != nil {
		t.Fatal(err)
	}
}

func TestStaleLocksBlockUntilTheyAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), &Options{Identity: &Identity{Hostname: "here", PID: os.Getpid()}})
		now := time.Now()
		putLock(t, r, LockInfo{Time: now.Add(-31 * time.Minute), Hostname: "elsewhere", PID: 1})  // stale
		putLock(t, r, LockInfo{Time: now.Add(-29 * time.Minute), Hostname: "elsewhere", PID: 1})  // not yet
		putLock(t, r, LockInfo{Time: now.Add(-time.Minute), Hostname: "here", PID: 1 << 30})      // dead
		putLock(t, r, LockInfo{Time: now.Add(-time.Minute), Hostname: "here", PID: os.Getpid()})  // alive
		putLock(t, r, LockInfo{Time: now.Add(-time.Minute), Hostname: "elsewhere", PID: 1 << 30}) // can't be known
		if err := r.WithLock(t.Context(), ExclusiveLock, nil, nothing); !errors.As(err, new(*LockedError)) {
			t.Fatalf("exclusive beside stale locks: %v", err)
		}
		n, err := r.RemoveStaleLocks(t.Context())
		if n != 2 || err != nil || lockCount(t, r) != 3 {
			t.Fatalf("removed %d, %v; %d are left", n, err, lockCount(t, r))
		}
		n, err = r.RemoveAllLocks(t.Context())
		if n != 3 || err != nil || lockCount(t, r) != 0 {
			t.Fatalf("removed all: %d, %v; %d are left", n, err, lockCount(t, r))
		}
	})
}

func TestUnreadableLocksBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := mem.New()
		r := newTestRepo(t, be, nil)
		junk := []byte("no lock at all, but not empty either")
		id := crypto.Hash(junk)
		if err := be.Save(t.Context(), fileHandle(backend.LockFile, id), backend.Bytes(junk)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := r.WithLock(t.Context(), SharedLock, nil, nothing)
		var invalid *InvalidLockError
		if !errors.As(err, &invalid) || invalid.ID != id {
			t.Fatalf("err = %v", err)
		}
		if took := time.Since(start); took != 35*time.Second {
			t.Errorf("looked again for %v, want 5, 10 and 20 s", took)
		}
		if n, err := r.RemoveStaleLocks(t.Context()); n != 0 || !errors.As(err, &invalid) {
			t.Errorf("unlock: %d, %v", n, err)
		}
		if n, err := r.RemoveAllLocks(t.Context()); n != 1 || err != nil {
			t.Errorf("unlock --remove-all: %d, %v", n, err)
		}
	})
}

func TestEmptyLockFilesSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := mem.New()
		r := newTestRepo(t, be, nil)
		h := fileHandle(backend.LockFile, crypto.Hash(nil))
		if err := be.Save(t.Context(), h, backend.Bytes(nil)); err != nil {
			t.Fatal(err)
		}
		if err := r.WithLock(t.Context(), ExclusiveLock, nil, nothing); err != nil {
			t.Fatal(err)
		}
		if n, err := r.RemoveAllLocks(t.Context()); n != 1 || err != nil {
			t.Errorf("unlock --remove-all: %d, %v", n, err)
		}
	})
}

func TestLongOperationsRefreshTheirLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		seen := make(map[crypto.ID]bool)
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			for range 60 {
				time.Sleep(time.Minute)
				for l, err := range r.Locks(ctx) {
					if err != nil || l.Err != nil {
						t.Fatal(err, l.Err)
					}
					seen[l.ID] = true
					if age := time.Since(l.Info.Time); age > 7*time.Minute {
						t.Errorf("the lock is %v old", age)
					}
				}
				if n := lockCount(t, r); n != 1 {
					t.Errorf("%d locks", n)
				}
			}
			return ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) < 9 || lockCount(t, r) != 0 {
			t.Errorf("%d different lock files in an hour, %d left", len(seen), lockCount(t, r))
		}
	})
}

func TestAVanishedLockStopsTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		other := sameRepo(t, r, "other")
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			if _, err := other.RemoveAllLocks(ctx); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Minute):
				t.Error("the operation was not told within two minutes")
			}
			return ctx.Err()
		})
		if !errors.Is(err, ErrLockLost) {
			t.Fatalf("err = %v", err)
		}
	})
}

func TestNoSnapshotIsSavedWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		other := sameRepo(t, r, "other")
		var tree crypto.ID
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			if _, err := other.RemoveAllLocks(ctx); err != nil {
				t.Fatal(err)
			}
			_, err := r.SaveSnapshot(ctx, &snapshot.Snapshot{Time: time.Now(), Tree: &tree})
			return err
		})
		if !errors.Is(err, ErrLockLost) {
			t.Fatalf("err = %v", err)
		}
		for sn := range r.AllSnapshots(t.Context()) {
			t.Errorf("snapshot %v was saved", sn.ID)
		}
	})
}

func TestNothingIsRemovedWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		var tree crypto.ID
		id, err := r.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: time.Now(), Tree: &tree})
		if err != nil {
			t.Fatal(err)
		}
		other := sameRepo(t, r, "other")
		err = r.WithLock(t.Context(), ExclusiveLock, nil, func(ctx context.Context) error {
			if _, err := other.RemoveAllLocks(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second) // the last look is trusted for ten seconds
			return r.Remove(ctx, backend.SnapshotFile, id)
		})
		if !errors.Is(err, ErrLockLost) {
			t.Fatalf("err = %v", err)
		}
		if _, err := r.LoadSnapshot(t.Context(), id); err != nil {
			t.Errorf("the snapshot is gone: %v", err)
		}
	})
}

// failing is a backend whose saves fail while broken is set.
type failing struct {
	backend.Backend
	broken atomic.Bool
}

func (f *failing) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if f.broken.Load() {
		return errors.New("no connection")
	}
	return f.Backend.Save(ctx, h, c)
}

func TestALockThatCannotBeRefreshedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := &failing{Backend: mem.New()}
		r := newTestRepo(t, be, nil)
		start := time.Now()
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			be.broken.Store(true)
			<-ctx.Done()
			return ctx.Err()
		})
		took := time.Since(start)
		if !errors.Is(err, ErrLockLost) || took < 22*time.Minute || took > 25*time.Minute {
			t.Fatalf("after %v: %v", took, err)
		}
	})
}

func TestAPassingOutageDoesNotStopTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := &failing{Backend: mem.New()}
		r := newTestRepo(t, be, nil)
		err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
			be.broken.Store(true)
			time.Sleep(15 * time.Minute)
			be.broken.Store(false)
			time.Sleep(time.Hour)
			return ctx.Err()
		})
		if err != nil || lockCount(t, r) != 0 {
			t.Fatalf("%v; %d locks left", err, lockCount(t, r))
		}
	})
}

// In standby the wall clock goes on while the program does not.
func TestAfterStandbyTheLockIsRenewedBeforeAnythingIsWritten(t *testing.T) {
	for _, removed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newTestRepo(t, mem.New(), nil)
			var asleep atomic.Int64
			r.now = func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }
			var tree crypto.ID
			err := r.WithLock(t.Context(), SharedLock, nil, func(ctx context.Context) error {
				asleep.Store(int64(3 * time.Hour))
				if removed { // by someone who found it stale
					if _, err := sameRepo(t, r, "other").RemoveAllLocks(ctx); err != nil {
						t.Fatal(err)
					}
				}
				_, err := r.SaveSnapshot(ctx, &snapshot.Snapshot{Time: r.now(), Tree: &tree})
				for l := range r.Locks(ctx) {
					if age := r.now().Sub(l.Info.Time); age > time.Minute {
						t.Errorf("the lock is still %v old", age)
					}
				}
				return err
			})
			if errors.Is(err, ErrLockLost) != removed || (err != nil) != removed {
				t.Fatalf("removed %v: err = %v", removed, err)
			}
		})
	}
}

func TestCancellationRemovesTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRepo(t, mem.New(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		err := r.WithLock(ctx, ExclusiveLock, nil, func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || lockCount(t, r) != 0 {
			t.Fatalf("%v; %d locks left", err, lockCount(t, r))
		}
	})
}
