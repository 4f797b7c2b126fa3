package index

import (
	"fmt"

	"github.com/garner-backup/garner/crypto"
)

// BlobType tells the two kinds of blobs apart. The same bytes as data and as
// tree are two different blobs.
type BlobType uint8

const (
	// DataBlob is a piece of a file's content.
	DataBlob BlobType = iota
	// TreeBlob is the JSON of a directory.
	TreeBlob
	// NumBlobTypes is how many types there are, for arrays by type.
	NumBlobTypes = iota
)

// String returns the name that index files use.
func (t BlobType) String() string {
	switch t {
	case DataBlob:
		return "data"
	case TreeBlob:
		return "tree"
	}
	return fmt.Sprintf("invalid(%d)", uint8(t))
}

// ParseBlobType is the inverse of String.
func ParseBlobType(s string) (BlobType, error) {
	switch s {
	case "data":
		return DataBlob, nil
	case "tree":
		return TreeBlob, nil
	}
	return 0, fmt.Errorf("invalid blob type %q", s)
}

// BlobHandle identifies a blob.
type BlobHandle struct {
	Type BlobType
	ID   crypto.ID
}

// String returns type and short ID, as messages show a blob.
func (h BlobHandle) String() string { return h.Type.String() + "/" + h.ID.Short() }

// Blob describes a blob's place inside one pack.
type Blob struct {
	BlobHandle
	Offset uint32 // of the sealed blob in the pack, bytes
	Length uint32 // stored: sealed and perhaps compressed, bytes
	// UncompressedLength is the length of the plaintext in bytes if the blob
	// is compressed, and 0 if it is not.
	UncompressedLength uint32
}

// Compressed reports whether the stored form is a sealed zstd frame.
func (b Blob) Compressed() bool { return b.UncompressedLength != 0 }

// PlaintextLength returns the length of the content in bytes.
func (b Blob) PlaintextLength() int {
	if b.Compressed() {
		return int(b.UncompressedLength)
	}
	return int(b.Length) - crypto.Overhead
}

// Location is one place where a blob is stored.
type Location struct {
	Blob
	Pack crypto.ID
}
