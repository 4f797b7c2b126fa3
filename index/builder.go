package index

import (
	"bytes"
	"runtime"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
)

// Builder makes a Table of many index files. It is safe for concurrent use.
type Builder struct {
	mu      sync.Mutex
	packs   packSet                // owned by mu
	files   map[crypto.ID]struct{} // with an ID; owned by mu
	entries [][]entry              // unsorted, one slice for each file; owned by mu
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
func (b *Builder) File() *File { return &File{b: b} }

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
	b.entries = append(b.entries, f.entries)
	f.packs, f.entries = nil, nil
}

// Table returns a table of all that was committed. Entries that say exactly
// the same become one. The Builder must not be used afterwards.
func (b *Builder) Table() *Table {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := sortBuckets(b.entries)
	entries = slices.Compact(entries)
	t := &Table{packs: b.packs, files: b.files}
	b.entries, b.files, b.packs = nil, nil, packSet{}
	if len(entries) > 0 {
		t.runs = []run{newRun(entries)}
	}
	return t
}

// buckets is into how many parts, by the IDs' leading byte and the type, the
// entries are sorted apart.
const buckets = 2 * 256

func bucketOf(e *entry) int { return int(e.pack>>31)<<8 | int(e.id[0]) }

// sortBuckets returns all entries sorted. It distributes them by leading byte
// into one array and sorts the parts on all processors. The files' arrays are
// released one by one on the way, and so the peak stays below twice the size.
func sortBuckets(files [][]entry) []entry {
	var starts [buckets + 1]int
	for _, f := range files {
		for i := range f {
			starts[bucketOf(&f[i])+1]++
		}
	}
	for i := range buckets {
		starts[i+1] += starts[i]
	}
	all := make([]entry, starts[buckets])
	next := starts
	for n, f := range files {
		for i := range f {
			at := &next[bucketOf(&f[i])]
			all[*at] = f[i]
			*at++
		}
		files[n] = nil
	}
	var wg sync.WaitGroup
	work := make(chan []entry)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for part := range work {
				slices.SortFunc(part, func(a, b entry) int {
					if c := bytes.Compare(a.id[:], b.id[:]); c != 0 {
						return c
					}
					return comparePlaces(&a, &b)
				})
			}
		})
	}
	for i := range buckets {
		work <- all[starts[i]:starts[i+1]]
	}
	close(work)
	wg.Wait()
	return all
}
