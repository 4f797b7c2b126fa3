package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// maxCacheAge is how long a cache folder may be unused.
const maxCacheAge = 30 * 24 * time.Hour

// cacheFolder is the name of a repository's cache, or of one that a check
// left behind. Others in the same place are nobody's business here.
var cacheFolder = regexp.MustCompile(`^([0-9a-f]{64}|restic-check-cache-[0-9]+)$`)

// cleanCache removes the caches of repositories that were not used for a
// while. Caches are made by restic; garner shares their place.
func (a *App) cleanCache() error {
	base := a.CacheDir
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		base = filepath.Join(user, "restic")
	}
	entries, err := os.ReadDir(base)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.IsDir() || !cacheFolder.MatchString(e.Name()) || time.Since(info.ModTime()) <= maxCacheAge {
			continue
		}
		a.Printf("removing old cache dir %s\n", e.Name())
		if err := os.RemoveAll(filepath.Join(base, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
