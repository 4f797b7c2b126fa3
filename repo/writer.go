package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

const (
	// openPacks is how many packs of a type are filled at the same time.
	// Blobs go to a random one, so that their lengths in a row do not tell
	// which file they come from.
	openPacks = 2
	// maxMemoryPack is the target size up to which packs are made in memory;
	// larger ones are made in temporary files.
	maxMemoryPack = 32 << 20
	// saveIndexGrace is the time to save the index of packs that are stored
	// when the operation was cancelled.
	saveIndexGrace = 30 * time.Second
)

// SavedBlob tells what SaveBlob did.
type SavedBlob struct {
	ID crypto.ID
	// New is false if the repository had the blob already.
	New bool
	// Stored is how many bytes a new blob takes in its pack, including its
	// entry in the header, and what belongs to a pack that it filled.
	Stored int
}

// Writer adds blobs to a repository. It exists inside [Repo.Write]. Its
// methods are safe for concurrent use and do their work in the caller's
// goroutine; only finished packs are stored in the background.
type Writer struct {
	repo *Repo
	// ctx is that of Write: packs are stored after the calls that filled
	// them, whose contexts may have ended by then.
	ctx     context.Context
	packers [index.NumBlobTypes]packer
	uploads *errgroup.Group // one goroutine for each pack being stored
	cancel  context.CancelCauseFunc

	pending [256]pendingShard // by the ID's first byte

	idxMu sync.Mutex
	idx   *index.Collector // packs that are stored and in no index file yet; owned by idxMu

	spooler backend.Spooler // nil: packs are made here and then sent
	memory  pack.Memory     // for packs
}

// pendingShard holds blobs that are being sealed, or are in packs that are
// not stored yet.
type pendingShard struct {
	mu sync.Mutex
	m  map[index.BlobHandle]struct{}
}

// packer holds the packs of one type that are being filled.
type packer struct {
	// held has an element for each pack that is being filled or stored, and
	// so bounds the memory of packs when storing is slow.
	held chan struct{}
	open [openPacks]struct {
		mu sync.Mutex
		b  *pack.Builder // nil: none; owned by mu
	}
}

// Write calls fn with a Writer and, when fn returns nil, stores the packs
// that are not full yet and then the index of all packs that are in no index
// file yet. When Write returns nil, all blobs are durable and indexed. If fn
// fails or ctx is done, packs that are stored already are indexed all the
// same, so that the next attempt finds their blobs.
func (r *Repo) Write(ctx context.Context, fn func(ctx context.Context, w *Writer) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &Writer{repo: r, ctx: ctx, uploads: new(errgroup.Group), cancel: cancel, idx: index.NewCollector(r.now)}
	w.spooler, _ = backend.As[backend.Spooler](r.be)
	connections := backend.Connections(r.be)
	w.uploads.SetLimit(connections)
	held := openPacks + max(1, connections-1)
	if w.spooler != nil {
		held = openPacks + 2*connections // they take no memory
	}
	for t := range w.packers {
		w.packers[t].held = make(chan struct{}, held)
	}
	err := fn(ctx, w)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // of a blob whose error fn did not heed
	}
	if err == nil {
		err = w.flushPacks()
	}
	// A failed upload cancels ctx, and fn then mostly returns that; the
	// upload's own error says more.
	if uerr := w.uploads.Wait(); uerr != nil {
		err = uerr
	}
	w.closeBuilders()
	if err != nil {
		w.saveIndexAfter(ctx)
		return err
	}
	return w.saveIndex(ctx, true)
}

// saveIndexAfter keeps what is stored when the operation fails. Its own
// errors do not count: the packs are harmless without an index.
func (w *Writer) saveIndexAfter(ctx context.Context) {
	if errors.Is(context.Cause(ctx), ErrLockLost) {
		return // the packs may be gone
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveIndexGrace)
	defer cancel()
	_ = w.saveIndex(ctx, true)
}

// SaveBlob stores content as a blob unless the repository has it. When it
// returns, the blob may be in a pack that is not stored yet, or on its way
// there in another goroutine; the end of Write makes it durable.
func (w *Writer) SaveBlob(ctx context.Context, t index.BlobType, content []byte) (SavedBlob, error) {
	return w.SaveHashed(ctx, index.BlobHandle{Type: t, ID: crypto.Hash(content)}, content)
}

// SaveHashed is SaveBlob for content whose ID the caller has computed.
func (w *Writer) SaveHashed(ctx context.Context, h index.BlobHandle, content []byte) (SavedBlob, error) {
	return w.saveHashed(ctx, h, content, false)
}

// SaveAgain is SaveHashed for a blob that is to leave the packs it is in: it
// is stored though the index knows it. Callers call it once for each blob; only
// while the blob is under way is a second call without effect.
func (w *Writer) SaveAgain(ctx context.Context, h index.BlobHandle, content []byte) (SavedBlob, error) {
	return w.saveHashed(ctx, h, content, true)
}

func (w *Writer) saveHashed(ctx context.Context, h index.BlobHandle, content []byte, again bool) (SavedBlob, error) {
	saved := SavedBlob{ID: h.ID}
	if err := ctx.Err(); err != nil {
		return saved, context.Cause(ctx)
	}
	if int64(len(content)) > 1<<32-1 {
		return saved, fmt.Errorf("blob of %d bytes is too large: the format's limit is 4 GiB", len(content))
	}
	if !w.claim(h, again) {
		return saved, nil
	}
	s := w.repo.scratch.get()
	defer w.repo.scratch.put(s)
	b, sealed, err := w.repo.sealBlob(s, h, content)
	if err != nil {
		w.settle([]index.Blob{{BlobHandle: h}}) // nobody has it
		return saved, err
	}
	return w.pack(b, sealed)
}

// SaveSealed stores a blob as it was sealed before, after checking that this
// was done with the repository's key. Of b only handle and UncompressedLength
// count. Like SaveAgain it stores what the index knows. Whether the content
// fits the ID is for the caller to know: it is not opened.
func (w *Writer) SaveSealed(ctx context.Context, b index.Blob, sealed []byte) (SavedBlob, error) {
	if err := ctx.Err(); err != nil {
		return SavedBlob{ID: b.ID}, context.Cause(ctx)
	}
	if err := w.repo.key.Authenticate(sealed); err != nil {
		return SavedBlob{ID: b.ID}, fmt.Errorf("blob %v: %w", b.BlobHandle, err)
	}
	if !w.claim(b.BlobHandle, true) {
		return SavedBlob{ID: b.ID}, nil
	}
	return w.pack(b, sealed)
}

// pack puts a sealed blob that was claimed into an open pack.
func (w *Writer) pack(b index.Blob, sealed []byte) (SavedBlob, error) {
	saved := SavedBlob{ID: b.ID, New: true, Stored: len(sealed) + pack.EntrySize(b)}
	filled, err := w.packers[b.Type].add(w, b, sealed)
	if filled {
		saved.Stored += pack.Trailer
	}
	return saved, err
}

// claim reports whether the caller is the one to store the blob: nobody has
// stored it, unless it is to be stored again, and nobody else is about to.
func (w *Writer) claim(h index.BlobHandle, again bool) bool {
	shard := &w.pending[h.ID[0]]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if _, ok := shard.m[h]; ok {
		return false
	}
	// Within the lock: a blob leaves pending only after it is in the index.
	if !again && w.repo.index.Has(h) {
		return false
	}
	if shard.m == nil {
		shard.m = make(map[index.BlobHandle]struct{})
	}
	shard.m[h] = struct{}{}
	return true
}

func (w *Writer) settle(blobs []index.Blob) {
	for _, b := range blobs {
		shard := &w.pending[b.ID[0]]
		shard.mu.Lock()
		delete(shard.m, b.BlobHandle)
		shard.mu.Unlock()
	}
}

// Recompresses reports whether a stored blob would be compressed if it was
// saved now, while it is not.
func (r *Repo) Recompresses(b index.Blob) bool {
	return !b.Compressed() && r.compresses(b.Type, b.PlaintextLength())
}

// compresses reports whether blobs of a type are compressed. Trees always
// are, as far as the format allows; empty content can't be, as the length of
// the plaintext is what marks a compressed blob.
func (r *Repo) compresses(t index.BlobType, length int) bool {
	return r.config.Version >= 2 && length > 0 && (t == index.TreeBlob || r.opts.Compression != CompressionOff)
}

// sealBlob compresses and seals content in s's memory and verifies the
// result.
func (r *Repo) sealBlob(s *scratch, h index.BlobHandle, content []byte) (index.Blob, []byte, error) {
	b := index.Blob{BlobHandle: h}
	plain := content
	if r.compresses(h.Type, len(content)) {
		// The frame is made where its ciphertext goes.
		s.sealed = reserve(s.sealed, len(content)+len(content)>>6+1024)
		frame, err := r.comp.compress(grow(s.sealed, crypto.IVSize), content)
		if err != nil {
			return b, nil, err
		}
		s.sealed, plain = frame, frame[crypto.IVSize:]
		b.UncompressedLength = uint32(len(content))
	}
	// As early as possible: what happens to plain from here on is noticed.
	sum := r.sumBefore(plain)
	s.sealed = r.key.Seal(s.sealed[:0], plain)
	b.Length = uint32(len(s.sealed))
	if err := r.verifyBlob(s, b, sum); err != nil {
		return b, nil, fmt.Errorf("blob %v does not read back after sealing, the machine's memory may be faulty: %w", h, err)
	}
	return b, s.sealed, nil
}

// reserve returns an empty slice that n bytes fit into, in b's memory if they
// do there. Large ones are rounded up, so that the next need not be new.
func reserve(b []byte, n int) []byte {
	const unit = 512 << 10
	switch {
	case n <= cap(b):
		return b[:0]
	case n > unit:
		n = (n + unit - 1) / unit * unit
	}
	return make([]byte, 0, n)
}

// grow returns b with n more bytes of undefined content.
func grow(b []byte, n int) []byte { return slices.Grow(b, n)[:len(b)+n] }

// release makes room for another pack.
func (p *packer) release() { <-p.held }

// add puts a sealed blob into a random open pack, and hands the pack on for
// storing when that fills it.
func (p *packer) add(w *Writer, b index.Blob, sealed []byte) (filled bool, err error) {
	slot := &p.open[rand.IntN(openPacks)]
	var full []*pack.Builder
	err = func() error {
		slot.mu.Lock()
		defer slot.mu.Unlock()
		if slot.b != nil && !slot.b.Empty() && w.overflows(len(sealed)) {
			full = append(full, slot.b)
			slot.b = nil
		}
		if slot.b == nil {
			if slot.b, err = p.newBuilder(w); err != nil {
				return err
			}
		}
		if err := slot.b.Add(b, sealed); err != nil {
			// Its other blobs are lost, so the operation must end.
			slot.b.Close()
			slot.b = nil
			p.release()
			return err
		}
		if slot.b.Size() >= int64(w.repo.opts.PackSize) || slot.b.Full() {
			full = append(full, slot.b)
			slot.b = nil
		}
		return nil
	}()
	if err != nil {
		w.cancel(err)
	}
	for _, f := range full {
		w.upload(b.Type, f, p.release)
	}
	return len(full) > 0, err
}

// overflows reports whether a blob should rather begin a new pack: it fills
// one alone.
func (w *Writer) overflows(sealed int) bool { return sealed >= w.repo.opts.PackSize }

// newBuilder begins a pack. It waits while as many as may be held are.
func (p *packer) newBuilder(w *Writer) (*pack.Builder, error) {
	select {
	case p.held <- struct{}{}:
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	}
	b, err := w.makeBuilder()
	if err != nil {
		p.release()
	}
	return b, err
}

func (w *Writer) makeBuilder() (*pack.Builder, error) {
	if w.spooler != nil {
		s, err := w.spooler.Spool()
		if err == nil {
			return pack.NewSpoolBuilder(w.repo.key, s), nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
	}
	if w.repo.opts.PackSize > maxMemoryPack {
		return pack.NewFileBuilder(w.repo.key, w.repo.opts.TempDir)
	}
	return pack.NewBuilder(w.repo.key, &w.memory), nil
}

// upload stores a finished pack in the background. It blocks while as many
// packs as the backend has connections are on their way. release is called
// when the pack is no longer held.
func (w *Writer) upload(t index.BlobType, b *pack.Builder, release func()) {
	w.uploads.Go(func() error {
		defer release()
		defer b.Close()
		err := w.storePack(w.ctx, t, b)
		if err != nil {
			w.cancel(err)
		}
		return err
	})
}

// storePack stores the pack, then enters it into the table and into the next
// index file. The pack is durable before either mentions it.
func (w *Writer) storePack(ctx context.Context, t index.BlobType, b *pack.Builder) error {
	p, err := b.Finish()
	if err != nil {
		return err
	}
	if err := w.repo.guard(ctx); err != nil {
		return err
	}
	h := fileHandle(backend.PackFile, p.ID)
	h.Metadata = t == index.TreeBlob
	if err := w.repo.be.Save(ctx, h, p.Content); err != nil {
		return fmt.Errorf("save pack %s: %w", p.ID.Short(), err)
	}
	w.repo.index.Add(p.ID, p.Blobs)
	w.settle(p.Blobs)
	w.idxMu.Lock()
	w.idx.Add(p.ID, p.Blobs)
	w.idxMu.Unlock()
	return w.saveIndex(ctx, false)
}

// saveIndex writes the index files that are due, or all if force is set.
func (w *Writer) saveIndex(ctx context.Context, force bool) error {
	for {
		w.idxMu.Lock()
		json := w.idx.Take(force)
		w.idxMu.Unlock()
		if json == nil {
			return nil
		}
		id, err := w.repo.SaveIndex(ctx, json)
		if err != nil {
			return err
		}
		w.repo.index.AddFile(id)
	}
}

// flushPacks hands over the packs that are not full. The open packs of a type
// become one if that does not exceed the target size.
func (w *Writer) flushPacks() error {
	for t := range w.packers {
		var last *pack.Builder
		for i := range w.packers[t].open {
			slot := &w.packers[t].open[i]
			slot.mu.Lock()
			b := slot.b
			slot.b = nil
			slot.mu.Unlock()
			switch {
			case b == nil:
			case last != nil && last.Size()+b.Size() <= int64(w.repo.opts.PackSize) && last.Len()+b.Len() <= pack.MaxBlobs:
				err := last.Merge(b)
				b.Close()
				if err != nil {
					last.Close()
					return err
				}
			default:
				if last != nil {
					w.upload(index.BlobType(t), last, w.packers[t].release)
				}
				last = b
			}
		}
		if last != nil {
			w.upload(index.BlobType(t), last, w.packers[t].release)
		}
	}
	return nil
}

// closeBuilders releases packs that were given up.
func (w *Writer) closeBuilders() {
	for t := range w.packers {
		for i := range w.packers[t].open {
			if b := w.packers[t].open[i].b; b != nil {
				b.Close()
			}
		}
	}
}

// SaveLarge stores content that is too large for memory, like the tree of a
// folder with a million files, as a blob in a pack of its own. The caller has
// computed the ID; content is read twice.
func (w *Writer) SaveLarge(ctx context.Context, h index.BlobHandle, content backend.Content) (SavedBlob, error) {
	return w.saveLarge(ctx, h, content, false)
}

// SaveLargeAgain is to SaveLarge what SaveAgain is to SaveHashed.
func (w *Writer) SaveLargeAgain(ctx context.Context, h index.BlobHandle, content backend.Content) (SavedBlob, error) {
	return w.saveLarge(ctx, h, content, true)
}

func (w *Writer) saveLarge(ctx context.Context, h index.BlobHandle, content backend.Content, again bool) (SavedBlob, error) {
	saved := SavedBlob{ID: h.ID}
	if content.Size() > 1<<32-1 {
		return saved, fmt.Errorf("blob of %d bytes is too large: the format's limit is 4 GiB", content.Size())
	}
	if !w.claim(h, again) {
		return saved, nil
	}
	b, err := w.largePack(h, content)
	if err != nil {
		w.settle([]index.Blob{{BlobHandle: h}}) // nobody has it
		return saved, err
	}
	saved.New, saved.Stored = true, int(b.Size())+pack.Trailer
	w.upload(h.Type, b, func() {})
	return saved, nil
}

func (w *Writer) largePack(h index.BlobHandle, content backend.Content) (*pack.Builder, error) {
	b, err := pack.NewFileBuilder(w.repo.key, w.repo.opts.TempDir)
	if err != nil {
		return nil, err
	}
	if err := w.repo.sealLarge(h, content, b); err != nil {
		b.Close()
		return nil, fmt.Errorf("blob %v: %w", h, err)
	}
	return b, nil
}

// readerOf returns a reader of all of content.
func readerOf(content backend.Content) io.Reader {
	return io.NewSectionReader(content, 0, content.Size())
}
