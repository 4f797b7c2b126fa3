package repo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

// LargeBlob is the content size in bytes from which on blobs are handled in
// temporary files instead of memory. Only trees of huge folders get there.
const LargeBlob = 32 << 20

// sealLarge compresses and seals content into b, which is empty, and reads it
// back.
func (r *Repo) sealLarge(h index.BlobHandle, content backend.Content, b *pack.Builder) error {
	blob := index.Blob{BlobHandle: h}
	compressed := r.compresses(h.Type, int(content.Size()))
	if compressed {
		blob.UncompressedLength = uint32(content.Size())
	}
	err := b.AddStream(blob, func(w io.Writer) error {
		seal, err := r.key.SealTo(w)
		if err != nil {
			return err
		}
		if compressed {
			err = r.comp.compressTo(seal, content)
		} else {
			_, err = io.Copy(seal, readerOf(content))
		}
		if err != nil {
			return err
		}
		return seal.Close()
	})
	if err != nil || r.opts.Verify == VerifyNone {
		return err
	}
	stored, sealed, err := b.LastBlob()
	if err != nil {
		return err
	}
	if err := r.openLarge(io.Discard, stored, sealed); err != nil {
		return fmt.Errorf("does not read back after sealing, the machine's memory or disk may be faulty: %w", err)
	}
	return nil
}

// compressTo writes one frame with content to w, in bounded memory.
func (c *compressor) compressTo(w io.Writer, content backend.Content) error {
	enc, err := zstd.NewWriter(w, append(encoderOptions(c.mode), zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if _, err := io.Copy(enc, readerOf(content)); err != nil {
		enc.Close()
		return err
	}
	return enc.Close()
}

// openLarge verifies the sealed blob, writes its content to w and checks
// length and ID. What is in w must not be used after an error.
func (r *Repo) openLarge(w io.Writer, b index.Blob, sealed backend.Content) error {
	plain, err := r.key.OpenFrom(sealed, sealed.Size())
	if err != nil {
		return err
	}
	if b.Compressed() {
		dec, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		defer dec.Close()
		plain = dec
	}
	sum := sha256.New()
	limit := int64(b.PlaintextLength())
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(plain, limit+1))
	if err != nil {
		return err
	}
	if n != limit {
		return fmt.Errorf("content is not %d bytes long", limit)
	}
	if crypto.ID(sum.Sum(nil)) != b.ID {
		return errWrongHash
	}
	return nil
}

// BlobFile is the verified content of a large blob, in a temporary file
// without a name. Close releases it.
type BlobFile struct {
	io.SectionReader
	f *os.File
}

// Close releases the file.
func (b *BlobFile) Close() error {
	err := b.f.Close()
	_ = os.Remove(b.f.Name()) // gone already, except on Windows
	return err
}

// LoadLarge returns the content of a blob without holding it in memory. Its
// errors are those of LoadBlob.
func (r *Repo) LoadLarge(ctx context.Context, h index.BlobHandle) (*BlobFile, error) {
	locations := r.index.Lookup(nil, h)
	if len(locations) == 0 {
		return nil, &MissingBlobError{Blob: h}
	}
	var first error
	for range 2 {
		for _, l := range locations {
			f, err := r.loadLargeLocation(ctx, l)
			if err == nil || ctx.Err() != nil {
				return f, err
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, first
}

func (r *Repo) loadLargeLocation(ctx context.Context, l index.Location) (_ *BlobFile, err error) {
	sealed, err := r.tempFile()
	if err != nil {
		return nil, err
	}
	defer sealed.Close()
	if err := r.download(ctx, sealed.f, l); err != nil {
		return nil, err
	}
	plain, err := r.tempFile()
	if err != nil {
		return nil, err
	}
	stored := io.NewSectionReader(sealed.f, 0, int64(l.Length))
	if err := r.openLarge(plain.f, l.Blob, stored); err != nil {
		plain.Close()
		h := fileHandle(backend.PackFile, l.Pack)
		return nil, &CorruptError{Handle: h, Blob: &l.BlobHandle, Err: err}
	}
	plain.SectionReader = *io.NewSectionReader(plain.f, 0, int64(l.PlaintextLength()))
	return plain, nil
}

// download copies the stored bytes of a blob into f.
func (r *Repo) download(ctx context.Context, f *os.File, l index.Location) error {
	h := fileHandle(backend.PackFile, l.Pack)
	h.Metadata = l.Type == index.TreeBlob
	var buf []byte
	for done := int64(0); done < int64(l.Length); {
		n := min(int64(l.Length)-done, maxReadSize)
		var err error
		buf, err = r.be.Load(ctx, h, int64(l.Offset)+done, int(n), buf)
		if err == nil {
			_, err = f.Write(buf)
		}
		if err != nil {
			return fmt.Errorf("load blob %v from %v: %w", l.BlobHandle, h, err)
		}
		done += n
	}
	return nil
}

func (r *Repo) tempFile() (*BlobFile, error) {
	f, err := os.CreateTemp(r.opts.TempDir, "garner-blob-")
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	_ = os.Remove(f.Name()) // where an open file can't be removed, Close does it
	return &BlobFile{f: f}, nil
}
