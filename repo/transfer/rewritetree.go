package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/tree"
)

// UnknownContentError means that a tree holds something that this version
// does not know, so that it would be lost if the tree was stored again.
type UnknownContentError struct {
	Path string
	Tree crypto.ID
}

func (e *UnknownContentError) Error() string {
	return fmt.Sprintf("folder %s: tree %s has content that is not known here and would be lost, so it can't be changed", e.Path, e.Tree.Short())
}

// rewrittenTree is what became of a tree and those below it.
type rewrittenTree struct {
	tree  crypto.ID // zero: nothing was left, and it is left out
	files uint
	bytes uint64
}

// maxMemo is how many trees the memo remembers, at 120 bytes each.
const maxMemo = 1 << 18

// rewriteMemo remembers what became of trees: most folders are the same in
// one snapshot after another. What patterns say depends on the path, so path
// and tree together are the key.
type rewriteMemo struct {
	off bool
	mu  sync.Mutex
	m   map[crypto.ID]rewrittenTree // owned by mu
}

// key is the same for all paths if the path does not matter.
func (m *rewriteMemo) key(path string, id crypto.ID, paths bool) crypto.ID {
	if !paths {
		return id
	}
	return crypto.Hash(append([]byte(path), id[:]...))
}

func (m *rewriteMemo) get(key crypto.ID) (rewrittenTree, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.m[key]
	return t, ok
}

func (m *rewriteMemo) put(key crypto.ID, t rewrittenTree) {
	if m.off {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = make(map[crypto.ID]rewrittenTree)
	}
	for old := range m.m {
		if len(m.m) < maxMemo {
			break
		}
		delete(m.m, old) // any: each is as likely to be asked for as the others
	}
	m.m[key] = t
}

// root rewrites the trees of a snapshot. When it returns, they are durable.
func (w *rewriter) root(ctx context.Context, id crypto.ID) (t rewrittenTree, err error) {
	if w.opts.DryRun {
		return w.folder(ctx, nil, "/", id)
	}
	err = w.repo.Write(ctx, func(ctx context.Context, writer *repo.Writer) error {
		t, err = w.folder(ctx, writer, "/", id)
		return err
	})
	return t, err
}

// folder rewrites a tree and those below it. Without a writer it only finds
// out what they become.
func (w *rewriter) folder(ctx context.Context, writer *repo.Writer, path string, id crypto.ID) (rewrittenTree, error) {
	key := w.memo.key(path, id, len(w.opts.Excludes)+len(w.opts.Includes) > 0)
	if t, ok := w.memo.get(key); ok {
		return t, nil
	}
	if ctx.Err() != nil {
		return rewrittenTree{}, context.Cause(ctx)
	}
	nodes, err := w.repo.LoadTree(ctx, id)
	if err != nil {
		return rewrittenTree{}, fmt.Errorf("folder %s: %w", path, err)
	}
	defer nodes.Close()
	f := &folderRewrite{
		w: w, ctx: ctx, writer: writer, path: path, id: id,
		same: sha256.New(), builder: w.repo.NewTreeBuilder(),
	}
	defer f.builder.Close()
	if err = f.read(nodes); err == nil {
		err = f.flush()
	}
	f.wait()
	if err == nil {
		err = f.finish()
	}
	if err == nil {
		w.memo.put(key, f.result)
	}
	return f.result, err
}

// A folder's nodes are gathered until there are that many subfolders among
// them, which are rewritten at the same time, or that many bytes.
const (
	foldersAtOnce = 32
	bytesAtOnce   = 1 << 20
)

// folderRewrite rewrites one tree as a stream.
type folderRewrite struct {
	w      *rewriter
	ctx    context.Context // of one Rewrite
	writer *repo.Writer    // nil: dry run
	path   string
	id     crypto.ID

	same    hash.Hash // of the old tree as it is encoded here
	count   int       // of nodes in the old tree
	last    string    // name of the last one
	scratch []byte    // its JSON

	nodes   []byte // JSON of nodes that are kept, each with a comma behind it
	kept    int    // how many
	pending []*subfolder

	builder *repo.TreeBuilder // the new tree, but for what is in nodes
	changed bool
	result  rewrittenTree
}

// subfolder is a folder whose tree is being rewritten. Its node comes after
// that many bytes of nodes.
type subfolder struct {
	node   tree.Node
	at     int
	result rewrittenTree
	err    error
	done   chan struct{}
}

// read takes in all nodes of the old tree.
func (f *folderRewrite) read(nodes *repo.TreeReader) error {
	f.same.Write([]byte(tree.Header))
	n := new(tree.Node)
	for {
		err := nodes.Next(n)
		if errors.Is(err, io.EOF) {
			f.same.Write([]byte(tree.Trailer))
			if crypto.ID(f.same.Sum(nil)) != f.id {
				return &UnknownContentError{Path: f.path, Tree: f.id}
			}
			return nil
		}
		if err == nil {
			err = f.check(n)
		}
		if err != nil {
			return fmt.Errorf("folder %s: tree %s: %w", f.path, f.id.Short(), err)
		}
		taken, err := f.add(n)
		if err != nil {
			return err
		}
		if taken {
			n = new(tree.Node)
		}
	}
}

// check encodes a node as it is, to see later whether nothing gets lost.
func (f *folderRewrite) check(n *tree.Node) error {
	if f.count > 0 {
		if n.Name <= f.last {
			return &tree.OrderError{Previous: f.last, Name: n.Name}
		}
		f.same.Write([]byte{','})
	}
	f.count++
	f.last = n.Name
	var err error
	if f.scratch, err = tree.AppendNode(f.scratch[:0], n); err != nil {
		return err
	}
	f.same.Write(f.scratch)
	return nil
}

// add keeps a node or leaves it out. It reports whether it holds on to it.
func (f *folderRewrite) add(n *tree.Node) (taken bool, err error) {
	path := joinPath(f.path, n.Name)
	if !f.w.keeps(path, n.Type == tree.TypeDir) {
		f.changed = true
		return false, nil
	}
	if n.Type == tree.TypeDir {
		f.begin(path, n)
		taken = true
	} else {
		f.nodes = append(append(f.nodes, f.scratch...), ',')
		f.kept++
		if n.Type == tree.TypeFile {
			f.result.files++
			f.result.bytes += n.Size
		}
	}
	if len(f.pending) >= foldersAtOnce || len(f.nodes) >= bytesAtOnce {
		err = f.flush()
	}
	return taken, err
}

func joinPath(folder, name string) string {
	if folder == "/" {
		return folder + name
	}
	return folder + "/" + name
}

// begin rewrites a subfolder, in a goroutine of its own if a slot is free. It
// never waits for a slot, as who holds one may be waiting for this.
func (f *folderRewrite) begin(path string, n *tree.Node) {
	s := &subfolder{node: *n, at: len(f.nodes), done: make(chan struct{})}
	f.pending = append(f.pending, s)
	work := func() {
		defer close(s.done)
		s.result, s.err = f.w.folder(f.ctx, f.writer, path, s.node.Subtree)
	}
	select {
	case f.w.slots <- struct{}{}:
		go func() {
			defer func() { <-f.w.slots }()
			work()
		}()
	default:
		work()
	}
}

// wait waits for all subfolders that were begun.
func (f *folderRewrite) wait() {
	for _, s := range f.pending {
		<-s.done
	}
}

// flush appends what has gathered to the new tree.
func (f *folderRewrite) flush() error {
	start := 0
	for _, s := range f.pending {
		<-s.done
		if s.err != nil {
			return s.err
		}
		if s.result.tree.IsZero() {
			f.changed = true
			continue
		}
		f.changed = f.changed || s.result.tree != s.node.Subtree
		f.result.files += s.result.files
		f.result.bytes += s.result.bytes
		s.node.Subtree = s.result.tree
		node, err := tree.AppendNode(f.scratch[:0], &s.node)
		if err != nil {
			return err
		}
		f.scratch = append(node, ',')
		if err := f.append(f.nodes[start:s.at], f.scratch); err != nil {
			return err
		}
		start = s.at
		f.kept++
	}
	if err := f.append(f.nodes[start:]); err != nil {
		return err
	}
	err := f.builder.Append(nil, f.kept)
	f.nodes, f.pending, f.kept = f.nodes[:0], f.pending[:0], 0
	return err
}

func (f *folderRewrite) append(nodes ...[]byte) error {
	for _, b := range nodes {
		if err := f.builder.Append(b, 0); err != nil {
			return err
		}
	}
	return nil
}

// finish stores the new tree unless it is the old one, or nothing is left.
func (f *folderRewrite) finish() error {
	if f.builder.Len() == 0 && !f.w.keepsEmpty(f.path) {
		f.result = rewrittenTree{}
		return nil
	}
	if !f.changed {
		f.result.tree = f.id
		return nil
	}
	var err error
	if f.result.tree, err = f.builder.Finish(); err == nil && f.writer != nil {
		_, err = f.builder.Save(f.ctx, f.writer)
	}
	return err
}

// keeps decides about an item.
func (w *rewriter) keeps(path string, folder bool) bool {
	switch {
	case len(w.opts.Excludes) > 0:
		if matched, _ := matchAny(w.opts.Excludes, path); matched {
			w.told(func(o *RewriteObserver) {
				if o.Excluded != nil {
					o.Excluded(path)
				}
			})
			return false
		}
	case len(w.opts.Includes) > 0:
		matched, below := matchAny(w.opts.Includes, path)
		if !matched && !(folder && below) {
			return false
		}
		if !folder {
			w.included(path, false)
		}
	}
	return true
}

// keepsEmpty decides about a folder of which nothing is left.
func (w *rewriter) keepsEmpty(path string) bool {
	if len(w.opts.Includes) == 0 {
		return true
	}
	matched, _ := matchAny(w.opts.Includes, path)
	if matched {
		w.included(path, true)
	}
	return matched
}

func (w *rewriter) included(path string, folder bool) {
	w.told(func(o *RewriteObserver) {
		if o.Included != nil {
			o.Included(path, folder)
		}
	})
}

func (w *rewriter) told(fn func(o *RewriteObserver)) {
	if w.memo.off { // someone listens
		w.tell.Lock()
		defer w.tell.Unlock()
		fn(&w.opts.Observer)
	}
}

func matchAny(lists []*pattern.List, path string) (matched, below bool) {
	for _, l := range lists {
		m, b := l.Match(path)
		matched, below = matched || m, below || b
	}
	return matched, below
}
