package repo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

// Packs returns all packs that are stored, sorted by ID, whatever the index
// says.
func (r *Repo) Packs(ctx context.Context) ([]FileInfo, error) {
	var packs []FileInfo
	for fi, err := range r.List(ctx, backend.PackFile) {
		if err != nil {
			return nil, err
		}
		packs = append(packs, fi)
	}
	slices.SortFunc(packs, func(a, b FileInfo) int { return a.ID.Compare(b.ID) })
	return packs, nil
}

// PackHeader is what a stored pack says about itself.
type PackHeader struct {
	FileInfo
	Blobs []index.Blob // sorted by offset
	// Err is a [*CorruptError] if the pack is damaged, and anything else if
	// the storage did not give what was asked of it.
	Err error
}

// ReadHeaders reads the headers of packs, several at a time, and calls fn for
// each, one at a time and in no particular order. It fails only if fn does or
// ctx is done.
func (r *Repo) ReadHeaders(ctx context.Context, packs []FileInfo, fn func(PackHeader) error) error {
	var mu sync.Mutex // around fn
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(r.be), 4))
	for _, p := range packs {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			h := r.readHeader(gctx, p)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			mu.Lock()
			defer mu.Unlock()
			return fn(h)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// readHeader reads the header of a pack, and once more if it looks damaged.
func (r *Repo) readHeader(ctx context.Context, p FileInfo) PackHeader {
	var err error
	for range 2 {
		var blobs []index.Blob
		loader := &notingLoader{be: r.be}
		if blobs, err = pack.ReadHeader(ctx, loader, r.key, p.ID, p.Size); err == nil {
			err = r.acceptable(blobs)
		}
		if err == nil {
			return PackHeader{FileInfo: p, Blobs: blobs}
		}
		if loader.failed || ctx.Err() != nil {
			return PackHeader{FileInfo: p, Err: fmt.Errorf("pack %s: %w", p.ID, err)}
		}
	}
	return PackHeader{FileInfo: p, Err: &CorruptError{Handle: fileHandle(backend.PackFile, p.ID), Err: err}}
}

// acceptable returns an error for blobs that the format's version rules out.
func (r *Repo) acceptable(blobs []index.Blob) error {
	if r.config.Version < 2 && slices.ContainsFunc(blobs, index.Blob.Compressed) {
		return errFormat1Compressed
	}
	return nil
}

// notingLoader notes whether the storage failed, as opposed to giving bytes
// that make no sense or fewer than there should be.
type notingLoader struct {
	be     backend.Backend
	failed bool
}

func (l *notingLoader) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	b, err := l.be.Load(ctx, h, offset, length, buf)
	l.failed = err != nil && !errors.Is(err, backend.ErrShortFile) && !errors.Is(err, backend.ErrNotExist)
	return b, err
}

// IndexRewrite says how RewriteIndex changes the index. The zero value and
// nil change nothing but merge small files.
type IndexRewrite struct {
	// Drop, if not nil, says which packs lose the entries that the index
	// files have for them. It is called from several goroutines.
	Drop func(pack crypto.ID) bool
	// Files, if not nil, are the only files that are looked at; the others
	// stay. If one of them is not there, the index was changed by somebody
	// else, and nothing is changed; the error wraps [ErrIndexChanged].
	Files []crypto.ID
	// Discard names index files that are removed without being read.
	Discard []crypto.ID
	// Add, if not nil, is called with a function that enters packs, which are
	// stored; Drop does not apply to them. That function is safe for
	// concurrent use.
	Add func(ctx context.Context, enter func(pack crypto.ID, blobs []index.Blob) error) error
	// KeepOld leaves the old files where they are.
	KeepOld bool
}

// IndexFiles tells what RewriteIndex did.
type IndexFiles struct {
	Written []crypto.ID // new files
	Removed []crypto.ID // files that they replace, or that were discarded
	Kept    int         // files that were right as they are
}

// RewriteIndex changes what the index files list. Files that lose nothing and
// are full stay; the rest is merged into new files. All new files are stored
// before the first old one is removed, so that an interruption leaves entries
// twice, but none missing. An index file that can't be read is an error unless
// it is to be discarded. The operation must hold an exclusive lock. The
// table of r stays as it is; LoadIndex makes it follow.
func (r *Repo) RewriteIndex(ctx context.Context, change *IndexRewrite) (IndexFiles, error) {
	if change == nil {
		change = &IndexRewrite{}
	}
	w := &indexRewriter{repo: r, change: change, seen: make(map[crypto.ID]crypto.ID), files: index.NewCollector(r.now)}
	// What is listed here is what is replaced; files that are written from
	// now on are new.
	old, err := r.indexesToRewrite(ctx, change)
	if err != nil {
		return IndexFiles{}, err
	}
	if change.Add != nil {
		err := change.Add(ctx, func(pack crypto.ID, blobs []index.Blob) error { return w.enter(ctx, pack, blobs) })
		if err != nil {
			return w.result, err
		}
	}
	if err := w.rewriteAll(ctx, old); err != nil {
		return w.result, err
	}
	return w.result, w.removeOld(ctx)
}

// ErrIndexChanged means that index files are gone which an operation goes by.
var ErrIndexChanged = errors.New("index files are gone: another operation has changed the index")

// indexesToRewrite returns the index files that may be replaced.
func (r *Repo) indexesToRewrite(ctx context.Context, change *IndexRewrite) (old []crypto.ID, err error) {
	wanted := make(map[crypto.ID]bool)
	for _, id := range change.Files {
		wanted[id] = true
	}
	for fi, err := range r.List(ctx, backend.IndexFile) {
		if err != nil {
			return nil, err
		}
		if change.Files != nil && !wanted[fi.ID] {
			continue
		}
		delete(wanted, fi.ID)
		if !slices.Contains(change.Discard, fi.ID) {
			old = append(old, fi.ID)
		}
	}
	for id := range wanted {
		return nil, fmt.Errorf("%w, for example %s", ErrIndexChanged, id.Short())
	}
	return old, nil
}

// indexRewriter is the state of one RewriteIndex.
type indexRewriter struct {
	repo   *Repo
	change *IndexRewrite

	mu      sync.Mutex              // guards what follows
	seen    map[crypto.ID]crypto.ID // pack -> hash of its entries, for all that stays
	files   *index.Collector
	entered bool      // something went into files, or is about to
	held    *heldFile // the first file that is too small to stay beside others
	result  IndexFiles
}

type heldFile struct {
	id    crypto.ID
	json  []byte
	packs map[crypto.ID]crypto.ID
}

// rewriteAll decides for each index file whether it stays, and enters the
// packs of those that do not.
func (w *indexRewriter) rewriteAll(ctx context.Context, old []crypto.ID) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(w.repo.be), 4))
	for _, id := range old {
		g.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			json, err := w.repo.LoadUnpacked(gctx, backend.IndexFile, id)
			if errors.Is(err, backend.ErrNotExist) {
				return nil // removed meanwhile
			}
			if err != nil {
				return err
			}
			return w.rewrite(gctx, id, json)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !w.keepHeld() {
		if err := w.flushHeld(ctx); err != nil {
			return err
		}
	}
	return w.save(ctx, true)
}

// rewrite keeps, holds back or enters one index file.
func (w *indexRewriter) rewrite(ctx context.Context, id crypto.ID, json []byte) error {
	packs, blobs, changed, err := w.examine(json)
	if err != nil {
		return &CorruptError{Handle: fileHandle(backend.IndexFile, id), Err: err}
	}
	if w.keep(id, json, packs, blobs, changed) {
		return nil
	}
	if err := w.flushHeld(ctx); err != nil {
		return err
	}
	return w.enterFile(ctx, id, json)
}

// examine counts the blobs of an index file and returns a hash of the entries
// for each of its packs. The file must change if it lists a pack twice or one
// that is to be dropped.
func (w *indexRewriter) examine(json []byte) (packs map[crypto.ID]crypto.ID, blobs int, changed bool, err error) {
	packs = make(map[crypto.ID]crypto.ID)
	err = index.Decode(json, func(pack crypto.ID, list []index.Blob) error {
		blobs += len(list)
		if w.change.Drop != nil && w.change.Drop(pack) {
			changed = true
			return nil
		}
		_, twice := packs[pack]
		changed = changed || twice
		packs[pack] = entriesHash(list)
		return nil
	})
	return packs, blobs, changed || blobs == 0, err
}

// entriesHash returns what is the same for two lists of the same blobs in any
// order.
func entriesHash(list []index.Blob) crypto.ID {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b index.Blob) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Type, b.Type), a.ID.Compare(b.ID), cmp.Compare(a.Length, b.Length))
	})
	var enc []byte
	for _, b := range list {
		enc = append(append(enc, byte(b.Type)), b.ID[:]...)
		for _, n := range []uint32{b.Offset, b.Length, b.UncompressedLength} {
			enc = binary.LittleEndian.AppendUint32(enc, n)
		}
	}
	return sha256.Sum256(enc)
}

// keep reports whether a file stays as it is. Of the small ones the first is
// held back: it stays if there is nothing to merge it with.
func (w *indexRewriter) keep(id crypto.ID, json []byte, packs map[crypto.ID]crypto.ID, blobs int, changed bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if changed || blobs >= index.OversizedFile || w.anySeen(packs) {
		return false
	}
	if blobs < index.FullFile {
		if w.held != nil || w.entered {
			return false
		}
		w.held = &heldFile{id, json, packs}
		return true
	}
	for pack, sum := range packs {
		w.seen[pack] = sum
	}
	w.result.Kept++
	return true
}

// anySeen reports whether a file that stays, or a new one, has the entries of
// one of the packs. The caller holds mu.
func (w *indexRewriter) anySeen(packs map[crypto.ID]crypto.ID) bool {
	for pack, sum := range packs {
		if w.seen[pack] == sum {
			return true
		}
	}
	return false
}

// keepHeld lets the file that is held back stay if there is nothing else.
func (w *indexRewriter) keepHeld() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil || w.entered || w.anySeen(w.held.packs) {
		return false
	}
	w.held = nil
	w.result.Kept++
	return true
}

// flushHeld enters the file that is held back, if there is one.
func (w *indexRewriter) flushHeld(ctx context.Context) error {
	w.mu.Lock()
	h := w.held
	w.held, w.entered = nil, true
	w.mu.Unlock()
	if h == nil {
		return nil
	}
	return w.enterFile(ctx, h.id, h.json)
}

// enterFile enters the packs of a file that will be removed.
func (w *indexRewriter) enterFile(ctx context.Context, id crypto.ID, json []byte) error {
	err := index.Decode(json, func(pack crypto.ID, blobs []index.Blob) error {
		if w.change.Drop != nil && w.change.Drop(pack) {
			return nil
		}
		return w.enter(ctx, pack, blobs)
	})
	w.mu.Lock()
	w.result.Removed = append(w.result.Removed, id)
	w.mu.Unlock()
	return err
}

// enter adds a pack to the next new file, unless just the same is there
// already.
func (w *indexRewriter) enter(ctx context.Context, pack crypto.ID, blobs []index.Blob) error {
	sum := entriesHash(blobs)
	w.mu.Lock()
	w.entered = true
	if w.seen[pack] != sum {
		w.seen[pack] = sum
		w.files.Add(pack, blobs)
	}
	w.mu.Unlock()
	return w.save(ctx, false)
}

// save stores the new file that is due, or any with force.
func (w *indexRewriter) save(ctx context.Context, force bool) error {
	w.mu.Lock()
	json := w.files.Take(force)
	w.mu.Unlock()
	if json == nil {
		return nil
	}
	id, err := w.repo.SaveIndex(ctx, json)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.result.Written = append(w.result.Written, id)
	w.mu.Unlock()
	return nil
}

// removeOld removes the files that were replaced or are to be discarded.
func (w *indexRewriter) removeOld(ctx context.Context) error {
	replaced := w.result.Removed
	w.result.Removed = nil
	if w.change.KeepOld {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(w.repo.be), 4))
	for _, id := range append(replaced, w.change.Discard...) {
		g.Go(func() error {
			if err := w.repo.Remove(gctx, backend.IndexFile, id); err != nil && !errors.Is(err, backend.ErrNotExist) {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.result.Removed = append(w.result.Removed, id)
			return nil
		})
	}
	return g.Wait()
}
