// Package verify tells whether a folder that was restored is what was backed
// up: the same names, kinds, permissions, sizes, times, link targets and bytes.
package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Difference means that an item is not what it was.
type Difference struct {
	Path string // below both folders
	What string
}

func (d *Difference) Error() string { return fmt.Sprintf("%s: %s", d.Path, d.What) }

// Trees compares all that is below two folders, but not the folders
// themselves. It returns a *Difference for the first that it finds.
func Trees(ctx context.Context, want, got string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	walked := walk(ctx, g, want, got)
	if err := g.Wait(); err != nil {
		return err // and the walk may have ended because of it
	}
	return walked
}

func walk(ctx context.Context, g *errgroup.Group, want, got string) error {
	return filepath.WalkDir(want, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(want, name)
		if err != nil {
			return err
		}
		other := filepath.Join(got, rel)
		if rel != "." {
			if err := metadata(name, other, rel); err != nil {
				return err
			}
		}
		switch {
		case d.IsDir():
			return sameNames(name, other, rel)
		case d.Type().IsRegular():
			g.Go(func() error { return content(name, other, rel) })
		}
		return nil
	})
}

// File compares one file, and that nothing else is in the folder got or below.
func File(want, got, name string) error {
	rel := filepath.FromSlash(name)
	if err := metadata(filepath.Join(want, rel), filepath.Join(got, rel), rel); err != nil {
		return err
	}
	if err := content(filepath.Join(want, rel), filepath.Join(got, rel), rel); err != nil {
		return err
	}
	return filepath.WalkDir(got, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(got, rel) {
			return err
		}
		return &Difference{path, "it was not asked for"}
	})
}

func metadata(want, got, rel string) error {
	a, err := os.Lstat(want)
	if err != nil {
		return err
	}
	b, err := os.Lstat(got)
	if errors.Is(err, fs.ErrNotExist) {
		return &Difference{rel, "missing"}
	}
	if err != nil {
		return err
	}
	differs := func(what string, want, got any) error {
		return &Difference{rel, fmt.Sprintf("%s is %v, not %v", what, got, want)}
	}
	if a.Mode() != b.Mode() {
		return differs("mode", a.Mode(), b.Mode())
	}
	if !a.ModTime().Equal(b.ModTime()) {
		return differs("time", a.ModTime(), b.ModTime())
	}
	if a.Mode().IsRegular() && a.Size() != b.Size() {
		return differs("size", a.Size(), b.Size())
	}
	if a.Mode()&fs.ModeSymlink != 0 {
		x, err := os.Readlink(want)
		if err != nil {
			return err
		}
		if y, err := os.Readlink(got); err != nil {
			return err
		} else if x != y {
			return differs("link target", x, y)
		}
	}
	return nil
}

// sameNames looks for names that are in the second folder only.
func sameNames(want, got, rel string) error {
	a, err := os.ReadDir(want)
	if err != nil {
		return err
	}
	b, err := os.ReadDir(got)
	if errors.Is(err, fs.ErrNotExist) {
		return &Difference{rel, "missing"}
	}
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(a))
	for _, e := range a {
		known[e.Name()] = true
	}
	for _, e := range b {
		if !known[e.Name()] {
			return &Difference{filepath.Join(rel, e.Name()), "not in the source"}
		}
	}
	return nil
}

func content(want, got, rel string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 256<<10), make([]byte, 256<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(a, x)
		m, err2 := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return &Difference{rel, fmt.Sprintf("the content differs after %d bytes", at)}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		at += int64(n)
	}
}
