package repo

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// A read of several blobs from one pack is split where the gap between two
// blobs is dearer than a request, and where it would need much memory.
const (
	maxReadGap  = 1 << 20
	maxReadSize = 8 << 20
)

// scratch holds the buffers of one worker that opens or seals a blob.
type scratch struct{ sealed, frame, plain []byte }

// scratchPool keeps the buffers of as many workers as usually are at work.
// Unlike a sync.Pool it does not give them up at each garbage collection:
// that of a large blob is dear, and what was given up and not collected yet
// is memory in use.
type scratchPool chan *scratch

func newScratchPool() scratchPool { return make(scratchPool, runtime.GOMAXPROCS(0)+1) }

func (p scratchPool) get() *scratch {
	select {
	case s := <-p:
		return s
	default:
		return new(scratch)
	}
}

func (p scratchPool) put(s *scratch) {
	select {
	case p <- s:
	default:
	}
}

// LoadBlob returns the content of a blob, in buf's memory if its capacity,
// all of which may be overwritten, suffices. Every place where the blob is stored is tried, and all of them
// once more, before the error is a [*CorruptError] or what the backend said.
// A blob that the index does not know is a [*MissingBlobError].
func (r *Repo) LoadBlob(ctx context.Context, h index.BlobHandle, buf []byte) ([]byte, error) {
	locations := r.index.Lookup(nil, h)
	if len(locations) == 0 {
		return nil, &MissingBlobError{Blob: h}
	}
	var first error
	for range 2 {
		for _, l := range locations {
			plain, err := r.loadLocation(ctx, l, buf)
			if err == nil {
				return plain, nil
			}
			if ctx.Err() != nil {
				return nil, err
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, first
}

func (r *Repo) loadLocation(ctx context.Context, l index.Location, buf []byte) ([]byte, error) {
	s := r.scratch.get()
	defer r.scratch.put(s)
	h := fileHandle(backend.PackFile, l.Pack)
	h.Metadata = l.Type == index.TreeBlob
	sealed, err := r.be.Load(ctx, h, int64(l.Offset), int(l.Length), s.sealed)
	if err != nil {
		return nil, fmt.Errorf("load blob %v from %v: %w", l.BlobHandle, h, err)
	}
	s.sealed = sealed
	plain, err := r.openBlob(buf, l.Blob, sealed)
	if err != nil {
		return nil, &CorruptError{Handle: h, Blob: &l.BlobHandle, Err: err}
	}
	return plain, nil
}

// openBlob opens, decompresses and verifies a stored blob, overwriting
// sealed. The content is in buf's memory if its capacity suffices.
func (r *Repo) openBlob(buf []byte, b index.Blob, sealed []byte) ([]byte, error) {
	plain, err := r.openUnhashed(buf, b, sealed)
	if err != nil {
		return nil, err
	}
	if crypto.Hash(plain) != b.ID {
		return nil, errWrongHash
	}
	return plain, nil
}

// openUnhashed is openBlob but for the comparison with the ID.
func (r *Repo) openUnhashed(buf []byte, b index.Blob, sealed []byte) ([]byte, error) {
	if int(b.Length) != len(sealed) {
		return nil, fmt.Errorf("stored length %d, want %d", len(sealed), b.Length)
	}
	if !b.Compressed() {
		return r.key.Open(buf[:0], sealed)
	}
	frame, err := r.key.OpenInPlace(sealed)
	if err != nil {
		return nil, err
	}
	return r.comp.decompress(buf, frame, int(b.UncompressedLength))
}

// openApart is openUnhashed and leaves sealed as it is.
func (r *Repo) openApart(buf []byte, b index.Blob, sealed []byte) ([]byte, error) {
	if int(b.Length) != len(sealed) || !b.Compressed() {
		return r.openUnhashed(buf, b, sealed)
	}
	s := r.scratch.get()
	defer r.scratch.put(s)
	frame, err := r.key.Open(reserve(s.frame, len(sealed)), sealed)
	if err != nil {
		return nil, err
	}
	s.frame = frame
	return r.comp.decompress(reserve(buf, int(b.UncompressedLength)), frame, int(b.UncompressedLength))
}

// OpenBlob opens, decompresses and verifies a blob as it is stored in a pack,
// for callers that have read the pack themselves. It overwrites sealed; the
// content is in buf's memory if its capacity suffices.
func (r *Repo) OpenBlob(buf []byte, b index.Blob, sealed []byte) ([]byte, error) {
	return r.openBlob(buf, b, sealed)
}

// OpenBlobBeside is OpenBlob, but leaves sealed as it is, and writes part to d
// while it hashes the blob, or alone if the blob can't be opened.
func (r *Repo) OpenBlobBeside(buf []byte, b index.Blob, sealed []byte, d *crypto.Digest, part []byte) ([]byte, error) {
	plain, err := r.openApart(buf, b, sealed)
	if err != nil {
		d.Write(part)
		return nil, err
	}
	ids, msgs := [1]crypto.ID{}, [1][]byte{plain}
	crypto.NewHasher().SumBeside(ids[:], msgs[:], d, part)
	if ids[0] != b.ID {
		return nil, errWrongHash
	}
	return plain, nil
}

// LoadFromPack reads several blobs of one pack with few requests and calls fn
// for each, in the order of their offsets, one at a time. The content is
// valid until fn returns. A blob that can't be read from this pack is tried
// elsewhere, as LoadBlob does; if that fails too, fn gets the error, and the
// others go on. LoadFromPack itself fails only if fn does or ctx is done.
func (r *Repo) LoadFromPack(ctx context.Context, pack crypto.ID, blobs []index.Blob, fn func(b index.Blob, plain []byte, err error) error) error {
	s := r.scratch.get()
	defer r.scratch.put(s)
	return r.LoadSealed(ctx, pack, blobs, func(b index.Blob, sealed []byte, err error) error {
		var plain []byte
		if err == nil {
			plain, err = r.openBlob(s.plain, b, sealed)
		}
		if err != nil {
			plain, err = r.LoadBlob(ctx, b.BlobHandle, s.plain)
		}
		if err == nil {
			s.plain = plain
		}
		return fn(b, plain, err)
	})
}

// LoadSealed reads several blobs of one pack with few requests and calls fn
// for each, in the order of their offsets, one at a time, with the bytes as
// they are stored and not verified, which fn may overwrite, or an error.
// LoadSealed itself fails only if fn does or ctx is done.
func (r *Repo) LoadSealed(ctx context.Context, pack crypto.ID, blobs []index.Blob, fn func(b index.Blob, sealed []byte, err error) error) error {
	blobs = slices.Clone(blobs)
	slices.SortFunc(blobs, func(a, b index.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
	s := r.scratch.get()
	defer r.scratch.put(s)
	for len(blobs) > 0 {
		n := readRange(blobs)
		if err := r.loadRange(ctx, s, pack, blobs[:n], fn); err != nil {
			return err
		}
		blobs = blobs[n:]
	}
	return nil
}

// readRange returns how many of the blobs, which are sorted by offset, one
// request should read.
func readRange(blobs []index.Blob) int {
	start, end := int64(blobs[0].Offset), int64(blobs[0].Offset)+int64(blobs[0].Length)
	for i, b := range blobs[1:] {
		if int64(b.Offset)-end > maxReadGap || int64(b.Offset)+int64(b.Length)-start > maxReadSize {
			return i + 1
		}
		end = max(end, int64(b.Offset)+int64(b.Length))
	}
	return len(blobs)
}

// loadRange reads blobs that are sorted by offset with one request.
func (r *Repo) loadRange(ctx context.Context, s *scratch, pack crypto.ID, blobs []index.Blob, fn func(b index.Blob, sealed []byte, err error) error) error {
	h := fileHandle(backend.PackFile, pack)
	h.Metadata = blobs[0].Type == index.TreeBlob
	start, end := int64(blobs[0].Offset), int64(0)
	for _, b := range blobs {
		end = max(end, int64(b.Offset)+int64(b.Length))
	}
	data, loadErr := r.be.Load(ctx, h, start, int(end-start), s.sealed)
	if loadErr == nil {
		s.sealed = data
	}
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		var sealed []byte
		if loadErr == nil {
			from := int64(b.Offset) - start
			sealed = data[from : from+int64(b.Length)]
		}
		if err := fn(b, sealed, loadErr); err != nil {
			return err
		}
	}
	return nil
}
