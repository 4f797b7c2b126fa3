package repo

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// errFormat1Compressed refuses what no reader of version 1 could open.
var errFormat1Compressed = errors.New("index lists compressed blobs, which repositories of version 1 can't have")

// HasBlob reports whether the index knows a blob.
func (r *Repo) HasBlob(h index.BlobHandle) bool { return r.index.Has(h) }

// LoadIndex reads all index files into the table, several at a time. Callers
// that go by snapshots list them first: a snapshot that appears later may
// need an index that was not there yet. An index file that can't be read is
// an error, as a blob that is taken for missing would be stored again, or
// reported as lost.
func (r *Repo) LoadIndex(ctx context.Context) error {
	damaged, err := r.LoadIndexFiles(ctx, nil)
	if err == nil && len(damaged) > 0 {
		err = damaged[0]
	}
	return err
}

// LoadIndexFiles is LoadIndex for callers that go on without index files that
// can't be read; they are returned. duplicate, if not nil, is called, one call
// at a time, for each pack that is listed by a file after another listed it;
// same is false if that file does not list the same blobs as the first.
func (r *Repo) LoadIndexFiles(ctx context.Context, duplicate func(indexID, pack crypto.ID, same bool)) (damaged []*CorruptError, err error) {
	var ids []crypto.ID
	for fi, err := range r.List(ctx, backend.IndexFile) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, fi.ID)
	}
	l := newIndexLoader(r, duplicate)
	if err := l.loadAll(ctx, ids); err != nil {
		return nil, err
	}
	r.index = l.builder.Table()
	return l.damaged, nil
}

// UpdateIndex reads the index files that appeared since LoadIndex and adds
// what they list to the table. gone are files that the table has and that are
// no longer there: what they listed may have been moved or deleted.
func (r *Repo) UpdateIndex(ctx context.Context) (gone []crypto.ID, err error) {
	known := make(map[crypto.ID]bool)
	for _, id := range r.index.Files() {
		known[id] = true
	}
	for fi, err := range r.List(ctx, backend.IndexFile) {
		if err != nil {
			return nil, err
		}
		if known[fi.ID] {
			delete(known, fi.ID)
			continue
		}
		if err := r.addIndexFile(ctx, fi.ID); err != nil {
			return nil, err
		}
	}
	for id := range known {
		gone = append(gone, id)
	}
	slices.SortFunc(gone, crypto.ID.Compare)
	return gone, nil
}

func (r *Repo) addIndexFile(ctx context.Context, id crypto.ID) error {
	json, err := r.LoadUnpacked(ctx, backend.IndexFile, id)
	if err != nil {
		return err
	}
	err = index.Decode(json, func(pack crypto.ID, blobs []index.Blob) error {
		if err := r.acceptable(blobs); err != nil {
			return err
		}
		r.index.Add(pack, blobs)
		return nil
	})
	if err != nil {
		return &CorruptError{Handle: fileHandle(backend.IndexFile, id), Err: err}
	}
	r.index.AddFile(id)
	return nil
}

// SaveIndex stores the JSON of an index file, whose packs are durable. Like
// a snapshot it makes others rely on them, so the lock of the operation is
// looked at just before.
func (r *Repo) SaveIndex(ctx context.Context, json []byte) (crypto.ID, error) {
	if err := r.guardLooking(ctx, true); err != nil {
		return crypto.ID{}, err
	}
	return r.SaveUnpacked(ctx, backend.IndexFile, json)
}

// IndexFilesWith returns which of the index files list a pack that select
// chooses.
func (r *Repo) IndexFilesWith(ctx context.Context, files []crypto.ID, choose func(pack crypto.ID) bool) ([]crypto.ID, error) {
	var mu sync.Mutex
	var with []crypto.ID
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(r.be), 4))
	for _, id := range files {
		g.Go(func() error {
			json, err := r.LoadUnpacked(ctx, backend.IndexFile, id)
			if err != nil {
				return err
			}
			found := false
			err = index.Decode(json, func(pack crypto.ID, _ []index.Blob) error {
				found = found || choose(pack)
				return nil
			})
			if err != nil {
				return &CorruptError{Handle: fileHandle(backend.IndexFile, id), Err: err}
			}
			if found {
				mu.Lock()
				with = append(with, id)
				mu.Unlock()
			}
			return nil
		})
	}
	return with, g.Wait()
}

// indexLoader collects what the index files list. Files are read by some
// workers and decoded by no more than there are processors, each in memory
// that serves one file after another: as JSON a file is several times as large
// as what comes of it.
type indexLoader struct {
	repo      *Repo
	builder   *index.Builder // safe for concurrent use
	duplicate func(indexID, pack crypto.ID, same bool)
	decoders  chan *[]byte // memory for JSON; who has it may decode

	mu      sync.Mutex
	damaged []*CorruptError         // owned by mu
	packs   map[crypto.ID]crypto.ID // seen so far, with a hash of the entries, if duplicate is set; owned by mu
}

func newIndexLoader(r *Repo, duplicate func(indexID, pack crypto.ID, same bool)) *indexLoader {
	l := &indexLoader{repo: r, builder: index.NewBuilder(), duplicate: duplicate}
	l.decoders = make(chan *[]byte, runtime.GOMAXPROCS(0))
	for range cap(l.decoders) {
		l.decoders <- new([]byte)
	}
	if duplicate != nil {
		l.packs = make(map[crypto.ID]crypto.ID)
	}
	return l
}

func (l *indexLoader) loadAll(ctx context.Context, ids []crypto.ID) error {
	next := make(chan crypto.ID, len(ids))
	for _, id := range ids {
		next <- id
	}
	close(next)
	g, ctx := errgroup.WithContext(ctx)
	for range min(len(ids), max(backend.Connections(l.repo.be), cap(l.decoders)+1)) {
		g.Go(func() error {
			var sealed []byte
			for id := range next {
				if err := l.load(ctx, id, &sealed); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// load reads a file into the memory of sealed, and then decodes it.
func (l *indexLoader) load(ctx context.Context, id crypto.ID, sealed *[]byte) error {
	b, err := l.repo.loadRaw(ctx, backend.IndexFile, id, *sealed)
	if err == nil {
		*sealed = b
		err = l.decodeSealed(id, b)
	}
	switch corrupt := (*CorruptError)(nil); {
	case err == nil, errors.Is(err, backend.ErrNotExist): // replaced meanwhile
		return nil
	case errors.As(err, &corrupt):
		l.mu.Lock()
		l.damaged = append(l.damaged, corrupt)
		l.mu.Unlock()
		return nil
	}
	return err
}

// decodeSealed waits for a decoder.
func (l *indexLoader) decodeSealed(id crypto.ID, sealed []byte) error {
	buf := <-l.decoders
	defer func() { l.decoders <- buf }()
	json, err := l.repo.openUnpacked(backend.IndexFile, id, sealed, buf)
	if err != nil {
		return err
	}
	return l.decode(id, json)
}

func (l *indexLoader) decode(id crypto.ID, json []byte) error {
	batch := l.builder.File()
	batch.SetID(id)
	listed := make(map[crypto.ID]crypto.ID) // for notePacks
	err := index.Decode(json, func(pack crypto.ID, blobs []index.Blob) error {
		if err := l.repo.acceptable(blobs); err != nil {
			return err
		}
		if l.duplicate != nil {
			listed[pack] = entriesHash(blobs)
		}
		batch.Add(pack, blobs)
		return nil
	})
	if err != nil {
		return &CorruptError{Handle: fileHandle(backend.IndexFile, id), Err: err}
	}
	batch.Commit()
	l.notePacks(id, listed)
	return nil
}

// notePacks tells of the packs that another file listed before.
func (l *indexLoader) notePacks(id crypto.ID, listed map[crypto.ID]crypto.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pack, sum := range listed {
		before, again := l.packs[pack]
		if again {
			l.duplicate(id, pack, before == sum)
			continue
		}
		l.packs[pack] = sum
	}
}
