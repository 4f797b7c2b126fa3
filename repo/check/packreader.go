package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// packReader reads a pack from front to back, in pieces that hold whole blobs
// where that is possible, and hashes all of it.
type packReader struct {
	c   *checker
	ctx context.Context // of one readPack
	p   Pack
	sum *crypto.Digest

	*packBuffers
	start  int64 // where in the pack buf begins
	hashed int64 // sum has the pack up to here, which is in buf or at its end
	failed error // a read failed; nothing more can be said
}

// packBuffers go from one packReader to the next.
type packBuffers struct {
	buf   []byte // bytes of the pack
	plain []byte // of a blob
}

func (c *checker) getBuffers() *packBuffers {
	select {
	case b := <-c.buffers:
		return b
	default:
		return new(packBuffers)
	}
}

func (c *checker) putBuffers(b *packBuffers) {
	select {
	case c.buffers <- b:
	default:
	}
}

// maxRead is up to how many bytes of a pack are read in one request.
const maxRead = 16 << 20

// pieceSize is how many bytes of a pack are read at a time: little where
// requests are cheap, as what is hashed is then in the cache.
func (c *checker) pieceSize() int64 {
	return min(maxRead, 16*int64(backend.RequestCost(c.repo.Backend())))
}

// fill makes buf hold n bytes from offset on, which is not before start.
func (r *packReader) fill(offset, n int64) error {
	if r.failed != nil {
		return r.failed
	}
	if offset >= r.start && offset+n <= r.start+int64(len(r.buf)) {
		return nil
	}
	if offset+n > r.p.Size {
		return fmt.Errorf("reaches %d bytes beyond the end of the pack", offset+n-r.p.Size)
	}
	length := min(max(n, r.c.pieceSize()), r.p.Size-offset)
	// What lies between the last piece and this one counts for the hash.
	if err := r.skipTo(offset); err != nil {
		return err
	}
	data, err := r.c.repo.Backend().Load(r.ctx, packHandle(r.p.ID), offset, int(length), r.buf)
	if err != nil {
		r.failed = err
		return err
	}
	r.buf, r.start = data, offset
	return nil
}

// skipTo hashes everything before offset that was not hashed yet, and forgets
// it.
func (r *packReader) skipTo(offset int64) error {
	r.sum.Write(r.unhashed(offset))
	have := r.start + int64(len(r.buf))
	r.start, r.buf = min(offset, have), r.buf[:0]
	for r.start < offset {
		n := min(offset-r.start, r.c.pieceSize())
		data, err := r.c.repo.Backend().Load(r.ctx, packHandle(r.p.ID), r.start, int(n), r.buf)
		if err != nil {
			r.failed = err
			return err
		}
		r.sum.Write(data)
		r.start, r.buf = r.start+n, data[:0]
		r.hashed = r.start
	}
	return nil
}

// unhashed returns what buf holds before offset that was not hashed yet. The
// caller hashes it.
func (r *packReader) unhashed(offset int64) []byte {
	to := min(offset, r.start+int64(len(r.buf)))
	if to <= r.hashed {
		return nil // blobs that overlap
	}
	part := r.buf[r.hashed-r.start : to-r.start]
	r.hashed = to
	return part
}

// blob opens and hashes one blob, and beside it the pack up to the blob's end.
// Blobs come in the order of their offsets.
func (r *packReader) blob(b index.Blob) error {
	if int64(b.Offset) < r.start {
		return errors.New("overlaps the blob before it")
	}
	if err := r.fill(int64(b.Offset), int64(b.Length)); err != nil {
		return err
	}
	from := int64(b.Offset) - r.start
	sealed := r.buf[from : from+int64(b.Length)]
	part := r.unhashed(int64(b.Offset) + int64(b.Length))
	plain, err := r.c.repo.OpenBlobBeside(r.plain, b, sealed, r.sum, part)
	if err == nil {
		r.plain = plain
	}
	return err
}

// rest hashes what is left of the pack.
func (r *packReader) rest() error {
	if r.failed != nil {
		return fmt.Errorf("can't be read: %w", r.failed)
	}
	if err := r.skipTo(r.p.Size); err != nil {
		return fmt.Errorf("can't be read: %w", err)
	}
	return nil
}
