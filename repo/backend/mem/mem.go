// Package mem stores a repository in memory, for tests and for programs that
// want one for a moment.
package mem

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// Backend is a repository in memory. It is safe for concurrent use.
type Backend struct {
	mu    sync.Mutex
	files map[key][]byte // owned by mu; the bytes never change
}

type key struct {
	t    backend.FileType
	name string
}

func keyOf(h backend.Handle) key { return key{h.Type, h.Name} }

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Connector = (*Backend)(nil)
	_ backend.Replacer  = (*Backend)(nil)
)

// New returns an empty backend.
func New() *Backend { return &Backend{files: make(map[key][]byte)} }

// Clone returns a copy of the state at this instant: what a disk would hold
// after a power failure now, as a Save is either complete or has left nothing.
func (b *Backend) Clone() *Backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Backend{files: maps.Clone(b.files)}
}

// Connections implements backend.Connector.
func (b *Backend) Connections() int { return 4 }

// Save implements backend.Backend.
func (b *Backend) Save(ctx context.Context, h backend.Handle, content backend.Content) error {
	return b.save(ctx, h, content, false)
}

// Replace implements backend.Replacer.
func (b *Backend) Replace(ctx context.Context, h backend.Handle, content backend.Content) error {
	return b.save(ctx, h, content, true)
}

func (b *Backend) save(ctx context.Context, h backend.Handle, content backend.Content, replace bool) error {
	if _, err := crypto.ParseID(h.Name); err != nil && h.Type != backend.ConfigFile {
		return &backend.PermanentError{Err: fmt.Errorf("save a file in %v: %w", h.Type, err)}
	}
	data := make([]byte, content.Size())
	if n, err := io.ReadFull(io.NewSectionReader(content, 0, content.Size()), data); err != nil {
		return fmt.Errorf("save %v: content ends after %d of %d bytes: %w", h, n, len(data), err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.files[keyOf(h)]; ok && !replace {
		return fmt.Errorf("save %v: %w", h, backend.ErrExist)
	}
	b.files[keyOf(h)] = data
	return nil
}

func (b *Backend) get(ctx context.Context, h backend.Handle) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.files[keyOf(h)]
	if !ok {
		return nil, fmt.Errorf("%v: %w", h, backend.ErrNotExist)
	}
	return data, nil
}

// Load implements backend.Backend.
func (b *Backend) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	data, err := b.get(ctx, h)
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	if length < 0 {
		length = int(max(size-offset, 0))
	}
	if offset < 0 || offset > size || offset+int64(length) > size {
		return nil, fmt.Errorf("%v has %d bytes, want %d from %d on: %w", h, size, length, offset, backend.ErrShortFile)
	}
	return append(buf[:0], data[offset:offset+int64(length)]...), nil
}

// Stat implements backend.Backend.
func (b *Backend) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	data, err := b.get(ctx, h)
	return backend.FileInfo{Name: h.Name, Size: int64(len(data))}, err
}

// List implements backend.Backend. It yields the files that are there when it
// is called, sorted by name.
func (b *Backend) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	return func(yield func(backend.FileInfo, error) bool) {
		for _, fi := range b.snapshot(t) {
			if ctx.Err() != nil {
				yield(backend.FileInfo{}, ctx.Err())
				return
			}
			if !yield(fi, nil) {
				return
			}
		}
	}
}

func (b *Backend) snapshot(t backend.FileType) []backend.FileInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []backend.FileInfo
	for k, data := range b.files {
		if k.t == t {
			list = append(list, backend.FileInfo{Name: k.name, Size: int64(len(data))})
		}
	}
	slices.SortFunc(list, func(a, b backend.FileInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

// Remove implements backend.Backend.
func (b *Backend) Remove(ctx context.Context, h backend.Handle) error {
	if _, err := b.get(ctx, h); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.files, keyOf(h))
	return nil
}

// Close implements backend.Backend. What is stored stays.
func (b *Backend) Close() error { return nil }
