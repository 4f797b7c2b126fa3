package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/repo/backend"
)

// UpgradeError means that the new config could not be stored.
type UpgradeError struct {
	// Copy is a local file with the old config, sealed as it was stored.
	Copy string
	// Err is what went wrong.
	Err error
	// RestoreErr is what went wrong when the old config was put back; nil
	// means that it is in place. Otherwise the repository can't be opened
	// until Copy is stored as its file "config".
	RestoreErr error
}

func (e *UpgradeError) Error() string {
	if e.RestoreErr != nil {
		return fmt.Sprintf("new config could not be stored: %v; the old one could not be put back: %v; copy %s to the file config of the repository",
			e.Err, e.RestoreErr, e.Copy)
	}
	return fmt.Sprintf("new config could not be stored: %v; the old one is in place, and a copy of it in %s", e.Err, e.Copy)
}

func (e *UpgradeError) Unwrap() error { return e.Err }

// Upgrade turns a repository of version 1 into one of version 2. Only the
// config changes; what is stored uncompressed stays so. The operation must
// hold an exclusive lock, and the repository should have been checked.
//
// A copy of the config is kept in a temporary file until the new one is known
// to be in place. Where the storage can replace a file in one step there is a
// config at every instant; elsewhere there is none for a moment, and the copy
// is what a crash in that moment leaves.
func (r *Repo) Upgrade(ctx context.Context) error {
	if r.config.Version != 1 {
		return fmt.Errorf("repository has version %d, only version 1 can be upgraded", r.config.Version)
	}
	h := backend.Handle{Type: backend.ConfigFile}
	old, err := r.be.Load(ctx, h, 0, -1, nil)
	if err != nil {
		return fmt.Errorf("load config: %w", err)
	}
	if plain, err := r.key.Open(nil, old); err != nil {
		return &CorruptError{Handle: h, Err: err}
	} else if c, err := decodeConfig(plain); err != nil || c != r.config {
		return &CorruptError{Handle: h, Err: errors.Join(err, errors.New("not the config that was opened"))}
	}
	keep, err := r.copyConfig(old)
	if err != nil {
		return fmt.Errorf("copy of the config: %w", err)
	}
	upgraded := r.config
	upgraded.Version = 2
	if err := r.replaceConfig(ctx, upgraded); err != nil {
		return &UpgradeError{Copy: keep, Err: err, RestoreErr: r.restoreConfig(context.WithoutCancel(ctx), old)}
	}
	r.config = upgraded
	_ = os.Remove(keep) // a copy that stays does no harm
	_ = os.Remove(filepath.Dir(keep))
	return nil
}

// copyConfig stores the config in a local file and returns its path.
func (r *Repo) copyConfig(sealed []byte) (string, error) {
	dir, err := os.MkdirTemp(r.opts.TempDir, "garner-upgrade-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "config")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(sealed)
	return path, errors.Join(err, f.Sync(), f.Close())
}

// replaceConfig stores a config in place of the one that is there, and reads
// it back.
func (r *Repo) replaceConfig(ctx context.Context, c Config) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	sealed := r.key.Seal(nil, plain)
	if back, err := r.key.Open(nil, sealed); err != nil || string(back) != string(plain) {
		return errors.New("sealed config does not read back, the machine's memory may be faulty")
	}
	if err := r.guardLooking(ctx, true); err != nil {
		return err
	}
	if err := r.putConfig(ctx, sealed); err != nil {
		return err
	}
	return r.compareConfig(ctx, sealed)
}

// putConfig stores bytes as the config, whether there is one or not.
func (r *Repo) putConfig(ctx context.Context, sealed []byte) error {
	h := backend.Handle{Type: backend.ConfigFile}
	if rep, ok := backend.As[backend.Replacer](r.be); ok {
		return rep.Replace(ctx, h, backend.Bytes(sealed))
	}
	if err := r.be.Remove(ctx, h); err != nil && !errors.Is(err, backend.ErrNotExist) {
		return err
	}
	return r.be.Save(ctx, h, backend.Bytes(sealed))
}

func (r *Repo) compareConfig(ctx context.Context, sealed []byte) error {
	stored, err := r.be.Load(ctx, backend.Handle{Type: backend.ConfigFile}, 0, -1, nil)
	if err == nil && string(stored) != string(sealed) {
		err = errors.New("config does not read back as it was stored")
	}
	return err
}

// restoreConfig puts the old config back unless it is still there.
func (r *Repo) restoreConfig(ctx context.Context, old []byte) error {
	if r.compareConfig(ctx, old) == nil {
		return nil
	}
	if err := r.putConfig(ctx, old); err != nil {
		return err
	}
	return r.compareConfig(ctx, old)
}
