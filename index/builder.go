package index

import (
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
)

// Builder makes a Table of many index files. It is safe for concurrent use.
type Builder struct {
	mu      sync.Mutex
	packs   packSet                // owned by mu
	files   map[crypto.ID]struct{} // with an ID; owned by mu
	entries entryList              // unsorted; owned by mu
	spare   [][]entry              // arrays of committed files, for the next; owned by mu
}

// NewBuilder returns an empty Builder.
func NewBuilder() *Builder { return &Builder{files: make(map[crypto.ID]struct{})} }

// File is an index file on its way into a Builder. Nothing of it counts
// before Commit, so a file that turns out to be damaged leaves no trace. It is
// not safe for concurrent use.
type File struct {
	b       *Builder
	id      crypto.ID // zero if not set
	packs   []crypto.ID
	entries []entry // pack numbers are positions in packs
}

// File begins an index file.
func (b *Builder) File() *File {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &File{b: b}
	if n := len(b.spare); n > 0 {
		f.entries, b.spare = b.spare[n-1], b.spare[:n-1]
	}
	return f
}

// SetID says which index file it is; [Table.Files] lists it then.
func (f *File) SetID(id crypto.ID) { f.id = id }

// Add enters a pack of the file. It copies blobs.
func (f *File) Add(pack crypto.ID, blobs []Blob) {
	number := uint32(len(f.packs))
	f.packs = append(f.packs, pack)
	f.entries = slices.Grow(f.entries, len(blobs))
	for _, b := range blobs {
		f.entries = append(f.entries, newEntry(b, number))
	}
}

// Commit adds the whole file.
func (f *File) Commit() {
	b := f.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !f.id.IsZero() {
		b.files[f.id] = struct{}{}
	}
	renumber := make([]uint32, len(f.packs))
	for i, id := range f.packs {
		renumber[i], _ = b.packs.add(id)
	}
	for i := range f.entries {
		e := &f.entries[i]
		e.pack = e.pack&treeBit | renumber[e.pack&^treeBit]
	}
	b.entries.append(f.entries)
	if cap(f.entries) > 0 {
		b.spare = append(b.spare, f.entries[:0])
	}
	f.packs, f.entries = nil, nil
}

// Table returns a table of all that was committed. Entries that say exactly
// the same become one. It works where the entries are, and takes little memory
// besides. The Builder must not be used afterwards.
func (b *Builder) Table() *Table {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spare = nil
	b.entries.sort()
	b.entries.compact()
	t := &Table{packs: b.packs, files: b.files}
	if b.entries.n > 0 {
		t.runs = []run{newRun(b.entries)}
	}
	b.entries, b.files, b.packs = entryList{}, nil, packSet{}
	return t
}
