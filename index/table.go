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
	"maps"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
)

// entry is one location of a blob. Entries are sorted by type and ID, and then
// by all the rest, so that equal ones are neighbours.
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

func compareEntries(a, b entry) int { return compareWhole(&a, &b) }

func compareWhole(a, b *entry) int {
	if c := compareHandles(a, b); c != 0 {
		return c
	}
	return comparePlaces(a, b)
}

func comparePlaces(a, b *entry) int {
	return cmp.Or(
		cmp.Compare(a.pack, b.pack),
		cmp.Compare(a.offset, b.offset),
		cmp.Compare(a.length, b.length),
		cmp.Compare(a.plain, b.plain))
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
	packs packSet                // owned by mu
	files map[crypto.ID]struct{} // index files; owned by mu
	// runs are sorted each, the largest first; a run is at least twice as
	// large as the next, so there are few. No two entries are equal. The
	// slice is owned by mu, a run itself never changes.
	runs []run
}

var _ Lookuper = (*Table)(nil)

// NewTable returns an empty table.
func NewTable() *Table { return new(Table) }

// Add enters all blobs of a pack. What the table has already, in the same
// pack at the same place, is not entered again.
func (t *Table) Add(pack crypto.ID, blobs []Blob) {
	if len(blobs) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	number, known := t.packs.add(pack)
	added := make([]entry, 0, len(blobs))
	for _, b := range blobs {
		if e := newEntry(b, number); !known || !t.holds(e) {
			added = append(added, e)
		}
	}
	slices.SortFunc(added, compareEntries)
	if added = slices.Compact(added); len(added) == 0 {
		return
	}
	list := makeEntries(len(added))
	for i, e := range added {
		*list.at(i) = e
	}
	t.runs = append(t.runs, newRun(list))
	for n := len(t.runs); n > 1 && t.runs[n-2].n < 2*t.runs[n-1].n; n = len(t.runs) {
		t.mergeLast()
	}
}

// mergeLast makes one of the last two runs. It never writes to a run, as
// iterators may be reading it.
func (t *Table) mergeLast() {
	n := len(t.runs)
	merged := newRun(merge(&t.runs[n-2].entryList, &t.runs[n-1].entryList))
	t.runs[n-1] = run{} // for the garbage collector
	t.runs[n-2], t.runs = merged, t.runs[:n-1]
}

// holds reports whether the very entry is in the table.
func (t *Table) holds(e entry) bool {
	h := e.handle()
	for i := range t.runs {
		r := &t.runs[i]
		for at, end := r.span(&h); at < end; at++ {
			if *r.at(at) == e {
				return true
			}
		}
	}
	return false
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
		if t.runs[i].find(&h) >= 0 {
			return true
		}
	}
	return false
}

// Lookup appends all places of a blob to dst, in no particular order. It
// allocates only if dst has no room.
func (t *Table) Lookup(dst []Location, h BlobHandle) []Location {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		r := &t.runs[i]
		for at, end := r.span(&h); at < end; at++ {
			dst = append(dst, location(r.at(at), t.packs.ids))
		}
	}
	return dst
}

func location(e *entry, packs []crypto.ID) Location {
	return Location{Blob: e.blob(), Pack: packs[e.pack&^treeBit]}
}

// PlaintextLength returns the length of a blob's content in bytes.
func (t *Table) PlaintextLength(h BlobHandle) (int, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.runs {
		if at := t.runs[i].find(&h); at >= 0 {
			return t.runs[i].at(at).blob().PlaintextLength(), true
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
		n += t.runs[i].n
	}
	return n
}

// flatten merges all runs into one, so that an entry's position numbers it.
// What it returns never changes.
func (t *Table) flatten() (entries entryList, packs []crypto.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.runs) > 1 {
		t.mergeLast()
	}
	if len(t.runs) > 0 {
		entries = t.runs[0].entryList
	}
	return entries, t.packs.ids[:len(t.packs.ids):len(t.packs.ids)]
}

// Ordinal returns a number for a blob, below Len, which stays the same until
// a pack is added: a set of blobs is a bit for each. A blob that is stored
// several times has one number.
func (t *Table) Ordinal(h BlobHandle) (int, bool) {
	t.mu.RLock()
	for len(t.runs) > 1 {
		t.mu.RUnlock()
		t.flatten()
		t.mu.RLock()
	}
	defer t.mu.RUnlock()
	if len(t.runs) == 0 {
		return 0, false
	}
	at := t.runs[0].find(&h)
	return max(at, 0), at >= 0
}

// All yields every location, data before trees, sorted by ID. It shows the
// table as it is when the loop begins.
func (t *Table) All() iter.Seq[Location] {
	return func(yield func(Location) bool) {
		entries, packs := t.flatten()
		for i := range entries.n {
			if !yield(location(entries.at(i), packs)) {
				return
			}
		}
	}
}

// AddFile notes that the table holds all that the index file lists.
func (t *Table) AddFile(id crypto.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files == nil {
		t.files = make(map[crypto.ID]struct{})
	}
	t.files[id] = struct{}{}
}

// HasFile reports whether the index file was noted, by AddFile or
// [File.SetID].
func (t *Table) HasFile(id crypto.ID) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.files[id]
	return ok
}

// Files returns the IDs of all index files that were noted, sorted.
func (t *Table) Files() []crypto.ID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(t.files), crypto.ID.Compare)
}
