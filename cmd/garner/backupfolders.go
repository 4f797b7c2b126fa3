package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/cachedir"
	"github.com/garner-backup/garner/repo/foldercache"
	"github.com/garner-backup/garner/repo/source"
)

// folders opens what the last backup of the same paths has remembered of
// their folders. It returns nil if nothing is to be kept on this machine, or
// there is no place for it.
func (b *backupRun) folders(r *repo.Repo) *foldercache.Store {
	if b.app.NoCache || b.opts.stdin || b.opts.stdinCommand {
		return nil
	}
	base, err := b.app.CacheBase()
	if err != nil {
		return nil // no home: as with other caches
	}
	dir := filepath.Join(base, r.Config().ID.String(), "folders")
	paths := slices.Sorted(slices.Values(b.src.Paths()))
	sum := sha256.Sum256([]byte(strings.Join(paths, "\x00")))
	return foldercache.Open(filepath.Join(dir, hex.EncodeToString(sum[:8])), source.Circumstances(), r)
}

// keepFolders saves for the next backup what this one has seen. That it can't
// makes the next one slower, and is told.
func (b *backupRun) keepFolders(r *repo.Repo, f *foldercache.Store, saved bool) {
	switch {
	case f == nil:
	case !saved || b.opts.dryRun:
		f.Discard()
	default:
		base, err := b.app.CacheBase()
		if err == nil {
			_, err = cachedir.Use(base, r.Config().ID.String(), time.Now())
		}
		if serr := f.Save(); err == nil {
			err = serr
		}
		if err != nil {
			b.app.Warnf("the next backup will look at all folders in full: %v\n", err)
		}
	}
}
