// Package foldercache remembers from one backup to the next what each folder
// looked like when its tree was made, so that a folder which looks the same
// needs neither its old tree read nor a new one written.
//
// A record is a fact that does not age: whoever saves a folder whose entries
// have this fingerprint, in these circumstances, and whose subfolders have
// these trees, gets that tree. So a file of records may be old, have lost some,
// or be gone: what is not found is made anew. Records are sealed with the
// repository's key; who can't read the repository can neither read nor make
// any.
package foldercache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
)

// Fingerprint stands for everything about a folder's entries that its tree
// depends on, but for the trees of subfolders.
type Fingerprint [16]byte

// Record says how a tree comes about.
type Record struct {
	Entries  Fingerprint
	Subtrees []crypto.ID    // of the subfolders, in order
	Blobs    []index.Prefix // of the files' content
}

// Box seals and opens the records.
type Box interface {
	SealLocal(plain []byte) []byte
	OpenLocal(sealed []byte) ([]byte, error)
}

// Store is the records of the backup before, and those of this one. It is
// safe for concurrent use.
type Store struct {
	path string
	box  Box
	head []byte // of each segment

	known map[crypto.ID][]byte // record without the ID; does not change

	mu   sync.Mutex
	err  error    // of writing; owned by mu
	temp *os.File // nil: nothing is written yet, or no more; owned by mu
	next []byte   // segment that is being filled; owned by mu
}

// magic begins each segment; the number is that of the format.
const magic = "garner folders 1\n"

// segmentSize is at which size a segment is sealed and written.
const segmentSize = 1 << 20

// maxSegment bounds what is read as a segment: a folder of many millions of
// entries makes a large record.
const maxSegment = 1 << 30

// Open reads the records at path, as far as there are any and they were made
// in the same circumstances: a text that tells all that trees depend on beside
// the files. A file that can't be used is as good as none.
func Open(path, circumstances string, box Box) *Store {
	sum := sha256.Sum256([]byte(circumstances))
	s := &Store{path: path, box: box, head: append([]byte(magic), sum[:]...), known: make(map[crypto.ID][]byte)}
	f, err := os.Open(path)
	if err != nil {
		return s
	}
	defer f.Close()
	for s.readSegment(f) == nil {
	}
	return s
}

// readSegment reads the next segment. An error means the end of what can be
// used.
func (s *Store) readSegment(r io.Reader) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > maxSegment {
		return errors.New("segment is too large")
	}
	var sealed bytes.Buffer // grows with what is there, not with what n claims
	if m, err := io.CopyN(&sealed, r, int64(n)); m != int64(n) {
		return err
	}
	plain, err := s.box.OpenLocal(sealed.Bytes())
	if err != nil {
		return err
	}
	records, ok := bytes.CutPrefix(plain, s.head)
	if !ok {
		return errors.New("made by another program or in other circumstances")
	}
	return s.index(records)
}

// index enters the records of a segment. Each is the tree's ID and the length
// of what follows, which decode reads.
func (s *Store) index(b []byte) error {
	for len(b) > 0 {
		if len(b) < crypto.IDSize {
			return io.ErrUnexpectedEOF
		}
		id := crypto.ID(b[:crypto.IDSize])
		n, used := binary.Uvarint(b[crypto.IDSize:])
		b = b[crypto.IDSize+max(used, 0):]
		if used <= 0 || n > uint64(len(b)) {
			return io.ErrUnexpectedEOF
		}
		s.known[id] = b[:n:n]
		b = b[n:]
	}
	return nil
}

// Lookup fills r with the record of a tree, and reports whether there is one.
func (s *Store) Lookup(id crypto.ID, r *Record) bool {
	b, ok := s.known[id]
	return ok && r.decode(b) == nil
}

// decode reads what encode writes, into r's memory.
func (r *Record) decode(b []byte) error {
	r.Subtrees, r.Blobs = r.Subtrees[:0], r.Blobs[:0]
	if len(b) < len(r.Entries) {
		return io.ErrUnexpectedEOF
	}
	b = b[copy(r.Entries[:], b):]
	n, used := binary.Uvarint(b)
	b = b[max(used, 0):]
	if used <= 0 || n > uint64(len(b))/crypto.IDSize {
		return io.ErrUnexpectedEOF
	}
	for ; n > 0; n-- {
		r.Subtrees = append(r.Subtrees, crypto.ID(b[:crypto.IDSize]))
		b = b[crypto.IDSize:]
	}
	const size = len(index.Prefix{})
	if len(b)%size != 0 {
		return io.ErrUnexpectedEOF
	}
	for ; len(b) > 0; b = b[size:] {
		r.Blobs = append(r.Blobs, index.Prefix(b[:size]))
	}
	return nil
}

// encode appends the record to dst.
func (r *Record) encode(dst []byte) []byte {
	dst = append(dst, r.Entries[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(r.Subtrees)))
	for _, id := range r.Subtrees {
		dst = append(dst, id[:]...)
	}
	for _, p := range r.Blobs {
		dst = append(dst, p[:]...)
	}
	return dst
}

// Add enters a record into the file that Save makes. What goes wrong is told
// by Save.
func (s *Store) Add(id crypto.ID, r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if len(s.next) == 0 {
		s.next = append(s.next, s.head...)
	}
	encoded := r.encode(nil)
	s.next = append(s.next, id[:]...)
	s.next = binary.AppendUvarint(s.next, uint64(len(encoded)))
	s.next = append(s.next, encoded...)
	if len(s.next) >= segmentSize {
		s.err = s.flush()
	}
}

// flush seals and writes the segment. The caller holds mu.
func (s *Store) flush() error {
	if len(s.next) == 0 {
		return nil
	}
	if s.temp == nil {
		dir := filepath.Dir(s.path)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		removeStale(s.path + newSuffix)
		f, err := os.CreateTemp(dir, filepath.Base(s.path)+newSuffix) // mode 0600
		if err != nil {
			return err
		}
		s.temp = f
	}
	sealed := s.box.SealLocal(s.next)
	s.next = s.next[:0]
	var size [4]byte
	binary.LittleEndian.PutUint32(size[:], uint32(len(sealed)))
	if _, err := s.temp.Write(size[:]); err != nil {
		return err
	}
	_, err := s.temp.Write(sealed)
	return err
}

// newSuffix is that of files that are being written.
const newSuffix = "-new-*"

// removeStale removes what backups that were killed have left.
func removeStale(pattern string) {
	left, _ := filepath.Glob(pattern)
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > 48*time.Hour {
			_ = os.Remove(name)
		}
	}
}

// Save puts the records that were added in place of those that were read. It
// is not synced: after a crash the file may be cut off, which costs records.
func (s *Store) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	if err == nil {
		err = s.flush()
	}
	if s.temp == nil {
		return s.wrap(err)
	}
	name := s.temp.Name()
	if cerr := s.temp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(name, s.path)
	}
	if err != nil {
		_ = os.Remove(name)
	}
	s.temp = nil
	return s.wrap(err)
}

func (s *Store) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("remember folders: %w", err)
}

// Discard gives up what was added.
func (s *Store) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.temp != nil {
		s.temp.Close()
		_ = os.Remove(s.temp.Name())
		s.temp = nil
	}
	s.next = nil
	s.err = errors.New("given up")
}
