package repo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// maxKeys is how many key files Open tries: each costs half a second.
const maxKeys = 20

// KeyInfo is a key file and its ID.
type KeyInfo struct {
	ID crypto.ID
	*crypto.KeyFile
}

// KeyCache remembers the keys that passwords gave, as deriving one is slow on
// purpose. It must hand out a key only for the very password.
type KeyCache interface {
	// Load returns the key that the password gave for a key file.
	Load(keyFile crypto.ID, password string) (*crypto.Key, bool)
	// Store remembers it for a while, or does not.
	Store(keyFile crypto.ID, password string, user *crypto.Key)
}

// findCached sets key and keyID if the cache knows a key file and what the
// password gives for it.
func (r *Repo) findCached(ctx context.Context, ids []crypto.ID, password string) bool {
	if r.opts.KeyCache == nil {
		return false
	}
	for _, id := range ids {
		user, ok := r.opts.KeyCache.Load(id, password)
		if !ok {
			continue
		}
		kf, err := r.LoadKey(ctx, id)
		if err == nil {
			r.key, err = kf.OpenWith(user)
		}
		if err == nil {
			r.keyID = id
			return true
		}
	}
	return false
}

// openKey opens a key file with the password.
func (r *Repo) openKey(kf *crypto.KeyFile, id crypto.ID, password string) (*crypto.Key, error) {
	user, err := kf.Derive(password)
	if err != nil {
		return nil, err
	}
	key, err := kf.OpenWith(user)
	if err == nil && r.opts.KeyCache != nil {
		r.opts.KeyCache.Store(id, password, user)
	}
	return key, err
}

// findKey sets key and keyID to the first key that password opens, beginning
// with those that fit the hint. A damaged key file is an error only if no
// other key fits, so that it can't lock anyone out.
func (r *Repo) findKey(ctx context.Context, password string) error {
	ids, err := r.keyIDs(ctx)
	if err != nil {
		return err
	}
	if r.findCached(ctx, ids, password) {
		return nil
	}
	var damaged error
	for i, id := range ids {
		if i == maxKeys {
			break
		}
		kf, err := r.LoadKey(ctx, id)
		if err == nil {
			r.key, err = r.openKey(kf, id, password)
		}
		switch {
		case err == nil:
			r.keyID = id
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, crypto.ErrWrongPassword):
		default:
			damaged = fmt.Errorf("key %s: %w", id.Short(), err)
		}
	}
	if damaged != nil {
		return damaged
	}
	return ErrWrongPassword
}

// keyIDs lists the key files, those that begin with the hint first.
func (r *Repo) keyIDs(ctx context.Context) ([]crypto.ID, error) {
	var first, rest []crypto.ID
	for fi, err := range r.List(ctx, backend.KeyFile) {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		if r.opts.KeyHint != "" && strings.HasPrefix(fi.ID.String(), r.opts.KeyHint) {
			first = append(first, fi.ID)
		} else {
			rest = append(rest, fi.ID)
		}
	}
	return append(first, rest...), nil
}

// LoadKey returns a key file. Its name is checked against its content.
func (r *Repo) LoadKey(ctx context.Context, id crypto.ID) (*crypto.KeyFile, error) {
	b, err := r.LoadRaw(ctx, backend.KeyFile, id)
	if err != nil {
		return nil, err
	}
	kf, err := crypto.ParseKeyFile(b)
	if err != nil {
		return nil, &CorruptError{Handle: fileHandle(backend.KeyFile, id), Err: err}
	}
	return kf, nil
}

// Keys yields all key files; a damaged one comes as an error with its ID, and
// the sequence goes on.
func (r *Repo) Keys(ctx context.Context) iter.Seq2[KeyInfo, error] {
	return func(yield func(KeyInfo, error) bool) {
		for fi, err := range r.List(ctx, backend.KeyFile) {
			if err != nil {
				yield(KeyInfo{}, err)
				return
			}
			kf, err := r.LoadKey(ctx, fi.ID)
			if !yield(KeyInfo{ID: fi.ID, KeyFile: kf}, err) {
				return
			}
		}
	}
}

// AddKey stores the master key once more, sealed with password, and returns
// the new key's ID. Empty names mean this process's. The new key is read back
// and opened before AddKey returns, as its loss would be found too late.
func (r *Repo) AddKey(ctx context.Context, password, username, hostname string) (crypto.ID, error) {
	params, err := crypto.CalibrateKDF()
	if err != nil {
		return crypto.ID{}, err
	}
	kf, err := crypto.NewKeyFile(password, r.key, params)
	if err != nil {
		return crypto.ID{}, err
	}
	kf.Created, kf.Username, kf.Hostname = r.now(), username, hostname
	if username == "" {
		kf.Username = r.identity.Username
	}
	if hostname == "" {
		kf.Hostname = r.identity.Hostname
	}
	b, err := kf.Encode()
	if err != nil {
		return crypto.ID{}, err
	}
	id := crypto.Hash(b)
	if err := r.be.Save(ctx, fileHandle(backend.KeyFile, id), backend.Bytes(b)); err != nil {
		return crypto.ID{}, fmt.Errorf("save key: %w", err)
	}
	stored, err := r.LoadKey(ctx, id)
	if err == nil {
		_, err = stored.Open(password)
	}
	if err != nil {
		return crypto.ID{}, fmt.Errorf("the new key does not open the repository: %w", err)
	}
	return id, nil
}

// ErrKeyInUse means that the key to be removed is the one that opened the
// repository.
var ErrKeyInUse = errors.New("refusing to remove the key that is in use")

// RemoveKey deletes a key file. The key that opened the repository stays.
func (r *Repo) RemoveKey(ctx context.Context, id crypto.ID) error {
	if id == r.keyID {
		return ErrKeyInUse
	}
	if err := r.guard(ctx); err != nil {
		return err
	}
	if err := r.be.Remove(ctx, fileHandle(backend.KeyFile, id)); err != nil {
		return fmt.Errorf("remove key %s: %w", id.Short(), err)
	}
	return nil
}

// ChangePassword adds a key for the new password and then removes the one
// that opened the repository. It returns the new key's ID; from then on the
// Repo counts as opened with it.
func (r *Repo) ChangePassword(ctx context.Context, password, username, hostname string) (crypto.ID, error) {
	id, err := r.AddKey(ctx, password, username, hostname)
	if err != nil {
		return crypto.ID{}, err
	}
	old := r.keyID
	r.keyID = id
	return id, r.RemoveKey(ctx, old)
}
