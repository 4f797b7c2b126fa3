package cli

import (
	"os"
	"time"

	"github.com/garner-backup/garner/repo/backend/cachedir"
)

// CacheBase returns the folder that the caches of repositories are in.
func (a *App) CacheBase() (string, error) {
	if a.CacheDir != "" {
		return a.CacheDir, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return cachedir.Default(user), nil
}

// CleanCache removes the caches of repositories that were not used within
// maxAge, and returns how many there were. What can't be removed is reported.
// Caches are made by restic; garner shares their place.
func (a *App) CleanCache(maxAge time.Duration, removing func(name string)) (int, error) {
	base, err := a.CacheBase()
	if err != nil {
		return 0, err
	}
	list, err := cachedir.List(base)
	if err != nil {
		return 0, err
	}
	old := 0
	now := time.Now()
	for _, f := range list {
		if !f.Old(now, maxAge) {
			continue
		}
		old++
		removing(f.Name())
		if err := f.Remove(); err != nil {
			a.Warnf("unable to remove %s: %v\n", f.Path, err)
		}
	}
	return old, nil
}

// cleanCache is --cleanup-cache.
func (a *App) cleanCache() error {
	_, err := a.CleanCache(cachedir.MaxAge, func(name string) { a.Printf("removing old cache dir %s\n", name) })
	return err
}
