package index

import (
	"strconv"
	"time"

	"github.com/garner-backup/garner/crypto"
)

const (
	// FullFile is how many blobs make an index file due. Restic since 0.17
	// uses the same number.
	FullFile = 50_000
	// MaxAge is how long a stored pack may be without an index file.
	MaxAge = 10 * time.Minute
	// OversizedFile is from how many blobs on an index file counts as too
	// large and is split when indexes are rewritten: one pack, which is never
	// split, more than a full file.
	OversizedFile = FullFile + 409_199
)

// The pieces of an index file.
const (
	fileStart = `{"packs":[`
	fileEnd   = "]}\n"
)

// Collector gathers stored packs until an index file is due. Packs are never
// split over two files; to keep files small, call Take after each Add. It is
// not safe for concurrent use.
type Collector struct {
	now   func() time.Time
	json  []byte    // encoded packs with commas between
	blobs int       // in json
	first time.Time // when the oldest pack in json was added
}

// NewCollector returns an empty Collector that reads the clock from now.
func NewCollector(now func() time.Time) *Collector { return &Collector{now: now} }

// Add enters a pack, with all its blobs. The pack must be stored durably: an
// index file must never name one that is not.
func (c *Collector) Add(pack crypto.ID, blobs []Blob) {
	if len(c.json) == 0 {
		c.first = c.now()
		c.json = append(c.json, fileStart...)
	} else {
		c.json = append(c.json, ',')
	}
	c.json = appendPack(c.json, pack, blobs)
	c.blobs += len(blobs)
}

// Take returns an index file if one is due, or, with force, if there is any
// pack at all; else nil. The packs in it are no longer the Collector's.
func (c *Collector) Take(force bool) []byte {
	switch {
	case len(c.json) == 0:
		return nil
	case force, c.blobs >= FullFile, c.now().Sub(c.first) >= MaxAge:
		file := append(c.json, fileEnd...)
		c.json, c.blobs = nil, 0
		return file
	}
	return nil
}

func appendPack(dst []byte, pack crypto.ID, blobs []Blob) []byte {
	dst = pack.AppendHex(append(dst, `{"id":"`...))
	dst = append(dst, `","blobs":[`...)
	for i, b := range blobs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = b.ID.AppendHex(append(dst, `{"id":"`...))
		dst = append(dst, `","type":"`...)
		dst = append(dst, b.Type.String()...)
		dst = strconv.AppendUint(append(dst, `","offset":`...), uint64(b.Offset), 10)
		dst = strconv.AppendUint(append(dst, `,"length":`...), uint64(b.Length), 10)
		if b.Compressed() {
			dst = strconv.AppendUint(append(dst, `,"uncompressed_length":`...), uint64(b.UncompressedLength), 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
