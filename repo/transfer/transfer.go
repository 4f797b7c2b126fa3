// Package transfer makes snapshots of snapshots: copies in another
// repository, versions without some of the files, or with other tags.
//
// [Copy] brings snapshots and all that they need into another repository,
// [Rewrite] stores new versions of them, filtered by patterns or with another
// time or host, and [Retag] changes their tags. A new version keeps the ID of
// the one that it comes from.
//
// Data comes before indexes, indexes before the new snapshot, and an old
// snapshot goes last. At whatever instant the work ends, each snapshot is
// there in its old version, in its new one, or in both.
package transfer

import (
	"context"
	"slices"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// replace stores a new version of a snapshot and then removes the old one.
func replace(ctx context.Context, r *repo.Repo, old, changed *snapshot.Snapshot) error {
	var err error
	if changed.ID, err = r.SaveSnapshot(ctx, changed); err != nil {
		return err
	}
	return r.Remove(ctx, backend.SnapshotFile, old.ID)
}

// addTags returns the tags with those of add that are not there yet.
func addTags(tags, add []string) []string {
	tags = slices.Clone(tags)
	for _, t := range add {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags
}

// removeTags returns the tags without those of remove. The last one takes the
// place of one that goes, as in restic; of a tag that is there twice, one
// goes.
func removeTags(tags, remove []string) []string {
	tags = slices.Clone(tags)
	for _, t := range remove {
		if i := slices.Index(tags, t); i >= 0 {
			last := len(tags) - 1
			tags[i] = tags[last]
			tags = tags[:last]
		}
	}
	return tags
}
