package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// Builder assembles one pack: in memory, where the backend wants it, or, for
// large packs, in a temporary file that has no name. It is not safe for concurrent use.
type Builder struct {
	key   *crypto.Key
	blobs []index.Blob
	size  int64 // bytes of blobs so far
	err   error // of a write: what is in the pack is not what was added; it is of no use

	mem   slabs  // the pack, unless there is a file
	added uint32 // CRC-32C of what was written to mem

	file spool     // nil: in memory
	sum  hash.Hash // of what was added to file
	buf  []byte    // what file does not have yet
}

// spool is the file of a Builder.
type spool interface {
	io.Writer
	io.ReaderAt
	io.Closer
}

// tempFile is a file that has, but on Windows, no name any more.
type tempFile struct{ *os.File }

// Close also removes the file where an open one can't be removed.
func (f tempFile) Close() error {
	err := f.File.Close()
	_ = os.Remove(f.Name())
	return err
}

// NewBuilder returns a Builder that keeps the pack in memory.
func NewBuilder(key *crypto.Key, memory *Memory) *Builder {
	return &Builder{key: key, mem: slabs{memory: memory}}
}

// NewFileBuilder returns a Builder that keeps the pack in a temporary file
// below dir, or the system's folder for such files if dir is empty.
func NewFileBuilder(key *crypto.Key, dir string) (*Builder, error) {
	f, err := os.CreateTemp(dir, "garner-pack-")
	if err != nil {
		return nil, fmt.Errorf("temporary file for a pack: %w", err)
	}
	// Without a name nothing is left behind, however the process ends.
	_ = os.Remove(f.Name())
	return &Builder{key: key, file: tempFile{f}, sum: sha256.New()}, nil
}

// NewSpoolBuilder returns a Builder that writes the pack to where the backend
// wants it.
func NewSpoolBuilder(key *crypto.Key, s backend.Spool) *Builder {
	return &Builder{key: key, file: s, sum: sha256.New()}
}

// Add appends a sealed blob. Of b only handle and UncompressedLength count;
// the rest follows from sealed, which Add copies. After an error the Builder is
// of no use, and says so.
func (b *Builder) Add(blob index.Blob, sealed []byte) error {
	if b.err != nil {
		return b.err
	}
	if b.err = b.begin(blob, int64(len(sealed))); b.err == nil {
		b.err = b.write(sealed)
	}
	return b.err
}

// AddStream appends a sealed blob that write produces piece by piece. After
// an error the Builder is of no use.
func (b *Builder) AddStream(blob index.Blob, write func(w io.Writer) error) error {
	if b.err == nil {
		b.err = b.addStream(blob, write)
	}
	return b.err
}

func (b *Builder) addStream(blob index.Blob, write func(w io.Writer) error) error {
	if err := b.begin(blob, 0); err != nil {
		return err
	}
	var n int64
	err := write(writerFunc(func(p []byte) error {
		n += int64(len(p))
		return b.write(p)
	}))
	if err != nil {
		return err
	}
	return b.extend(n)
}

type writerFunc func(p []byte) error

func (f writerFunc) Write(p []byte) (int, error) { return len(p), f(p) }

// begin enters a blob of size stored bytes at the end of the pack.
func (b *Builder) begin(blob index.Blob, size int64) error {
	if len(b.blobs) == MaxBlobs {
		return errors.New("pack is full")
	}
	blob.Offset, blob.Length = uint32(b.size), 0
	b.blobs = append(b.blobs, blob)
	return b.extend(size)
}

// extend makes the last blob longer by n stored bytes.
func (b *Builder) extend(n int64) error {
	last := &b.blobs[len(b.blobs)-1]
	if b.size+n > 1<<32-1 {
		return fmt.Errorf("blob %v does not fit into a pack: more than 4 GiB", last.BlobHandle)
	}
	last.Length += uint32(n)
	b.size += n
	return nil
}

// LastBlob returns the blob added last and its stored bytes. The Builder must
// be one with a file.
func (b *Builder) LastBlob() (index.Blob, *io.SectionReader, error) {
	last := b.blobs[len(b.blobs)-1]
	return last, io.NewSectionReader(b.file, int64(last.Offset), int64(last.Length)), b.flush()
}

func (b *Builder) write(p []byte) error {
	if b.file == nil {
		b.added = crc32.Update(b.added, castagnoli(), p)
		_, err := b.mem.Write(p)
		return err
	}
	// The hash first: what happens to the bytes later can't fit the name.
	b.sum.Write(p)
	if len(b.buf)+len(p) > bufferSize {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if len(p) >= bufferSize {
		return b.writeFile(p)
	}
	if b.buf == nil {
		b.buf = make([]byte, 0, bufferSize)
	}
	b.buf = append(b.buf, p...)
	return nil
}

// bufferSize is up to what size blobs are collected for one write to a file.
const bufferSize = 64 << 10

// flush brings the file up to date.
func (b *Builder) flush() error {
	if b.err == nil {
		b.err = b.writeFile(b.buf)
	}
	b.buf = b.buf[:0]
	return b.err
}

func (b *Builder) writeFile(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := b.file.Write(p); err != nil {
		return fmt.Errorf("write a pack: %w", err)
	}
	return nil
}

// Size returns the bytes of blobs added so far, without the header.
func (b *Builder) Size() int64 { return b.size }

// Len returns how many blobs were added.
func (b *Builder) Len() int { return len(b.blobs) }

// Empty reports whether nothing was added.
func (b *Builder) Empty() bool { return len(b.blobs) == 0 }

// Full reports whether no further blob fits into the header.
func (b *Builder) Full() bool { return len(b.blobs) >= MaxBlobs }

// Merge moves the blobs of other behind those of b. After an error neither is
// of use.
func (b *Builder) Merge(other *Builder) error {
	if other.err != nil {
		return other.err
	}
	if other.file == nil && other.mem.sum() != other.added {
		return errChanged
	}
	for _, blob := range other.blobs {
		sealed, err := other.stored(blob)
		if err == nil {
			err = b.Add(blob, sealed)
		}
		if err != nil {
			return err
		}
	}
	other.blobs, other.size = nil, 0
	return nil
}

// stored returns the sealed bytes of a blob that was added.
func (b *Builder) stored(blob index.Blob) ([]byte, error) {
	var from io.ReaderAt = &b.mem
	if b.file != nil {
		if err := b.flush(); err != nil {
			return nil, err
		}
		from = b.file
	}
	sealed := make([]byte, blob.Length)
	if _, err := from.ReadAt(sealed, int64(blob.Offset)); err != nil {
		return nil, fmt.Errorf("read back from a pack being made: %w", err)
	}
	return sealed, nil
}

// Pack is a finished pack, ready to be stored.
type Pack struct {
	ID      crypto.ID
	Blobs   []index.Blob
	Content backend.Content
}

// Finish appends the header and returns the pack. The Builder must not be
// used after that but for Close, and Close not before the pack is stored.
func (b *Builder) Finish() (*Pack, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.Empty() {
		return nil, errors.New("pack without blobs")
	}
	plain := appendHeader(make([]byte, 0, len(b.blobs)*compressedEntrySize), b.blobs)
	header := b.key.Seal(make([]byte, 0, len(plain)+Trailer), plain)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(header)))
	if err := b.checkHeader(header); err != nil {
		return nil, err
	}
	if err := b.write(header); err != nil {
		return nil, err
	}
	p := &Pack{Blobs: b.blobs}
	if b.file == nil {
		id, sum := b.mem.hash()
		if sum != b.added {
			return nil, errChanged
		}
		p.ID, p.Content = id, &b.mem
		return p, nil
	}
	if err := b.flush(); err != nil {
		return nil, err
	}
	p.ID = crypto.ID(b.sum.Sum(nil))
	if content, ok := b.file.(backend.Spool); ok {
		if have, want := content.Size(), b.size+int64(len(header)); have != want {
			return nil, fmt.Errorf("a pack has %d bytes where %d were written", have, want)
		}
		p.Content = content
	} else {
		p.Content = io.NewSectionReader(b.file, 0, b.size+int64(len(header)))
	}
	return p, nil
}

var errChanged = errors.New("a pack changed in memory while it was filled, the machine's memory may be faulty")

// checkHeader reads the header back as a reader will. A header that was
// damaged in memory would make the whole pack unreadable.
func (b *Builder) checkHeader(header []byte) error {
	total := b.size + int64(len(header))
	got, err := openHeader(b.key, header[:len(header)-lengthSize], total)
	if err != nil {
		return fmt.Errorf("pack header does not read back: %w", err)
	}
	if !slices.Equal(got, b.blobs) {
		return errors.New("pack header does not read back: other blobs than were added")
	}
	return nil
}

// Close releases the memory or the temporary file.
func (b *Builder) Close() {
	if b.file != nil {
		_ = b.file.Close() // what was to be kept is stored by now
		b.file = nil
		return
	}
	b.mem.release()
}
