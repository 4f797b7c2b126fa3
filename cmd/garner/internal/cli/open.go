package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/keyring"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
)

func (a *App) reportRetry(op layer.Op, h backend.Handle, err error, wait time.Duration) {
	a.Warnf("%s(%v) returned error, retrying after %v: %v\n", op, h, wait.Round(time.Millisecond), err)
}

// Access says what a command does to the repository, and so which lock it
// takes.
type Access uint8

const (
	Read      Access = iota // shared lock; none with --no-lock
	Append                  // shared lock, also with --no-lock
	Exclusive               // exclusive lock, also with --no-lock
	ReadAlone               // exclusive lock; none with --no-lock
	Dry                     // no lock; what is stored is discarded
	Unlocked                // no lock; the command takes those that it needs
)

// RepoOptions are the options that the global flags give a repository.
func (a *App) RepoOptions() *repo.Options {
	mode, _ := repo.ParseCompression(a.Compression) // Finish has checked it
	verify, _ := repo.ParseVerification(a.ExtraVerify)
	if a.NoExtraVerify {
		verify = repo.VerifyNone
	}
	return &repo.Options{
		KeyHint:     a.KeyHint,
		KeyCache:    a.keyCache(),
		Compression: mode,
		PackSize:    int(a.PackSize) << 20,
		Verify:      verify,
	}
}

// keyCache returns the cache that --key-cache asks for, or nil.
func (a *App) keyCache() repo.KeyCache {
	if a.KeyCache == 0 {
		return nil
	}
	return keyring.New(a.KeyCache, func(err error) { a.Warnf("--key-cache: %v\n", err) })
}

// Open opens the repository and calls fn under the lock that access needs.
func (a *App) Open(ctx context.Context, access Access, fn func(ctx context.Context, r *repo.Repo) error) error {
	location, err := a.Location()
	if err != nil {
		return err
	}
	if a.NoLock && (access == Append || access == Exclusive) {
		a.Warnf("this command changes the repository, so it is locked in spite of --no-lock\n")
	}
	if a.CleanupCache && !a.NoCache {
		if err := a.cleanCache(); err != nil {
			a.Warnf("unable to remove old cache folders: %v\n", err)
		}
	}
	be, err := a.Backend(location)
	if err != nil {
		return err
	}
	defer be.Close()
	if access == Dry {
		be = layer.Discard(be)
	}
	var r *repo.Repo
	err = a.withPassword(ctx, func(password string) (err error) {
		r, err = repo.Open(ctx, be, password, a.RepoOptions())
		return err
	})
	if errors.Is(err, repo.ErrNoRepository) {
		return fmt.Errorf("%w\nIs there a repository at the following location?\n%s", err, Redact(location))
	}
	if err != nil {
		return err
	}
	if access == Dry || access == Unlocked || a.NoLock && access != Append && access != Exclusive {
		return fn(ctx, r)
	}
	mode := repo.SharedLock
	if access == Exclusive || access == ReadAlone {
		mode = repo.ExclusiveLock
	}
	opts := a.LockOptions()
	opts.Early = access == Read
	return r.WithLock(ctx, mode, opts, func(ctx context.Context) error { return fn(ctx, r) })
}

// LockOptions returns how the global flags say to wait for a lock.
func (a *App) LockOptions() *repo.LockOptions {
	told := false
	return &repo.LockOptions{
		Retry: a.RetryLock,
		Waiting: func(locked *repo.LockedError, _ time.Duration) {
			if !told {
				told = true
				a.Printf("repo already locked, waiting up to %v for the lock\n", a.RetryLock)
			}
		},
	}
}

// Exists reports whether there is a repository at the location.
func (a *App) Exists(ctx context.Context) (bool, error) {
	location, err := a.Location()
	if err != nil {
		return false, err
	}
	be, err := a.Backend(location)
	if err != nil {
		return false, err
	}
	defer be.Close()
	_, err = be.Stat(ctx, backend.Handle{Type: backend.ConfigFile})
	if errors.Is(err, backend.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
