// Package index knows which blob is in which pack, and where.
//
// A [Table] holds the union of all index files of a repository: sorted arrays
// without pointers, 48 bytes for each blob and little more. [Decode] reads an
// index file, [Builder] makes a Table of many, [Collector] gathers the packs
// of a running backup until an index file is due. The package works on bytes
// and does no input or output.
package index

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
)

// entry is one location of a blob. Entries are sorted by type, ID, pack
// number and offset.
type entry struct {
	id     crypto.ID
	pack   uint32 // number of the pack; the highest bit is the blob's type
	offset uint32
	length uint32 // stored
	plain  uint32 // plaintext of a compressed blob, else 0
}

const treeBit = 1 << 31

func (e *entry) typ() BlobType { return BlobType(e.pack >> 31) }

func (e *entry) handle() BlobHandle { return BlobHandle{e.typ(), e.id} }

func (e *entry) blob() Blob {
	return Blob{BlobHandle: e.handle(), Offset: e.offset, Length: e.length, UncompressedLength: e.plain}
}

func compareHandles(a, b *entry) int {
	if c := cmp.Compare(a.pack>>31, b.pack>>31); c != 0 {
		return c
	}
	return bytes.Compare(a.id[:], b.id[:])
}

func compareEntries(a, b entry) int {
	if c := compareHandles(&a, &b); c != 0 {
		return c
	}
	if c := cmp.Compare(a.pack, b.pack); c != 0 {
		return c
	}
	return cmp.Compare(a.offset, b.offset)
}

// Lookuper is what backup and restore need of an index.
type Lookuper interface {
	Has(h BlobHandle) bool
	Lookup(dst []Location, h BlobHandle) []Location
	PlaintextLength(h BlobHandle) (int, bool)
}

// Table is an index in memory. It is safe for concurrent use, also while
// packs are added.
type Table struct {
	mu    sync.RWMutex
	packs []crypto.ID // by number; a pack listed twice has two numbers until Builder merges them
	// runs are sorted each, the largest first; a run is at least twice as
	// large as the next, so there are few.
	runs []run
}

var _ Lookuper = (*Table)(nil)

// NewTable returns an empty table.
func NewTable() *Table { return new(Table) }

// Add enters all blobs of a pack.
func (t *Table) Add(pack crypto.ID, blobs []Blob) {
	if len(blobs) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	number := uint32(len(t.packs))
	t.packs = append(t.packs, pack)
	added := make([]entry, len(blobs))
	for i, b := range blobs {
		added[i] = newEntry(b, number)
	}
	slices.SortFunc(added, compareEntries)
	t.runs = append(t.runs, newRun(added))
	for n := len(t.runs); n > 1 && len(t.runs[n-2].entries) < 2*len(t.runs[n-1].entries); n = len(t.runs) {
		t.runs[n-2] = newRun(merge(t.runs[n-2].entries, t.runs[n-1].entries))
		t.runs = t.runs[:n-1]
	}
}

func newEntry(b Blob, pack uint32) entry {
	return entry{
		id:     b.ID,
		pack:   pack | uint32(b.Type)<<31,
		offset: b.Offset,
		length: b.Length,
		plain:  b.UncompressedLength,
	}
}

// Has reports whether the blob is stored anywhere.
func (t *Table) Has(h BlobHandle) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		if t.runs[i].find(h) >= 0 {
			return true
		}
	}
	return false
}

// Lookup appends all places of a blob to dst.
func (t *Table) Lookup(dst []Location, h BlobHandle) []Location {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		entries := t.runs[i].entries
		at := t.runs[i].find(h)
		for ; at >= 0 && at < len(entries) && entries[at].handle() == h; at++ {
			dst = append(dst, t.location(&entries[at]))
		}
	}
	return dst
}

func (t *Table) location(e *entry) Location {
	return Location{Blob: e.blob(), Pack: t.packs[e.pack&^treeBit]}
}

// PlaintextLength returns the length of a blob's content in bytes.
func (t *Table) PlaintextLength(h BlobHandle) (int, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		if at := t.runs[i].find(h); at >= 0 {
			return t.runs[i].entries[at].blob().PlaintextLength(), true
		}
	}
	return 0, false
}

// Len returns how many locations the table holds; a blob that is stored twice
// counts twice.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := 0
	for i := range t.runs {
		n += len(t.runs[i].entries)
	}
	return n
}

// flatten merges all runs into one, so that an entry's position numbers it.
func (t *Table) flatten() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.runs); n > 1; n = len(t.runs) {
		t.runs[n-2] = newRun(merge(t.runs[n-2].entries, t.runs[n-1].entries))
		t.runs = t.runs[:n-1]
	}
	if len(t.runs) == 0 {
		return nil
	}
	return t.runs[0].entries
}

// Ordinal returns a number for a blob, below Len, which stays the same until
// a pack is added: a set of blobs is a bit for each.
func (t *Table) Ordinal(h BlobHandle) (int, bool) {
	t.mu.RLock()
	if len(t.runs) > 1 {
		t.mu.RUnlock()
		t.flatten()
		t.mu.RLock()
	}
	defer t.mu.RUnlock()
	if len(t.runs) == 0 {
		return 0, false
	}
	at := t.runs[0].find(h)
	return at, at >= 0
}

// All yields every location, data before trees, sorted by ID. No pack may be
// added meanwhile.
func (t *Table) All() iter.Seq[Location] {
	return func(yield func(Location) bool) {
		entries := t.flatten()
		for i := range entries {
			if !yield(t.location(&entries[i])) {
				return
			}
		}
	}
}

// ByPack yields each pack with its blobs, sorted by offset. The slice is
// valid until the next one. No pack may be added meanwhile. It takes four
// more bytes for each blob.
func (t *Table) ByPack() iter.Seq2[crypto.ID, []Blob] {
	return func(yield func(crypto.ID, []Blob) bool) {
		entries := t.flatten()
		starts, order := byPack(entries, len(t.packs))
		var blobs []Blob
		for p, id := range t.packs {
			blobs = blobs[:0]
			for _, at := range order[starts[p]:starts[p+1]] {
				blobs = append(blobs, entries[at].blob())
			}
			slices.SortFunc(blobs, func(a, b Blob) int { return cmp.Compare(a.Offset, b.Offset) })
			if len(blobs) > 0 && !yield(id, blobs) {
				return
			}
		}
	}
}

// byPack sorts the positions of entries by pack number, counting: those of
// pack p are order[starts[p]:starts[p+1]].
func byPack(entries []entry, packs int) (starts, order []uint32) {
	starts = make([]uint32, packs+1)
	for i := range entries {
		starts[entries[i].pack&^treeBit+1]++
	}
	for p := range packs {
		starts[p+1] += starts[p]
	}
	order = make([]uint32, len(entries))
	next := slices.Clone(starts)
	for i := range entries {
		p := entries[i].pack &^ treeBit
		order[next[p]] = uint32(i)
		next[p]++
	}
	return starts, order
}
