package repo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// FileInfo is a file of the repository and its size in bytes as stored.
type FileInfo struct {
	ID   crypto.ID
	Size int64
}

func fileHandle(t backend.FileType, id crypto.ID) backend.Handle {
	return backend.Handle{Type: t, Name: id.String()}
}

// List yields the files of a type. Lock files without content, which a full
// disk leaves behind, say nothing and are left out.
func (r *Repo) List(ctx context.Context, t backend.FileType) iter.Seq2[FileInfo, error] {
	return func(yield func(FileInfo, error) bool) {
		for fi, err := range r.be.List(ctx, t) {
			if err != nil {
				yield(FileInfo{}, fmt.Errorf("list %v: %w", t, err))
				return
			}
			id, err := crypto.ParseID(fi.Name)
			if err != nil || (t == backend.LockFile && fi.Size == 0) {
				continue // the contract of List excludes other names
			}
			if !yield(FileInfo{ID: id, Size: fi.Size}, nil) {
				return
			}
		}
	}
}

// errWrongHash means that the bytes of a file do not have the hash that is
// its name.
var errWrongHash = errors.New("content does not match its name (SHA-256)")

// LoadRaw returns the stored bytes of any file but the config, after checking
// that their hash is the name. A mismatch is loaded once more, as damage on
// the way is more common than damage at rest; then it is a [*CorruptError].
func (r *Repo) LoadRaw(ctx context.Context, t backend.FileType, id crypto.ID) ([]byte, error) {
	return r.loadRaw(ctx, t, id, nil)
}

// loadRaw is LoadRaw into buf's memory if its capacity suffices.
func (r *Repo) loadRaw(ctx context.Context, t backend.FileType, id crypto.ID, buf []byte) ([]byte, error) {
	h := fileHandle(t, id)
	for attempt := 0; ; attempt++ {
		b, err := r.be.Load(ctx, h, 0, -1, buf)
		if err != nil {
			return nil, fmt.Errorf("load %v: %w", h, err)
		}
		if crypto.Hash(b) == id {
			return b, nil
		}
		if attempt > 0 {
			return nil, &CorruptError{Handle: h, Err: errWrongHash}
		}
	}
}

// LoadUnpacked returns the JSON of an index, a snapshot or a lock.
func (r *Repo) LoadUnpacked(ctx context.Context, t backend.FileType, id crypto.ID) ([]byte, error) {
	sealed, err := r.LoadRaw(ctx, t, id)
	if err != nil {
		return nil, err
	}
	return r.openUnpacked(t, id, sealed, new([]byte))
}

// openUnpacked returns the JSON of a file, overwriting sealed. The JSON is in
// the memory of sealed or of buf, which takes over what had to be allocated.
func (r *Repo) openUnpacked(t backend.FileType, id crypto.ID, sealed []byte, buf *[]byte) ([]byte, error) {
	plain, err := r.key.OpenInPlace(sealed)
	if err == nil {
		plain, err = r.comp.unpackUnpacked(r.config.Version, plain, buf)
	}
	if err != nil {
		return nil, &CorruptError{Handle: fileHandle(t, id), Err: err}
	}
	return plain, nil
}

// SaveUnpacked seals the JSON of an index, a snapshot or a lock and stores it
// under the hash of the sealed bytes. When it returns, the file is durable.
func (r *Repo) SaveUnpacked(ctx context.Context, t backend.FileType, json []byte) (crypto.ID, error) {
	plain, err := r.comp.packUnpacked(r.config.Version, json)
	if err != nil {
		return crypto.ID{}, err
	}
	sealed := r.key.Seal(nil, plain)
	if err := r.verifyUnpacked(sealed, json); err != nil {
		return crypto.ID{}, fmt.Errorf("save %v: %w", t, err)
	}
	id := crypto.Hash(sealed)
	if err := r.be.Save(ctx, fileHandle(t, id), backend.Bytes(sealed)); err != nil {
		return crypto.ID{}, fmt.Errorf("save %v/%s: %w", t, id.Short(), err)
	}
	return id, nil
}

// verifyUnpacked opens what was just sealed. These files are small, and one
// flipped bit in an index or a snapshot costs much.
func (r *Repo) verifyUnpacked(sealed, json []byte) error {
	if r.opts.Verify == VerifyNone {
		return nil
	}
	plain, err := r.key.Open(nil, sealed)
	if err == nil {
		plain, err = r.comp.unpackUnpacked(r.config.Version, plain, new([]byte))
	}
	if err == nil && !slices.Equal(plain, json) {
		err = errors.New("other content")
	}
	if err != nil {
		return fmt.Errorf("sealed file does not read back, the machine's memory may be faulty: %w", err)
	}
	return nil
}

// Remove deletes a file. The operation must hold a lock that allows it.
func (r *Repo) Remove(ctx context.Context, t backend.FileType, id crypto.ID) error {
	if err := r.guard(ctx); err != nil {
		return err
	}
	h := fileHandle(t, id)
	if err := r.be.Remove(ctx, h); err != nil {
		return fmt.Errorf("remove %v: %w", h, err)
	}
	return nil
}

// FindID returns the ID of the one file of type t whose name begins with
// prefix. A full ID is returned as it is, without looking. If no or several
// files match, the error is an [*IDError].
func (r *Repo) FindID(ctx context.Context, t backend.FileType, prefix string) (crypto.ID, error) {
	if len(prefix) == 2*crypto.IDSize {
		return crypto.ParseID(prefix)
	}
	var found []crypto.ID
	for fi, err := range r.List(ctx, t) {
		if err != nil {
			return crypto.ID{}, err
		}
		if strings.HasPrefix(fi.ID.String(), prefix) {
			found = append(found, fi.ID)
		}
	}
	if len(found) != 1 || prefix == "" {
		return crypto.ID{}, &IDError{Type: t, Prefix: prefix, Matches: min(len(found), 2)}
	}
	return found[0], nil
}
