// Package cachedir lists and removes what restic and garner keep on this
// machine of repositories: a folder for each, named by the repository's ID, in
// one place for all. It does not read or fill them.
//
// Start with [List].
package cachedir

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// MaxAge is how long a folder is kept by default after it was last used.
const MaxAge = 30 * 24 * time.Hour

// Folder is the copy of one repository.
type Folder struct {
	Path string
	Used time.Time // last; its time of modification
}

// folderName is the ID of a repository, or the name of what a check uses and
// may leave behind. Anything else in the same place is nobody's business.
var folderName = regexp.MustCompile(`^([0-9a-f]{64}|restic-check-cache-[0-9]+)$`)

// Default returns where the copies are for a user whose folder for caches,
// as os.UserCacheDir says, is userCache.
func Default(userCache string) string { return filepath.Join(userCache, "restic") }

// tag marks base for programs that leave caches alone, as
// https://bford.info/cachedir/ has it.
const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds caches of backup repositories; it can be deleted at any time.\n"

// Use returns the folder for a repository in base, which it makes if there is
// none, and notes that it is in use.
func Use(base, id string, now time.Time) (string, error) {
	dir := filepath.Join(base, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if f, err := os.OpenFile(filepath.Join(base, "CACHEDIR.TAG"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err == nil {
		_, err = f.WriteString(tag)
		if cerr := f.Close(); err != nil || cerr != nil {
			return "", errors.Join(err, cerr)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, os.Chtimes(dir, now, now)
}

// List returns the folders in base, the one that was not used for longest
// first. If base does not exist there are none.
func List(base string) ([]Folder, error) {
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Folder
	for _, e := range entries {
		if !folderName.MatchString(e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if info.IsDir() { // no link to one: what that points to is somebody's
			list = append(list, Folder{filepath.Join(base, e.Name()), info.ModTime()})
		}
	}
	slices.SortStableFunc(list, func(a, b Folder) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Path, b.Path))
	})
	return list, nil
}

// Name returns the folder's name.
func (f Folder) Name() string { return filepath.Base(f.Path) }

// Old reports whether the folder was not used within maxAge before now.
func (f Folder) Old(now time.Time, maxAge time.Duration) bool {
	return f.Used.Before(now.Add(-maxAge))
}

// Size returns how many bytes the files in the folder have.
func (f Folder) Size() (size int64, err error) {
	err = filepath.WalkDir(f.Path, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				size += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the cache is in use
		}
		return err
	})
	return size, err
}

// Remove deletes the folder. What is in it can be had from the repository.
func (f Folder) Remove() error { return os.RemoveAll(f.Path) }
