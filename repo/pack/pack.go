// Package pack writes and reads pack files, the containers that hold the
// blobs of a repository: sealed blobs one behind the other, then a sealed
// header that lists them, then the header's length.
//
// A [Builder] makes a pack from blobs that are sealed already; [ReadHeader]
// lists the blobs of a stored pack. Neither opens a blob.
package pack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// The sizes of the parts of a pack, in bytes.
const (
	// rawEntrySize is a header entry of a blob stored as it is: type, stored
	// length, ID.
	rawEntrySize = 1 + 4 + crypto.IDSize
	// compressedEntrySize has the length of the plaintext as well.
	compressedEntrySize = rawEntrySize + 4
	lengthSize          = 4 // of the header's length, at the very end

	// MaxHeaderSize is the largest sealed header that readers accept,
	// including the length field.
	MaxHeaderSize = 16<<20 + lengthSize
	// MaxBlobs is how many blobs fit below a header of that size.
	MaxBlobs = (MaxHeaderSize - lengthSize - crypto.Overhead) / compressedEntrySize
	// MinSize is the size of a pack with one empty raw blob's entry and
	// nothing else; no valid pack is smaller.
	MinSize = rawEntrySize + crypto.Overhead + lengthSize
	// Trailer is what a pack adds to blobs and entries: the header's overhead
	// and the length field.
	Trailer = crypto.Overhead + lengthSize
	// firstRead is how much of the end ReadHeader asks for at first: enough
	// for 15 entries, which most tree packs of small backups have.
	firstRead = 15*compressedEntrySize + Trailer
)

// The type bytes of header entries.
const (
	rawData = iota
	rawTree
	compressedData
	compressedTree
)

// EntrySize returns how many bytes b takes in the header.
func EntrySize(b index.Blob) int {
	if b.Compressed() {
		return compressedEntrySize
	}
	return rawEntrySize
}

// Size returns the size in bytes of a pack that holds just these blobs. A
// stored pack of another size is damaged.
func Size(blobs []index.Blob) int64 {
	size := int64(Trailer)
	for _, b := range blobs {
		size += int64(b.Length) + int64(EntrySize(b))
	}
	return size
}

// appendHeader appends the plaintext of the header that lists blobs.
func appendHeader(dst []byte, blobs []index.Blob) []byte {
	for _, b := range blobs {
		kind := byte(rawData)
		if b.Type == index.TreeBlob {
			kind = rawTree
		}
		if b.Compressed() {
			kind += compressedData - rawData
		}
		dst = append(dst, kind)
		dst = binary.LittleEndian.AppendUint32(dst, b.Length)
		if b.Compressed() {
			dst = binary.LittleEndian.AppendUint32(dst, b.UncompressedLength)
		}
		dst = append(dst, b.ID[:]...)
	}
	return dst
}

// ParseHeader decodes the plaintext of a header. Offsets are the running sum
// of the lengths, as blobs lie one behind the other from the start.
func ParseHeader(plain []byte) ([]index.Blob, error) {
	if len(plain) == 0 {
		return nil, errors.New("pack header lists no blob")
	}
	blobs := make([]index.Blob, 0, len(plain)/rawEntrySize+1)
	var offset uint64
	for len(plain) > 0 {
		b, size, err := parseEntry(plain)
		if err != nil {
			return nil, fmt.Errorf("pack header, entry %d: %w", len(blobs), err)
		}
		if offset+uint64(b.Length) > 1<<32-1 {
			return nil, fmt.Errorf("pack header, entry %d: blobs reach beyond 4 GiB", len(blobs))
		}
		b.Offset = uint32(offset)
		offset += uint64(b.Length)
		blobs = append(blobs, b)
		plain = plain[size:]
	}
	return blobs, nil
}

func parseEntry(p []byte) (b index.Blob, size int, err error) {
	kind := p[0]
	size = rawEntrySize
	switch kind {
	case rawData, compressedData:
		b.Type = index.DataBlob
	case rawTree, compressedTree:
		b.Type = index.TreeBlob
	default:
		return b, 0, fmt.Errorf("unknown type %d", kind)
	}
	compressed := kind >= compressedData
	if compressed {
		size = compressedEntrySize
	}
	if len(p) < size {
		return b, 0, fmt.Errorf("cut off after %d of %d bytes", len(p), size)
	}
	b.Length = binary.LittleEndian.Uint32(p[1:])
	if b.Length < crypto.Overhead {
		return b, 0, fmt.Errorf("stored length %d is below the overhead of %d", b.Length, crypto.Overhead)
	}
	p = p[5:size]
	if compressed {
		b.UncompressedLength = binary.LittleEndian.Uint32(p)
		p = p[4:]
		if b.UncompressedLength == 0 {
			return b, 0, errors.New("compressed blob without content")
		}
	}
	copy(b.ID[:], p)
	return b, size, nil
}

// Loader is the part of a backend that ReadHeader needs.
type Loader interface {
	Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error)
}

// ReadHeader returns the blobs of the stored pack id, which is size bytes
// long, in the order of their offsets. Errors of the backend are returned as
// they are; any other error means that the pack is damaged.
func ReadHeader(ctx context.Context, be Loader, key *crypto.Key, id crypto.ID, size int64) ([]index.Blob, error) {
	if size < MinSize {
		return nil, fmt.Errorf("pack of %d bytes is shorter than the smallest possible, %d", size, MinSize)
	}
	h := backend.Handle{Type: backend.PackFile, Name: id.String()}
	n := min(size, firstRead)
	tail, err := be.Load(ctx, h, size-n, int(n), nil)
	if err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-lengthSize:]))
	switch {
	case length < crypto.Overhead+rawEntrySize:
		return nil, fmt.Errorf("pack header of %d bytes is too short", length)
	case length > size-lengthSize:
		return nil, fmt.Errorf("pack header of %d bytes does not fit into a pack of %d bytes", length, size)
	case length > MaxHeaderSize-lengthSize:
		return nil, fmt.Errorf("pack header of %d bytes is larger than the limit of %d", length, MaxHeaderSize-lengthSize)
	}
	if length+lengthSize > n {
		if tail, err = be.Load(ctx, h, size-length-lengthSize, int(length+lengthSize), nil); err != nil {
			return nil, err
		}
	}
	return openHeader(key, tail[int64(len(tail))-length-lengthSize:len(tail)-lengthSize], size)
}

// openHeader opens a sealed header and checks that what it lists fills a pack
// of size bytes without a gap.
func openHeader(key *crypto.Key, sealed []byte, size int64) ([]index.Blob, error) {
	plain, err := key.Open(nil, sealed)
	if err != nil {
		return nil, fmt.Errorf("pack header: %w", err)
	}
	blobs, err := ParseHeader(plain)
	if err != nil {
		return nil, err
	}
	if want := Size(blobs); want != size {
		return nil, fmt.Errorf("pack is %d bytes long, but its header lists blobs for %d", size, want)
	}
	return blobs, nil
}
