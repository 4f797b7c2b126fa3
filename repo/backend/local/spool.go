package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/internal/durable"
)

// spool is a file in the repository that has no name yet.
type spool struct {
	of   *Backend
	f    *os.File
	size int64
}

// Spool implements backend.Spooler.
func (b *Backend) Spool() (backend.Spool, error) {
	f, err := durable.Unnamed(filepath.Join(b.path, "data"), b.modes.Write)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
			// Save makes the folder where it may, and knows the error if not.
			return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return nil, permanent(err)
	}
	return &spool{of: b, f: f}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.size += int64(n)
	return n, permanent(err)
}

func (s *spool) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

func (s *spool) Size() int64 { return s.size }

func (s *spool) Close() error { return s.f.Close() }
