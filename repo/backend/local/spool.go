package local

import (
	"context"
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
	// broken is the first error by which bytes may be lost. The system tells
	// of it once, so nothing that is done with the file later counts.
	broken error
}

// Spool implements backend.Spooler.
func (b *Backend) Spool() (backend.Spool, error) {
	f, err := durable.Unnamed(filepath.Join(b.path, "data"), b.modes.Write)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			// Save makes the folder where it may, needs fewer rights, and
			// knows the error if not.
			return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return nil, permanent(err)
	}
	return &spool{of: b, f: f}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.size += int64(n)
	if err != nil && s.broken == nil {
		s.broken = err
	}
	return n, permanent(err)
}

// saveSpool gives the file its name. An error that matches
// errors.ErrUnsupported means that it can't be given one, but is whole.
func (b *Backend) saveSpool(ctx context.Context, h backend.Handle, s *spool) error {
	if s.broken != nil {
		return &backend.PermanentError{Err: fmt.Errorf("bytes of %v may be lost: %w", h, s.broken)}
	}
	err := b.save(ctx, h, s, func(path string, _ durable.Content, modes durable.Modes) error {
		err := b.sys.WriteUnnamed(path, s.f, s.size, modes)
		switch {
		case err == nil, errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
			return err
		}
		s.broken = err
		return &backend.PermanentError{Err: err}
	})
	return err
}

func (s *spool) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

func (s *spool) Size() int64 { return s.size }

func (s *spool) Close() error { return s.f.Close() }
