package backup

import (
	"context"
	"errors"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// batchSize is how many entries of a folder are worked on in one go: enough
// that handing them over costs nothing to speak of, few enough that a folder
// of many small files keeps all workers busy.
const batchSize = 32

// dirPath is a folder's path in the snapshot, nil for the root. It is joined
// only when someone asks.
type dirPath struct {
	parent *dirPath
	name   string
}

func (p *dirPath) join(name string) string {
	if p == nil {
		return "/" + name
	}
	return p.parent.join(p.name) + "/" + name
}

// batch is some entries of a folder, in order.
type batch struct {
	names []string
	old   [batchSize]tree.Node // what the parent snapshot has under the name
	known [batchSize]bool      // whether it has anything

	entries
	err  error // ends the backup
	done <-chan struct{}
}

// entries is what saving some entries in a row gives.
type entries struct {
	nodes []byte     // JSON of the nodes, each with a comma behind it
	count int        // of nodes
	look  appearance // of the nodes
}

func (e *entries) reset() {
	e.nodes, e.count = e.nodes[:0], 0
	e.look.reset()
}

// join adds the entries that follow.
func (e *entries) join(next *entries) {
	e.nodes = append(e.nodes, next.nodes...)
	e.count += next.count
	e.look.join(&next.look)
}

// place is where in a batch someone is at work.
type place struct {
	*folder
	b    *batch
	i    int
	rest *rest // the entries behind i, if somebody else saves them; else nil
}

// rest is the end of a batch that was split off.
type rest struct {
	entries
	err  error
	done <-chan struct{}
}

func (p *place) name() string { return p.b.names[p.i] }

// old returns the parent snapshot's node of the entry, or nil.
func (p *place) old() *tree.Node {
	if !p.b.known[p.i] {
		return nil
	}
	return &p.b.old[p.i]
}

// dirContent is what saving a folder's entries gives.
type dirContent struct {
	tree    crypto.ID
	entries int
	added   Added // the tree blob; the entries are counted on their own
}

// saveDir stores the entries of a folder and then its tree. An error that is
// not a *repoError means that the folder can't be read.
func (a *archiver) saveDir(ctx context.Context, d source.Folder, path *dirPath, parent crypto.ID) (dirContent, error) {
	begun := time.Now()
	names, err := d.Names()
	if err != nil {
		return dirContent{}, err
	}
	content, subs, err := a.saveUnchanged(ctx, d, path, names, parent)
	if err != nil || content.tree != noTree {
		return content, err
	}
	f := &folder{Folder: d, path: path, subs: subs, old: a.openOld(ctx, path, parent), builder: a.repo.NewTreeBuilder()}
	f.look.begun = begun
	defer f.old.close()
	defer f.builder.Close()
	if err := a.saveEntries(ctx, f, names); err != nil {
		return dirContent{}, &repoError{err}
	}
	content, err = a.saveTree(ctx, f.builder)
	if err == nil {
		a.remember(content.tree, &f.look)
	}
	return content, err
}

// folder is a folder whose tree is being made.
type folder struct {
	source.Folder
	path    *dirPath
	subs    map[string]dirContent // subfolders that are saved already
	old     *oldTree              // the parent snapshot's
	builder *repo.TreeBuilder
	look    folderLook
}

// saveEntries cuts names into batches and appends their nodes to the folder's
// tree in order. A window of batches is under way at the same time, so that
// memory does not grow with the number of names.
func (a *archiver) saveEntries(ctx context.Context, f *folder, names []string) error {
	var window []*batch
	var err error
	for err == nil && (len(names) > 0 || len(window) > 0) {
		for len(names) > 0 && len(window) <= cap(a.slots) {
			b := a.newBatch(names[:min(batchSize, len(names))], f.old)
			names = names[len(b.names):]
			work := func() { b.err = a.saveBatch(ctx, f, b) }
			if len(names) == 0 && len(window) == 0 {
				b.done = runHere(work) // a small folder: nothing to overlap with
			} else {
				b.done = a.fork(work)
			}
			window = append(window, b)
		}
		a.wait(window[0].done)
		if err = window[0].err; err == nil {
			err = f.builder.Append(window[0].nodes, window[0].count)
			if a.folders != nil {
				f.look.add(&window[0].look)
			}
		}
		a.batches.Put(window[0])
		window = window[1:]
	}
	for _, b := range window {
		a.wait(b.done) // they use f, which the caller closes
	}
	return err
}

// newBatch pairs names with the nodes of the parent snapshot's folder.
func (a *archiver) newBatch(names []string, old *oldTree) *batch {
	b, _ := a.batches.Get().(*batch)
	if b == nil {
		b = new(batch)
	}
	b.names, b.err = names, nil
	b.reset()
	for i, name := range names {
		b.known[i] = old.find(name, &b.old[i])
	}
	return b
}

// saveBatch saves the entries of a batch. Its error ends the backup; what
// concerns one entry is reported.
func (a *archiver) saveBatch(ctx context.Context, f *folder, b *batch) error {
	return a.saveFrom(ctx, &place{folder: f, b: b}, &b.entries)
}

// saveFrom saves the entries of a batch one by one, from p on, and adds them
// to out. At a folder it leaves the rest to another goroutine if there is one
// to spare.
func (a *archiver) saveFrom(ctx context.Context, p *place, out *entries) error {
	var n tree.Node
	for ; p.i < len(p.b.names) && p.rest == nil; p.i++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n = tree.Node{}
		ok, err := a.saveEntry(ctx, p, &n)
		if ferr := fatal(err); ferr != nil {
			a.join(out, p.rest)
			return ferr
		}
		if ok {
			err = errors.Join(err, out.add(&n, a.folders != nil))
		}
		if err != nil {
			out.look.incomplete = true
			a.report(p.path.join(p.name()), err)
		}
	}
	return a.join(out, p.rest)
}

// fatal returns the error that ends the backup if err is one, else nil.
func fatal(err error) error {
	var fatal *repoError
	if errors.As(err, &fatal) {
		return fatal.err
	}
	if ferr := (*source.FatalError)(nil); errors.As(err, &ferr) {
		return ferr
	}
	return nil
}

// add appends a node. A node that can't be encoded is left out.
func (e *entries) add(n *tree.Node, remember bool) error {
	nodes, err := tree.AppendNode(e.nodes, n)
	if err != nil {
		return err
	}
	e.nodes = append(nodes, ',')
	e.count++
	if remember {
		e.look.add(n)
	}
	return nil
}

// splitOff gives the entries behind p to another goroutine if a slot is free.
func (a *archiver) splitOff(ctx context.Context, p *place) {
	if p.i+1 == len(p.b.names) {
		return
	}
	r, _ := a.rests.Get().(*rest)
	if r == nil {
		r = new(rest)
	}
	r.reset()
	behind := &place{folder: p.folder, b: p.b, i: p.i + 1}
	var ok bool
	if r.done, ok = a.tryFork(func() { r.err = a.saveFrom(ctx, behind, &r.entries) }); ok {
		p.rest = r
	} else {
		a.rests.Put(r)
	}
}

// join waits for what was split off and adds it.
func (a *archiver) join(out *entries, r *rest) error {
	if r == nil {
		return nil
	}
	a.wait(r.done)
	out.join(&r.entries)
	err := r.err
	a.rests.Put(r)
	return err
}

// saveEntry fills n with an entry's metadata and stores its content. It
// returns false if the entry is left out, with an error unless that is how it
// should be; an error with true means that n lacks some metadata.
func (a *archiver) saveEntry(ctx context.Context, p *place, n *tree.Node) (bool, error) {
	start := time.Now()
	included, err := p.Lstat(p.name(), n)
	if err != nil || !included {
		return false, err
	}
	switch n.Type {
	case tree.TypeFile:
		return a.saveFile(ctx, p.folder, p.name(), p.old(), n, start)
	case tree.TypeDir:
		return a.saveSubdir(ctx, p, n, start)
	}
	return keep(p.Finish(p.name(), n))
}

// keep tells apart what leaves an entry out and what only leaves it
// incomplete.
func keep(err error) (bool, error) {
	var incomplete *source.MetadataError
	return err == nil || errors.As(err, &incomplete), err
}

func (a *archiver) saveSubdir(ctx context.Context, p *place, n *tree.Node, start time.Time) (bool, error) {
	f, name, old := p.folder, p.name(), p.old()
	content, saved := f.subs[name]
	if !saved {
		a.splitOff(ctx, p)
		oldTree := noTree
		if old != nil && old.Type == tree.TypeDir {
			oldTree = old.Subtree
		}
		var err error
		if content, err = a.openAndSave(ctx, f.Folder, f.path, name, oldTree); err != nil {
			return false, err
		}
	}
	n.Subtree = content.tree
	ok, err := keep(f.Finish(name, n))
	if ok {
		a.saved(f.path, n, compare(old, n), start, content.added)
	}
	return ok, err
}

// openAndSave saves the folder name in d.
func (a *archiver) openAndSave(ctx context.Context, d source.Folder, path *dirPath, name string, parent crypto.ID) (dirContent, error) {
	sub, err := d.OpenFolder(name)
	if err != nil {
		return dirContent{}, err
	}
	defer sub.Close()
	return a.saveDir(ctx, sub, &dirPath{parent: path, name: name}, parent)
}

// compare says how n relates to the parent snapshot's node.
func compare(old, n *tree.Node) Action {
	switch {
	case old == nil || old.Type != n.Type:
		return New
	case old.Equal(n):
		return Unmodified
	}
	return Changed
}

func (a *archiver) saveFile(ctx context.Context, d *folder, name string, old, n *tree.Node, start time.Time) (bool, error) {
	if old != nil && a.sameFile(old, n) {
		if a.haveContent(old) {
			n.Content = old.Content
			if n.Content == nil {
				n.Content = []crypto.ID{}
			}
			ok, err := keep(d.Finish(name, n))
			if ok {
				a.processed(int64(n.Size))
				a.saved(d.path, n, Unmodified, start, Added{})
			}
			return ok, err
		}
		a.report(d.path.join(name), errLostContent)
	}
	defer a.reading(d.path, name)()
	f, err := d.OpenFile(name, n)
	if err != nil {
		return false, err
	}
	defer f.Close()
	content, err := a.saveContent(ctx, f, n.Size)
	if err != nil {
		return false, err
	}
	n.Content, n.Size = content.ids, uint64(content.size)
	ok, err := keep(f.Finish(n))
	if ok {
		a.saved(d.path, n, compare(old, n), start, content.added)
	}
	return ok, err
}

var errLostContent = errors.New("the repository lacks parts of this file although it has not changed; reading it again")

// sameFile reports whether a file's metadata says that its content is that of
// the parent snapshot. Devices are not compared: their numbers change from
// one boot to the next.
func (a *archiver) sameFile(old, n *tree.Node) bool {
	return old.Type == tree.TypeFile &&
		old.Size == n.Size &&
		old.ModTime.Equal(n.ModTime) &&
		(a.opts.IgnoreInode || a.opts.IgnoreCtime || old.ChangeTime.Equal(n.ChangeTime)) &&
		(a.opts.IgnoreInode || old.Inode == n.Inode)
}

// haveContent reports whether the repository has all chunks of a file.
func (a *archiver) haveContent(old *tree.Node) bool {
	for _, id := range old.Content {
		if !a.repo.HasBlob(dataHandle(id)) {
			return false
		}
	}
	return old.Size == 0 || len(old.Content) > 0
}
