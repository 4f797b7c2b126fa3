package pack

import (
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
)

// slabSize is how much memory a pack in memory takes at a time: little enough
// that many packs can be open, most of them nearly empty.
const slabSize = 1 << 20

// Memory provides the memory of packs and takes it back. It is safe for
// concurrent use; the zero value is ready.
type Memory struct {
	mu   sync.Mutex
	free [][]byte // owned by mu
}

// maxFree is how many slabs Memory keeps: two packs of the default size.
const maxFree = 34

func (m *Memory) get() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		s := m.free[n-1]
		m.free = m.free[:n-1]
		return s
	}
	return make([]byte, 0, slabSize)
}

func (m *Memory) put(slabs [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range slabs {
		if len(m.free) < maxFree {
			m.free = append(m.free, s[:0])
		}
	}
}

// slabs is content in memory, all slabs but the last full. It is a
// backend.Content when nothing is added any more.
type slabs struct {
	memory *Memory
	list   [][]byte
	size   int64
}

// Write appends p. It never fails.
func (s *slabs) Write(p []byte) (int, error) {
	n := len(p)
	s.size += int64(n)
	for len(p) > 0 {
		if len(s.list) == 0 || len(s.list[len(s.list)-1]) == slabSize {
			s.list = append(s.list, s.memory.get())
		}
		last := &s.list[len(s.list)-1]
		m := min(len(p), slabSize-len(*last))
		*last = append(*last, p[:m]...)
		p = p[m:]
	}
	return n, nil
}

// Size implements backend.Content.
func (s *slabs) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt.
func (s *slabs) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	for n < len(p) && off < s.size {
		m := copy(p[n:], s.list[off/slabSize][off%slabSize:])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo implements io.WriterTo, which spares drivers a copy. Unlike readers
// it begins at the start each time.
func (s *slabs) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, slab := range s.list {
		n, err := w.Write(slab)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// hash returns the ID of the content, and the CRC-32C of the same bytes while
// they are in the cache.
func (s *slabs) hash() (crypto.ID, uint32) {
	const step = 64 << 10
	id, sum := sha256.New(), uint32(0)
	for _, slab := range s.list {
		for piece := range slices.Chunk(slab, step) {
			sum = crc32.Update(sum, castagnoli(), piece)
			id.Write(piece)
		}
	}
	return crypto.ID(id.Sum(nil)), sum
}

// sum returns the CRC-32C of the content.
func (s *slabs) sum() uint32 {
	sum := uint32(0)
	for _, slab := range s.list {
		sum = crc32.Update(sum, castagnoli(), slab)
	}
	return sum
}

// castagnoli is the polynomial that processors have instructions for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// release gives the memory back.
func (s *slabs) release() {
	s.memory.put(s.list)
	s.list, s.size = nil, 0
}
