package repo

import (
	"errors"
	"fmt"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

var (
	// ErrNoRepository means that the location holds no repository.
	ErrNoRepository = errors.New("repository does not exist")
	// ErrRepositoryExists means that Init found a repository, or parts of one.
	ErrRepositoryExists = errors.New("repository exists already")
	// ErrWrongPassword means that the password opens none of the keys.
	ErrWrongPassword = errors.New("wrong password or no key found")
	// ErrLockLost means that the lock of the running operation is gone or
	// could not be refreshed in time; another process may be changing the
	// repository, so the operation has stopped.
	ErrLockLost = errors.New("lock lost")
)

// LockedError means that another process holds a lock that excludes the one
// that was asked for.
type LockedError struct {
	ID   crypto.ID // of the lock file
	Lock LockInfo
}

func (e *LockedError) Error() string {
	kind := ""
	if e.Lock.Exclusive {
		kind = "exclusively "
	}
	return fmt.Sprintf("repository is already locked %sby PID %d on %s by %s (UID %d, GID %d)\n"+
		"lock was created at %s (%s ago)\nstorage ID %s",
		kind, e.Lock.PID, e.Lock.Hostname, e.Lock.Username, e.Lock.UID, e.Lock.GID,
		e.Lock.Time.Format("2006-01-02 15:04:05"), time.Since(e.Lock.Time).Round(time.Second), e.ID.Short())
}

// InvalidLockError means that a lock file could not be read, so that nobody
// knows what it excludes.
type InvalidLockError struct {
	ID  crypto.ID
	Err error
}

func (e *InvalidLockError) Error() string {
	return fmt.Sprintf("lock %s is unreadable: %v (if no other process uses the repository, remove it with unlock --remove-all)",
		e.ID.Short(), e.Err)
}

func (e *InvalidLockError) Unwrap() error { return e.Err }

// CorruptError means that a file of the repository, or a blob in a pack, is
// not what its name says, or can't be decoded.
type CorruptError struct {
	Handle backend.Handle
	Blob   *index.BlobHandle // nil: the file itself
	Err    error
}

func (e *CorruptError) Error() string {
	if e.Blob != nil {
		return fmt.Sprintf("blob %v in %v is damaged: %v", *e.Blob, e.Handle, e.Err)
	}
	return fmt.Sprintf("%v is damaged: %v", e.Handle, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// MissingBlobError means that no index file knows the blob.
type MissingBlobError struct{ Blob index.BlobHandle }

func (e *MissingBlobError) Error() string {
	return fmt.Sprintf("%s blob %s is not in the index", e.Blob.Type, e.Blob.ID)
}

// IDError means that an ID, or the beginning of one, names no file or more
// than one.
type IDError struct {
	Type   backend.FileType
	Prefix string
	// Matches is how many files begin with Prefix: 0, or 2 for several.
	Matches int
}

func (e *IDError) Error() string {
	if e.Matches == 0 {
		return fmt.Sprintf("no matching ID found for prefix %q in %v", e.Prefix, e.Type)
	}
	return fmt.Sprintf("multiple IDs with prefix %q found in %v", e.Prefix, e.Type)
}
