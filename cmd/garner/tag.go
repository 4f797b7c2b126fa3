package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
)

type tagOptions struct {
	filterOptions
	set, add, remove []string
}

func newTagCommand(app *cli.App) *cobra.Command {
	var opts tagOptions
	cmd := &cobra.Command{
		Use:   "tag [flags] [snapshotID ...]",
		Short: "Modify tags on snapshots",
		Long: `The "tag" command changes the tags of snapshots that exist: it replaces all of
them, or adds some and removes others.

Without a snapshot ID it works on all snapshots that pass the filters for host,
tag and path. A snapshot whose tags change gets a new ID; the ID of its first
version stays in it.` + exitStatus,
		Example: "  garner tag --add keep,web latest\n  garner tag --host web1 --remove old\n  garner tag --set archive 590c8fc8",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTag(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&opts.set, "set", nil, "`tags` that replace the existing ones, in the format tag[,tag,...] (can be given multiple times)")
	f.StringArrayVar(&opts.add, "add", nil, "`tags` to add to the existing ones, in the format tag[,tag,...] (can be given multiple times)")
	f.StringArrayVar(&opts.remove, "remove", nil, "`tags` to remove from the existing ones, in the format tag[,tag,...] (can be given multiple times)")
	opts.addFlags(app, f, "only consider snapshots")
	return cmd
}

// The messages of tag.
type (
	tagChanged struct {
		MessageType string    `json:"message_type"` // "changed"
		Old         crypto.ID `json:"old_snapshot_id"`
		New         crypto.ID `json:"new_snapshot_id"`
	}
	tagSummary struct {
		MessageType string `json:"message_type"` // "summary"
		Changed     int    `json:"changed_snapshots"`
	}
)

func runTag(ctx context.Context, app *cli.App, opts tagOptions, ids []string) error {
	switch {
	case len(opts.set)+len(opts.add)+len(opts.remove) == 0:
		return cli.Usage("nothing to do: give --set, --add or --remove")
	case len(opts.set) > 0 && len(opts.add)+len(opts.remove) > 0:
		return cli.Usage("--set and --add/--remove cannot be given at the same time")
	}
	change := &transfer.RetagOptions{
		Set: parseTagFlags(opts.set), Add: parseTagFlags(opts.add), Remove: parseTagFlags(opts.remove),
		Changed: func(old, changed *snapshot.Snapshot) {
			if app.JSON {
				_ = app.PrintJSON(tagChanged{"changed", old.ID, changed.ID}) // a reader that is gone shows at the summary
			} else if app.Verbose >= 2 {
				app.Printf("old snapshot ID: %s -> new snapshot ID: %s\n", old.ID, changed.ID)
			}
		},
	}
	if len(opts.set) > 0 && len(change.Set) == 0 {
		app.Warnf("--set without a tag changes nothing; --remove takes tags away\n")
	}
	app.Printf("create exclusive lock for repository\n")
	return app.Open(ctx, cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
		list, err := findSnapshots(ctx, app, r, opts.filter(), ids)
		if err != nil {
			return err
		}
		changed, err := transfer.Retag(ctx, r, list, change)
		if err != nil {
			return err
		}
		switch {
		case app.JSON:
			return app.PrintJSON(tagSummary{"summary", changed})
		case changed == 0:
			app.Printf("no snapshots were modified\n")
		default:
			app.Printf("modified %d snapshots\n", changed)
		}
		return nil
	})
}

// parseTagFlags returns the tags of flags that may be given several times,
// each with several tags.
func parseTagFlags(values []string) []string {
	lists := make([]snapshot.TagList, 0, len(values))
	for _, v := range values {
		lists = append(lists, snapshot.ParseTags(v))
	}
	return snapshot.Flatten(lists)
}
