package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// spooler is storage in memory that packs can grow in.
type spooler struct {
	backend.Backend
	make  func() error // called before a Spool is made
	write func() error // called before each write
}

func (s *spooler) Spool() (backend.Spool, error) {
	if err := s.make(); err != nil {
		return nil, err
	}
	return &memSpool{of: s}, nil
}

type memSpool struct {
	of *spooler
	bytes.Buffer
}

func (m *memSpool) Size() int64  { return int64(m.Len()) }
func (m *memSpool) Close() error { return nil }

func (m *memSpool) ReadAt(p []byte, off int64) (int, error) {
	return backend.Bytes(m.Bytes()).ReadAt(p, off)
}

func (m *memSpool) Write(p []byte) (int, error) {
	if err := m.of.write(); err != nil {
		return 0, err
	}
	return m.Buffer.Write(p)
}

// saveMany stores blobs from several goroutines, which go on after errors.
func saveMany(ctx context.Context, w *Writer) error {
	var wg sync.WaitGroup
	var first atomic.Pointer[error]
	for g := range 16 {
		wg.Go(func() {
			for i := range 60 {
				content := bytes.Repeat([]byte(fmt.Sprint(g, " ", i, " ")), 3000)
				if _, err := w.SaveBlob(ctx, index.DataBlob, content); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

// TestAFailedWriteLosesNothingThatIsIndexed fails one write to a pack that is
// being filled, by a passing fault, while callers go on.
func TestAFailedWriteLosesNothingThatIsIndexed(t *testing.T) {
	broken := errors.New("disk broken for a moment")
	for _, failAt := range []int32{1, 2, 7, 20} {
		var writes atomic.Int32
		be := &spooler{Backend: mem.New(), make: func() error { return nil }, write: func() error {
			if writes.Add(1) == failAt {
				return broken
			}
			return nil
		}}
		r := newTestRepo(t, be, &Options{PackSize: MinPackSize, Compression: CompressionOff})
		if err := r.Write(t.Context(), saveMany); !errors.Is(err, broken) {
			t.Errorf("write %d fails: %v", failAt, err)
		}
		other := sameRepo(t, r, "other")
		if err := other.LoadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		for l := range other.Index().All() {
			content, err := other.LoadBlob(t.Context(), l.BlobHandle, nil)
			if err != nil || crypto.Hash(content) != l.ID {
				t.Fatalf("write %d fails: a blob that is indexed can't be read: %v", failAt, err)
			}
		}
	}
}

// TestPacksThatCannotBeMadeEndTheOperation has more workers than packs may be
// held.
func TestPacksThatCannotBeMadeEndTheOperation(t *testing.T) {
	full := errors.New("no more files")
	var made atomic.Int32
	be := &spooler{Backend: mem.New(), write: func() error { return nil }, make: func() error {
		if made.Add(1) > 1 {
			return full
		}
		return nil
	}}
	r := newTestRepo(t, be, &Options{PackSize: MinPackSize, Compression: CompressionOff})
	if err := r.Write(t.Context(), saveMany); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestPacksGrowWhereTheBackendWantsThem(t *testing.T) {
	be := &spooler{Backend: mem.New(), make: func() error { return nil }, write: func() error { return nil }}
	r := newTestRepo(t, be, &Options{PackSize: MinPackSize})
	if err := r.Write(t.Context(), saveMany); err != nil {
		t.Fatal(err)
	}
	n := 0
	for l := range r.Index().All() {
		if _, err := r.LoadBlob(t.Context(), l.BlobHandle, nil); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 16*60 {
		t.Errorf("%d blobs", n)
	}
}
