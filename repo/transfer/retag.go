package transfer

import (
	"context"
	"fmt"
	"slices"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
)

// RetagOptions say how tags change; nil changes nothing.
type RetagOptions struct {
	// Set replaces all tags; empty leaves them. A snapshot that has just
	// these tags gets a new version all the same.
	Set []string
	// Add and Remove change the tags that are there, in this order.
	Add, Remove []string
	// Changed, if set, is told of each snapshot that has been replaced.
	Changed func(old, changed *snapshot.Snapshot)
}

// Retag replaces snapshots by versions with other tags and returns how many.
// Those that would not change are left alone. The repository must be locked
// exclusively, as snapshots are removed.
func Retag(ctx context.Context, r *repo.Repo, snapshots []*snapshot.Snapshot, opts *RetagOptions) (changed int, err error) {
	if opts == nil {
		return 0, nil
	}
	for _, sn := range snapshots {
		tags, differs := opts.apply(sn.Tags)
		if !differs {
			continue
		}
		version := *sn
		version.Tags = tags
		if sn.Original == nil {
			version.Original = &sn.ID
		}
		if err := replace(ctx, r, sn, &version); err != nil {
			return changed, fmt.Errorf("change the tags of snapshot %s: %w", sn.ID.Short(), err)
		}
		changed++
		if opts.Changed != nil {
			opts.Changed(sn, &version)
		}
	}
	return changed, nil
}

// apply returns the new tags, and whether anything was set, added or removed
// on the way there.
func (o *RetagOptions) apply(tags []string) ([]string, bool) {
	if len(o.Set) > 0 {
		return slices.Clone(o.Set), true
	}
	more := addTags(tags, o.Add)
	fewer := removeTags(more, o.Remove)
	return fewer, len(more) > len(tags) || len(fewer) < len(more)
}
