package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/foldercache"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// appearance is how the entries of a batch look.
type appearance struct {
	text       []byte // describes the nodes
	subtrees   []crypto.ID
	blobs      []index.Prefix
	newest     time.Time // change time
	incomplete bool      // some entry could not be read, or not in full
}

func (l *appearance) reset() {
	l.text, l.subtrees, l.blobs, l.newest, l.incomplete = l.text[:0], l.subtrees[:0], l.blobs[:0], time.Time{}, false
}

// join adds how the entries that follow look.
func (l *appearance) join(next *appearance) {
	l.text = append(l.text, next.text...)
	l.subtrees = append(l.subtrees, next.subtrees...)
	l.blobs = append(l.blobs, next.blobs...)
	l.newest = later(l.newest, next.newest)
	l.incomplete = l.incomplete || next.incomplete
}

// add enters a node that goes into the tree.
func (l *appearance) add(n *tree.Node) {
	l.text = describe(l.text, n)
	l.newest = later(l.newest, n.ChangeTime)
	if n.Type == tree.TypeDir {
		l.subtrees = append(l.subtrees, n.Subtree)
	}
	for _, id := range n.Content {
		l.blobs = append(l.blobs, index.PrefixOf(id))
	}
}

// describe appends all of a node that one call to the kernel tells, and the
// names of user and group. The rest does not change without the change time.
func describe(dst []byte, n *tree.Node) []byte {
	for _, s := range [...]string{n.Name, string(n.Type), n.User, n.Group} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	for _, t := range [...]time.Time{n.ModTime, n.AccessTime, n.ChangeTime} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(t.Unix()))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(t.Nanosecond()))
	}
	for _, v := range [...]uint64{uint64(n.Mode), uint64(n.UID), uint64(n.GID), n.Inode, n.DeviceID, n.Size, n.Links, n.Device} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// folderLook is how all entries of a folder look: the fingerprint is the hash
// of the hashes of batches of batchSize names.
type folderLook struct {
	sums       []byte // of the batches' texts
	record     foldercache.Record
	begun      time.Time // when the first look was taken
	newest     time.Time // change time of an entry
	incomplete bool
}

// tick is longer than it takes the kernel's clock for change times to move on.
const tick = 20 * time.Millisecond

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// add enters the next batch.
func (f *folderLook) add(l *appearance) {
	sum := sha256.Sum256(l.text)
	f.sums = append(f.sums, sum[:]...)
	f.record.Subtrees = append(f.record.Subtrees, l.subtrees...)
	f.record.Blobs = append(f.record.Blobs, l.blobs...)
	f.newest = later(f.newest, l.newest)
	f.incomplete = f.incomplete || l.incomplete
}

func fingerprint(sums []byte) foldercache.Fingerprint {
	sum := sha256.Sum256(sums)
	return foldercache.Fingerprint(sum[:len(foldercache.Fingerprint{})])
}

// remember takes down how a folder looks whose tree was saved, unless
// something is missing from it, which is to be tried again, or an entry changed
// just now: a further change could have the same time.
func (a *archiver) remember(id crypto.ID, f *folderLook) {
	if a.folders == nil || f.incomplete || f.newest.After(f.begun.Add(-tick)) {
		return
	}
	f.record.Entries = fingerprint(f.sums)
	a.folders.Add(id, &f.record)
}

// survey is what a look at all entries of a folder shows.
type survey struct {
	entries foldercache.Fingerprint
	dirs    []string
	count   int // of entries, dirs included
	files   int
	bytes   int64    // of files
	names   []string // of files, if the observer wants to know
	failed  bool
}

// surveyPiece is how many names one goroutine looks at: many batches.
const surveyPiece = 16 * batchSize

// survey looks at the entries of a folder, side by side if there are many.
func (a *archiver) survey(ctx context.Context, d source.Surveyor, names []string) survey {
	pieces := slices.Collect(slices.Chunk(names, surveyPiece))
	parts := make([]survey, len(pieces))
	sums := make([]byte, (len(names)+batchSize-1)/batchSize*sha256.Size)
	var done []<-chan struct{}
	for i, piece := range pieces {
		from := i * surveyPiece / batchSize * sha256.Size
		work := func() { parts[i] = a.surveyNames(ctx, d, piece, sums[from:]) }
		if i == len(pieces)-1 {
			work()
		} else {
			done = append(done, a.fork(work))
		}
	}
	for _, c := range done {
		a.wait(c)
	}
	var all survey
	for i := range parts {
		all.dirs = append(all.dirs, parts[i].dirs...)
		all.names = append(all.names, parts[i].names...)
		all.count += parts[i].count
		all.files += parts[i].files
		all.bytes += parts[i].bytes
		all.failed = all.failed || parts[i].failed
	}
	all.entries = fingerprint(sums)
	return all
}

// surveyNames looks at some names and sets the sums of their batches.
func (a *archiver) surveyNames(ctx context.Context, d source.Surveyor, names []string, sums []byte) (s survey) {
	wantNames := a.opts.Observer != nil && a.opts.Observer.Item != nil
	var text []byte
	var n tree.Node
	for batch := range slices.Chunk(names, batchSize) {
		text = text[:0]
		for _, name := range batch {
			n = tree.Node{}
			ok, err := d.Survey(name, &n)
			if err != nil || ctx.Err() != nil {
				s.failed = true
				return s
			}
			if !ok {
				continue
			}
			text = describe(text, &n)
			s.count++
			switch n.Type {
			case tree.TypeDir:
				s.dirs = append(s.dirs, name)
			case tree.TypeFile:
				s.files++
				s.bytes += int64(n.Size)
				if wantNames {
					s.names = append(s.names, name)
				}
			}
		}
		sum := sha256.Sum256(text)
		sums = sums[copy(sums, sum[:]):]
	}
	return s
}

// saveUnchanged saves a folder that looks as it did when the tree parent was
// made of it, without making a tree. If a subfolder has changed, or the
// repository lacks anything, the content it returns has no tree, and subs are
// the subfolders that it has saved; so it is if nothing is known of the folder.
func (a *archiver) saveUnchanged(ctx context.Context, d source.Folder, path *dirPath, names []string, parent crypto.ID) (
	content dirContent, subs map[string]dirContent, err error) {
	surveyor, ok := d.(source.Surveyor)
	var record foldercache.Record
	if !ok || a.folders == nil || parent == noTree || !surveyor.ChangeTimesTell() || !a.folders.Lookup(parent, &record) || !a.holds(parent, record.Blobs) {
		return dirContent{}, nil, nil
	}
	s := a.survey(ctx, surveyor, names)
	if s.failed || s.entries != record.Entries || len(s.dirs) != len(record.Subtrees) {
		return dirContent{}, nil, nil
	}
	saved, err := a.saveSubfolders(ctx, d, path, s.dirs, record.Subtrees)
	if err != nil {
		return dirContent{}, nil, err
	}
	same := true
	for i, c := range saved {
		same = same && c.tree == record.Subtrees[i]
	}
	if !same {
		subs = make(map[string]dirContent, len(saved))
		for i, c := range saved {
			if c.tree != noTree {
				subs[s.dirs[i]] = c
			}
		}
		return dirContent{}, subs, nil
	}
	a.folders.Add(parent, &record)
	a.savedUnchanged(path, &s)
	return dirContent{tree: parent, entries: s.count}, nil, nil
}

// holds reports whether the repository has a tree and the blobs of its files.
func (a *archiver) holds(id crypto.ID, blobs []index.Prefix) bool {
	if !a.repo.HasBlob(index.BlobHandle{Type: index.TreeBlob, ID: id}) {
		return false
	}
	table := a.repo.Index()
	for _, p := range blobs {
		if !table.HasPrefix(index.DataBlob, p) {
			return false
		}
	}
	return true
}

// saveSubfolders saves the folders dirs of d, whose trees were parents. One
// that can't be read has no tree; an error ends the backup.
func (a *archiver) saveSubfolders(ctx context.Context, d source.Folder, path *dirPath, dirs []string, parents []crypto.ID) ([]dirContent, error) {
	saved := make([]dirContent, len(dirs))
	errs := make([]error, len(dirs))
	var done []<-chan struct{}
	for i, name := range dirs {
		work := func() { saved[i], errs[i] = a.openAndSave(ctx, d, path, name, parents[i]) }
		if i == len(dirs)-1 {
			work()
		} else {
			done = append(done, a.fork(work))
		}
	}
	for _, c := range done {
		a.wait(c)
	}
	for i, err := range errs {
		if fatal := (*repoError)(nil); errors.As(err, &fatal) {
			return nil, err
		}
		if err != nil {
			saved[i] = dirContent{} // it is tried again and reported then
		}
	}
	return saved, nil
}

// savedUnchanged counts what is in a folder that has not changed. Its
// subfolders have counted what is in them.
func (a *archiver) savedUnchanged(path *dirPath, s *survey) {
	a.stats.files[Unmodified].Add(int64(s.files))
	a.stats.dirs[Unmodified].Add(int64(len(s.dirs)))
	a.stats.bytes.Add(s.bytes)
	o := a.opts.Observer
	if o == nil {
		return
	}
	if o.Progress != nil {
		o.Progress(s.files, len(s.dirs), s.bytes)
	}
	if o.Item == nil {
		return
	}
	for _, name := range s.names {
		o.Item(Item{Path: path.join(name), Type: tree.TypeFile, Action: Unmodified})
	}
	for _, name := range s.dirs {
		o.Item(Item{Path: path.join(name), Type: tree.TypeDir, Action: Unmodified})
	}
}
