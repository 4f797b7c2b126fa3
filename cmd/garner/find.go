package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/find"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

type findOptions struct {
	filterOptions
	oldest, newest                       string
	snapshots                            []string
	blob, tree, pack, showPack           bool
	ignoreCase, long, human, oldToRecent bool
}

func newFindCommand(app *cli.App) *cobra.Command {
	var opts findOptions
	cmd := &cobra.Command{
		Use:   "find [flags] PATTERN...",
		Short: "Find a file, a directory or IDs",
		Long: `The "find" command looks for files and directories in the snapshots of a
repository, by patterns like those that exclude files from a backup. With
--blob, --tree or --pack it shows where objects of the repository are in use.

Snapshots are searched from the newest to the oldest, or with --reverse the
other way round.` + exitStatus,
		Example: "  garner find config.json\n  garner find --json \"*.yml\" \"*.json\"\n  garner find -l --newest \"2024-03-01 12:00\" notes -H web1\n  garner find --blob 420f620f b46ebe8a\n  garner find --tree --show-pack-id 577c2bc9\n  garner find --pack 025c1d06",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runFind(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, "only consider snapshots")
	f.StringVarP(&opts.oldest, "oldest", "O", "", "oldest modification `time`")
	f.StringVarP(&opts.newest, "newest", "N", "", "newest modification `time`")
	f.StringArrayVarP(&opts.snapshots, "snapshot", "s", nil, "snapshot `id` to search in (can be given multiple times)")
	f.BoolVar(&opts.blob, "blob", false, "patterns are IDs of blobs, or beginnings of them")
	f.BoolVar(&opts.tree, "tree", false, "patterns are IDs of trees, or beginnings of them")
	f.BoolVar(&opts.pack, "pack", false, "patterns are IDs of packs, or beginnings of them")
	f.BoolVar(&opts.showPack, "show-pack-id", false, "show which packs the blobs are in (with --blob or --tree)")
	f.BoolVarP(&opts.ignoreCase, "ignore-case", "i", false, "ignore case for pattern")
	f.BoolVarP(&opts.oldToRecent, "reverse", "R", false, "search from the oldest snapshot to the newest")
	f.BoolVarP(&opts.long, "long", "l", false, "use a long listing format showing size and mode")
	f.BoolVar(&opts.human, "human-readable", false, "print sizes in human readable format")
	return cmd
}

// findTimes are the ways in which a time may be written.
var findTimes = []string{
	"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST",
	"02.01.2006", "02.01.2006 15:04", "02.01.2006 15:04:05", "02.01.2006 15:04:05 -0700", "02.01.2006 15:04:05 MST",
	"Mon Jan 2 15:04:05 -0700 MST 2006",
}

func parseFindTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range findTimes {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, cli.Usage("unable to parse time: %q; write it like %q", s, timeFormat)
}

// query returns what the flags say about items.
func (o *findOptions) query(patterns []string) (find.Query, error) {
	q := find.Query{Patterns: patterns, IgnoreCase: o.ignoreCase}
	var err error
	if q.Oldest, err = parseFindTime(o.oldest); err != nil {
		return q, err
	}
	if q.Newest, err = parseFindTime(o.newest); err != nil {
		return q, err
	}
	if !q.Oldest.IsZero() && !q.Newest.IsZero() && q.Oldest.After(q.Newest) {
		return q, cli.Usage("--oldest must specify a time before --newest")
	}
	return q, nil
}

// errFindIncomplete means that there is damage; what was found was told.
var errFindIncomplete = errors.New("not everything could be searched, because some folders can't be read")

func runFind(ctx context.Context, app *cli.App, opts findOptions, args []string) error {
	if len(args) == 0 {
		return cli.Usage("wrong number of arguments: tell at least one pattern")
	}
	kinds := 0
	for _, set := range []bool{opts.blob, opts.tree, opts.pack} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		return cli.Usage("cannot have several ID types")
	}
	query, err := opts.query(args)
	if err != nil {
		return err
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) (err error) {
		defer bufferOutput(app)(&err)
		list, err := findSnapshots(ctx, app, r, opts.filter(), opts.snapshots)
		if err != nil {
			return err
		}
		if snapshot.SortNewestFirst(list); opts.oldToRecent {
			snapshot.SortOldestFirst(list)
		}
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		s := &finding{app: app, opts: &opts}
		query.Problem = s.problem
		if kinds == 0 {
			err = s.names(ctx, r, query, list)
		} else {
			err = s.objects(ctx, r, args, list)
		}
		if err == nil && s.incomplete {
			err = errFindIncomplete
		}
		return err
	})
}

// finding is one run of find.
type finding struct {
	app        *cli.App
	opts       *findOptions
	in         *snapshot.Snapshot // that is being searched
	incomplete bool
	some       bool // something was printed
}

func (s *finding) problem(path string, err error) error {
	s.app.Warnf("snapshot %s, folder %s: %v\n", s.in.ID.Short(), path, err)
	s.incomplete = true
	return nil
}

func (s *finding) names(ctx context.Context, r *repo.Repo, q find.Query, list []*snapshot.Snapshot) error {
	search, err := find.NewNames(r, q)
	if err != nil {
		return err
	}
	s.printJSON("[")
	for _, s.in = range list {
		hits := 0
		err := search.In(ctx, s.in, func(path string, n *tree.Node) error {
			hits++
			return s.name(path, n, hits)
		})
		if err != nil {
			return err
		}
		if hits > 0 {
			s.printJSON(fmt.Sprintf(`],"hits":%d,"snapshot":"%s"}`, hits, s.in.ID))
		}
	}
	s.printJSON("]\n")
	return nil
}

// printJSON prints a piece of the one document that --json makes of all.
func (s *finding) printJSON(piece string) {
	if s.app.JSON {
		fmt.Fprint(s.app.Stdout, piece)
	}
}

// name prints a hit, the first one of a snapshot with a heading.
func (s *finding) name(path string, n *tree.Node, hits int) error {
	if !s.app.JSON {
		if hits == 1 {
			if s.some {
				fmt.Fprintln(s.app.Stdout)
			}
			s.app.Printf("Found matching entries in snapshot %s from %s\n", s.in.ID.Short(), s.in.Time.Local().Format(timeFormat))
		}
		s.some = true
		_, err := fmt.Fprintln(s.app.Stdout, itemLine(path, n, s.opts.long, s.opts.human))
		return err
	}
	b, err := json.Marshal(newFoundItem(path, n))
	if err != nil {
		return err
	}
	switch {
	case hits > 1:
		s.printJSON(",")
	case s.some:
		s.printJSON(`,{"matches":[`)
	default:
		s.printJSON(`{"matches":[`)
	}
	s.some = true
	s.printJSON(string(b))
	return nil
}

// foundItem is an item in messages for programs.
type foundItem struct {
	Path        string        `json:"path,omitempty"`
	Permissions string        `json:"permissions,omitempty"`
	Type        tree.NodeType `json:"type"`
	Mode        uint32        `json:"mode,omitempty"`
	ModTime     time.Time     `json:"mtime"`
	AccessTime  time.Time     `json:"atime"`
	ChangeTime  time.Time     `json:"ctime"`
	UID         uint32        `json:"uid"`
	GID         uint32        `json:"gid"`
	User        string        `json:"user,omitempty"`
	Group       string        `json:"group,omitempty"`
	Inode       uint64        `json:"inode,omitempty"`
	DeviceID    uint64        `json:"device_id,omitempty"`
	Size        uint64        `json:"size,omitempty"`
	Links       uint64        `json:"links,omitempty"`
	LinkTarget  string        `json:"linktarget,omitempty"`
	Error       string        `json:"error,omitempty"`
}

func newFoundItem(path string, n *tree.Node) foundItem {
	return foundItem{
		Path: path, Permissions: n.Mode.String(), Type: n.Type, Mode: uint32(n.Mode),
		ModTime: n.ModTime, AccessTime: n.AccessTime, ChangeTime: n.ChangeTime,
		UID: n.UID, GID: n.GID, User: n.User, Group: n.Group, Inode: n.Inode, DeviceID: n.DeviceID,
		Size: n.Size, Links: n.Links, LinkTarget: n.LinkTarget, Error: n.Error,
	}
}

// foundObject is the use of a blob in messages for programs.
type foundObject struct {
	ObjectType string     `json:"object_type"` // "blob" or "tree"
	ID         crypto.ID  `json:"id"`
	Path       string     `json:"path"`
	ParentTree *crypto.ID `json:"parent_tree,omitempty"` // blobs only
	Snapshot   crypto.ID  `json:"snapshot"`
	Time       time.Time  `json:"time"`
}

func (s *finding) objects(ctx context.Context, r *repo.Repo, ids []string, list []*snapshot.Snapshot) error {
	kind := find.Blobs
	switch {
	case s.opts.tree:
		kind = find.Trees
	case s.opts.pack:
		kind = find.Packs
	}
	search, err := find.NewObjects(ctx, r, kind, ids, s.problem)
	if err != nil {
		return err
	}
	s.printJSON("[")
	for _, s.in = range list {
		if err := search.In(ctx, s.in, s.object); err != nil {
			return err
		}
	}
	s.printJSON("]\n")
	if s.opts.showPack {
		s.packs(r, search)
	}
	return nil
}

func (s *finding) object(o find.Object) error {
	isTree := o.Blob.Type == index.TreeBlob
	if !s.app.JSON {
		if isTree {
			s.app.Printf("Found tree %s\n ... path %s\n", o.Blob.ID, o.Path)
		} else {
			s.app.Printf("Found blob %s\n ... in file %s\n     (tree %s)\n", o.Blob.ID, o.Path, o.Tree)
		}
		s.app.Printf(" ... in snapshot %s (%s)\n", s.in.ID.Short(), s.in.Time.Local().Format(timeFormat))
		return nil
	}
	m := foundObject{ObjectType: "blob", ID: o.Blob.ID, Path: o.Path, ParentTree: &o.Tree, Snapshot: s.in.ID, Time: s.in.Time}
	if isTree {
		m.ObjectType, m.ParentTree = "tree", nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if s.some {
		s.printJSON(",")
	}
	s.some = true
	s.printJSON(string(b))
	return nil
}

// packs prints which packs the objects are in, also with --json: as in
// restic, it follows the document.
func (s *finding) packs(r *repo.Repo, search *find.Objects) {
	blobs, unknown := search.Found()
	for _, text := range unknown {
		id, err := crypto.ParseID(text)
		if err != nil {
			fmt.Fprintf(s.app.Stdout, "Note: cannot find pack for object '%s', unable to parse ID: %v\n", text, err)
			continue
		}
		typ := index.DataBlob
		if s.opts.tree {
			typ = index.TreeBlob
		}
		blobs = append(blobs, index.BlobHandle{Type: typ, ID: id})
	}
	for _, h := range blobs {
		places := r.Index().Lookup(nil, h)
		if len(places) == 0 {
			fmt.Fprintf(s.app.Stdout, "Object %s with type %s not found in the index\n", h.ID.Short(), h.Type)
			continue
		}
		l := places[0]
		fmt.Fprintf(s.app.Stdout, "Object belongs to pack %s\n ... Pack %s: <Blob (%s) %s, offset %d, length %d, uncompressed length %d>\n",
			l.Pack, l.Pack.Short(), l.Type, l.ID.Short(), l.Offset, l.Length, l.UncompressedLength)
	}
}
