package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

type lsOptions struct {
	filterOptions
	long, recursive, human, ncdu, reverse bool
	sort                                  string
}

func newLsCommand(app *cli.App) *cobra.Command {
	var opts lsOptions
	cmd := &cobra.Command{
		Use:   "ls [flags] snapshotID [dir...]",
		Short: "List files in a snapshot",
		Long: `The "ls" command lists files and directories in a snapshot.

The special snapshot ID "latest" can be used to list files and
directories of the latest snapshot in the repository.

Any directory paths specified must be absolute (starting with a path
separator); paths use the forward slash '/' as separator. With such paths only
what is directly in them is listed, unless --recursive is given.` + exitStatus,
		Example: "  garner ls latest\n  garner ls -l --host web1 latest /etc\n  garner ls latest:/home/user --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLs(cmd.Context(), app, opts, args)
		},
	}
	f := cmd.Flags()
	opts.addFlags(app, f, singleSnapshot)
	f.BoolVarP(&opts.long, "long", "l", false, "use a long listing format showing size and mode")
	f.BoolVar(&opts.recursive, "recursive", false, "include files in subfolders of the listed directories")
	f.BoolVar(&opts.human, "human-readable", false, "print sizes in human readable format")
	f.BoolVar(&opts.ncdu, "ncdu", false, "output NCDU export format (pipe into 'ncdu -f -')")
	f.StringVarP(&opts.sort, "sort", "s", "name", "sort output by (name|size|time=mtime|atime|ctime|extension)")
	f.BoolVar(&opts.reverse, "reverse", false, "reverse sorted output")
	return cmd
}

// lister prints what ls finds.
type lister interface {
	begin(sn *snapshot.Snapshot, dirs []string) error
	node(path string, n *tree.Node) error // n is valid until it returns
	leave(path string) error              // a folder, after what is in it
	end() error
}

// newLister returns the lister for the form that the flags ask for.
func newLister(app *cli.App, opts lsOptions) (lister, error) {
	var out lister
	switch {
	case app.JSON:
		out = &jsonLister{app}
	case opts.ncdu:
		out = &ncduLister{app: app}
	default:
		out = &textLister{app, opts}
	}
	if opts.sort != "name" || opts.reverse {
		if opts.ncdu {
			return nil, cli.Usage("--sort and --reverse are not supported with --ncdu")
		}
		less, err := nodeOrder(opts.sort)
		if err != nil {
			return nil, err
		}
		out = &sortedLister{lister: out, less: less, reverse: opts.reverse}
	}
	return out, nil
}

func runLs(ctx context.Context, app *cli.App, opts lsOptions, args []string) error {
	if len(args) == 0 {
		return cli.Usage("no snapshot ID specified, specify snapshot ID or use special ID 'latest'")
	}
	if opts.ncdu && app.JSON {
		return cli.Usage("only either '--json' or '--ncdu' can be specified")
	}
	dirs := args[1:]
	for _, d := range dirs {
		if !strings.HasPrefix(d, "/") {
			return cli.Usage("All path filters must be absolute, starting with a forward slash '/'")
		}
	}
	out, err := newLister(app, opts)
	if err != nil {
		return err
	}
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) (err error) {
		defer bufferOutput(app)(&err)
		sn, folder, err := r.FindSnapshot(ctx, args[0], opts.filter())
		if err != nil {
			return err
		}
		if err := r.LoadIndex(ctx); err != nil {
			return err
		}
		root, err := treeOf(ctx, r, sn, folder)
		if err != nil {
			return err
		}
		sn.Tree = &root // what is listed, as restic says it
		if err := out.begin(sn, dirs); err != nil {
			return err
		}
		w := lsWalk{ctx: ctx, out: out, dirs: dirs, all: len(dirs) == 0, recursive: opts.recursive, ancestors: opts.ncdu}
		w.load = func(id crypto.ID) (nodeReader, error) { return r.LoadTree(ctx, id) }
		if w.all { // nothing that is loaded ahead is loaded in vain
			ahead := r.TreesAhead(nil)
			w.load = func(id crypto.ID) (nodeReader, error) { return ahead.LoadTree(ctx, id) }
		}
		for i := range w.dirs {
			w.dirs[i] = path.Clean(w.dirs[i])
		}
		if err := w.walk(root, "/"); err != nil {
			return err
		}
		return out.end()
	})
}

// nodeReader is a tree of a repository.
type nodeReader interface {
	Next(n *tree.Node) error
	Close() error
}

// lsWalk visits the nodes that were asked for.
type lsWalk struct {
	ctx       context.Context // of one runLs
	load      func(id crypto.ID) (nodeReader, error)
	out       lister
	dirs      []string // clean absolute paths
	all       bool     // no dirs: everything
	recursive bool
	ancestors bool // show also the folders on the way to dirs
}

// wanted reports whether a path is one of dirs or in one of them, and whether
// what is below it may be.
func (w *lsWalk) wanted(p string) (show, below bool) {
	if w.all {
		return true, true
	}
	for _, d := range w.dirs {
		inside := strings.HasPrefix(p, strings.TrimSuffix(d, "/")+"/")
		switch {
		case p == d:
			show, below = true, true
		case inside && (w.recursive || path.Dir(p) == d):
			show, below = true, below || w.recursive
		case strings.HasPrefix(d, p+"/"):
			show, below = show || w.ancestors, true
		}
	}
	return show, below
}

func (w *lsWalk) walk(id crypto.ID, dir string) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	nodes, err := w.load(id)
	if err != nil {
		return fmt.Errorf("folder %s: %w", dir, err)
	}
	defer nodes.Close()
	n := new(tree.Node)
	for {
		err := nodes.Next(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("folder %s: %w", dir, err)
		}
		p := joinName(dir, n.Name)
		show, below := w.wanted(p)
		if show {
			if err := w.out.node(p, n); err != nil {
				return err
			}
		}
		if below && n.Type == tree.TypeDir && !n.Subtree.IsZero() {
			if err := w.walk(n.Subtree, p); err != nil {
				return err
			}
		}
		if show && n.Type == tree.TypeDir {
			if err := w.out.leave(p); err != nil {
				return err
			}
		}
	}
}

// joinName is path.Join for a clean folder, which need not look at it again.
func joinName(dir, name string) string {
	if tree.CheckName(name) != nil {
		return path.Join(dir, name)
	}
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

// bufferOutput gathers what a command prints, which is a line at a time,
// unless somebody is watching. The function that it returns prints the rest
// and sets err if that fails.
func bufferOutput(app *cli.App) (flush func(err *error)) {
	if ui.IsTerminal(app.StdoutFD, app.Getenv) {
		return func(*error) {}
	}
	direct := app.Stdout
	buffered := bufio.NewWriterSize(direct, 64<<10)
	app.Stdout = buffered
	return func(err *error) {
		app.Stdout = direct
		if e := buffered.Flush(); e != nil && *err == nil {
			*err = e
		}
	}
}

// textLister prints for people.
type textLister struct {
	app  *cli.App
	opts lsOptions
}

func (l *textLister) begin(sn *snapshot.Snapshot, dirs []string) error {
	l.app.Printf("snapshot %s of %v at %s by %s filtered by %v:\n", sn.ID.Short(), sn.Paths, sn.Time, by(sn), dirs)
	return nil
}

// by says who made a snapshot, and where.
func by(sn *snapshot.Snapshot) string { return sn.Username + "@" + sn.Hostname }

func (l *textLister) node(p string, n *tree.Node) error {
	_, err := fmt.Fprintln(l.app.Stdout, itemLine(p, n, l.opts.long, l.opts.human))
	return err
}

// itemLine shows an item for people.
func itemLine(p string, n *tree.Node, long, human bool) string {
	if !long {
		return p
	}
	size := fmt.Sprintf("%6d", n.Size)
	if human {
		size = ui.Bytes(n.Size)
	}
	target := ""
	if n.Type == tree.TypeSymlink {
		target = " -> " + n.LinkTarget
	}
	return fmt.Sprintf("%s %5d %5d %s %s %s%s", n.Mode, n.UID, n.GID, size, n.ModTime.Local().Format(timeFormat), p, target)
}

func (l *textLister) leave(string) error { return nil }
func (l *textLister) end() error         { return nil }

// jsonLister prints one document for each line.
type jsonLister struct{ app *cli.App }

type lsSnapshot struct {
	snapshotJSON
	MessageType string `json:"message_type"` // "snapshot"
	StructType  string `json:"struct_type"`  // the same, for old programs
}

type lsNode struct {
	Name        string        `json:"name"`
	Type        tree.NodeType `json:"type"`
	Path        string        `json:"path"`
	UID         uint32        `json:"uid"`
	GID         uint32        `json:"gid"`
	Size        *uint64       `json:"size,omitempty"` // files only
	Mode        uint32        `json:"mode,omitempty"`
	Permissions string        `json:"permissions,omitempty"`
	ModTime     time.Time     `json:"mtime"`
	AccessTime  time.Time     `json:"atime"`
	ChangeTime  time.Time     `json:"ctime"`
	Inode       uint64        `json:"inode,omitempty"`
	MessageType string        `json:"message_type"` // "node"
	StructType  string        `json:"struct_type"`
}

func (l *jsonLister) begin(sn *snapshot.Snapshot, _ []string) error {
	return l.app.PrintJSON(lsSnapshot{toJSON(sn), "snapshot", "snapshot"})
}

func (l *jsonLister) node(p string, n *tree.Node) error {
	m := lsNode{
		Name: n.Name, Type: n.Type, Path: p, UID: n.UID, GID: n.GID,
		Mode: uint32(n.Mode), Permissions: n.Mode.String(),
		ModTime: n.ModTime, AccessTime: n.AccessTime, ChangeTime: n.ChangeTime,
		Inode: n.Inode, MessageType: "node", StructType: "node",
	}
	if n.Type == tree.TypeFile {
		m.Size = &n.Size
	}
	return l.app.PrintJSON(m)
}

func (l *jsonLister) leave(string) error { return nil }
func (l *jsonLister) end() error         { return nil }

// sortedLister collects all nodes and passes them on in another order.
type sortedLister struct {
	lister
	less    func(a, b *foundNode) int
	reverse bool
	found   []*foundNode
}

type foundNode struct {
	path string
	node *tree.Node
}

// nodeOrder returns the comparison for a --sort word.
func nodeOrder(word string) (func(a, b *foundNode) int, error) {
	byTime := func(of func(*tree.Node) time.Time) func(a, b *foundNode) int {
		return func(a, b *foundNode) int {
			return cmp.Or(of(a.node).Compare(of(b.node)), strings.Compare(a.path, b.path))
		}
	}
	switch word {
	case "name":
		return func(a, b *foundNode) int { return strings.Compare(a.path, b.path) }, nil
	case "size":
		return func(a, b *foundNode) int {
			return cmp.Or(cmp.Compare(a.node.Size, b.node.Size), strings.Compare(a.path, b.path))
		}, nil
	case "time", "mtime":
		return byTime(func(n *tree.Node) time.Time { return n.ModTime }), nil
	case "atime":
		return byTime(func(n *tree.Node) time.Time { return n.AccessTime }), nil
	case "ctime":
		return byTime(func(n *tree.Node) time.Time { return n.ChangeTime }), nil
	case "extension":
		return func(a, b *foundNode) int {
			return cmp.Or(strings.Compare(path.Ext(a.path), path.Ext(b.path)), strings.Compare(a.path, b.path))
		}, nil
	}
	return nil, cli.Usage("invalid sort order %q, must be one of (name|size|time=mtime|atime|ctime|extension)", word)
}

func (l *sortedLister) node(p string, n *tree.Node) error {
	kept := *n
	kept.Content, kept.ExtendedAttributes = nil, nil // not shown, and their memory is used again
	l.found = append(l.found, &foundNode{p, &kept})
	return nil
}

func (l *sortedLister) leave(string) error { return nil }

func (l *sortedLister) end() error {
	slices.SortStableFunc(l.found, l.less)
	if l.reverse {
		slices.Reverse(l.found)
	}
	for _, f := range l.found {
		if err := l.lister.node(f.path, f.node); err != nil {
			return err
		}
	}
	return l.lister.end()
}
