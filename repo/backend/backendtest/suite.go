// Package backendtest checks backends against the contract of package
// backend, and makes backends that break it in a controlled way.
//
// A driver's test calls [Run]. [Fault] wraps any backend for tests of what is
// built on it.
package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
)

// Run checks the backend that open returns, a new and empty one each time.
func Run(t *testing.T, open func(t *testing.T) backend.Backend) {
	for name, test := range map[string]func(*testing.T, backend.Backend){
		"save and load":       saveAndLoad,
		"ranges":              ranges,
		"missing files":       missing,
		"nothing overwritten": refusesToOverwrite,
		"list":                list,
		"remove":              remove,
		"concurrency":         concurrency,
		"cancellation":        cancellation,
		"buffers":             buffers,
		"bad names":           badNames,
		"replace":             replace,
		"spool":               spool,
	} {
		t.Run(name, func(t *testing.T) {
			be := open(t)
			defer func() {
				if err := be.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			if init, ok := backend.As[backend.Initializer](be); ok {
				for range 2 {
					if err := init.Create(t.Context()); err != nil {
						t.Fatalf("Create: %v", err)
					}
				}
			}
			if n := backend.Connections(be); n < 1 {
				t.Errorf("%d connections", n)
			}
			test(t, be)
		})
	}
}

// handle returns a name for content.
func handle(t backend.FileType, content []byte) backend.Handle {
	if t == backend.ConfigFile {
		return backend.Handle{Type: t}
	}
	return backend.Handle{Type: t, Name: crypto.Hash(content).String()}
}

func save(t *testing.T, be backend.Backend, typ backend.FileType, content []byte) backend.Handle {
	t.Helper()
	h := handle(typ, content)
	if err := be.Save(t.Context(), h, backend.Bytes(content)); err != nil {
		t.Fatalf("Save %v: %v", h, err)
	}
	return h
}

func load(t *testing.T, be backend.Backend, h backend.Handle) []byte {
	t.Helper()
	b, err := be.Load(t.Context(), h, 0, -1, nil)
	if err != nil {
		t.Fatalf("Load %v: %v", h, err)
	}
	return b
}

// allTypes returns the types of files that the backend stores.
func allTypes(t *testing.T, be backend.Backend) []backend.FileType {
	t.Helper()
	h := handle(backend.ExtensionFile, []byte("try"))
	err := be.Save(t.Context(), h, backend.Bytes("try"))
	if errors.Is(err, errors.ErrUnsupported) {
		return backend.FileTypes()
	}
	if err == nil {
		err = be.Remove(t.Context(), h)
	}
	if err != nil {
		t.Fatalf("an extension file: %v", err)
	}
	return append(backend.FileTypes(), backend.ExtensionFile)
}

func saveAndLoad(t *testing.T, be backend.Backend) {
	for _, typ := range allTypes(t, be) {
		for _, size := range []int{0, 1, 1000, 3 << 20} {
			content := bytes.Repeat([]byte{byte(typ), byte(size), 7}, size/3+1)[:size]
			h := save(t, be, typ, content)
			if got := load(t, be, h); !bytes.Equal(got, content) {
				t.Errorf("%v of %d bytes: read %d others", h, size, len(got))
			}
			fi, err := be.Stat(t.Context(), h)
			if err != nil || fi.Size != int64(size) || fi.Name != h.Name {
				t.Errorf("Stat %v: %+v, %v", h, fi, err)
			}
			if typ == backend.ConfigFile {
				if err := be.Remove(t.Context(), h); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func ranges(t *testing.T, be backend.Backend) {
	content := []byte("0123456789")
	h := save(t, be, backend.PackFile, content)
	for _, tc := range []struct {
		offset int64
		length int
		want   string // "-": ErrShortFile
	}{
		{0, 10, "0123456789"}, {0, -1, "0123456789"}, {3, 4, "3456"}, {9, 1, "9"}, {5, -1, "56789"}, {10, 0, ""}, {0, 0, ""},
		{10, 1, "-"}, {0, 11, "-"}, {9, 2, "-"}, {11, 1, "-"}, {1 << 40, 1, "-"},
	} {
		b, err := be.Load(t.Context(), h, tc.offset, tc.length, nil)
		if tc.want == "-" {
			if !errors.Is(err, backend.ErrShortFile) || !backend.IsPermanent(err) {
				t.Errorf("%d bytes at %d: %q, %v", tc.length, tc.offset, b, err)
			}
		} else if err != nil || string(b) != tc.want {
			t.Errorf("%d bytes at %d: %q, %v", tc.length, tc.offset, b, err)
		}
	}
}

func missing(t *testing.T, be backend.Backend) {
	for _, typ := range allTypes(t, be) {
		h := handle(typ, []byte("nobody saved this"))
		_, err1 := be.Load(t.Context(), h, 0, -1, nil)
		_, err2 := be.Stat(t.Context(), h)
		err3 := be.Remove(t.Context(), h)
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, backend.ErrNotExist) || !backend.IsPermanent(err) {
				t.Errorf("%v: %v", h, err)
			}
		}
		for fi, err := range be.List(t.Context(), typ) {
			t.Errorf("an empty repository lists %+v, %v", fi, err)
		}
	}
}

func refusesToOverwrite(t *testing.T, be backend.Backend) {
	for _, typ := range backend.FileTypes() {
		h := save(t, be, typ, []byte("first"))
		err := be.Save(t.Context(), h, backend.Bytes("second"))
		if !errors.Is(err, backend.ErrExist) || !backend.IsPermanent(err) {
			t.Errorf("%v: %v", h, err)
		}
		if got := load(t, be, h); string(got) != "first" {
			t.Errorf("%v was overwritten", h)
		}
	}
}

func list(t *testing.T, be backend.Backend) {
	want := make(map[string]int64)
	for i := range 50 {
		content := bytes.Repeat([]byte{byte(i)}, i*10)
		want[save(t, be, backend.PackFile, content).Name] = int64(len(content))
	}
	other := save(t, be, backend.SnapshotFile, []byte("snapshot"))
	got := make(map[string]int64)
	for fi, err := range be.List(t.Context(), backend.PackFile) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := got[fi.Name]; twice {
			t.Errorf("%s comes twice", fi.Name)
		}
		got[fi.Name] = fi.Size
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d files listed, want %d", len(got), len(want))
	}
	for fi := range be.List(t.Context(), backend.SnapshotFile) {
		if fi.Name != other.Name {
			t.Errorf("%s is listed among the snapshots", fi.Name)
		}
	}
	n := 0
	for range be.List(t.Context(), backend.PackFile) {
		n++
		break // must not disturb anything
	}
	if n != 1 {
		t.Error("the list could not be left")
	}
}

func remove(t *testing.T, be backend.Backend) {
	h := save(t, be, backend.IndexFile, []byte("short-lived"))
	stays := save(t, be, backend.IndexFile, []byte("stays"))
	if err := be.Remove(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if _, err := be.Stat(t.Context(), h); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	load(t, be, stays)
	save(t, be, backend.IndexFile, []byte("short-lived"))
}

func concurrency(t *testing.T, be backend.Backend) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				content := bytes.Repeat(fmt.Appendf(nil, "%d %d ", w, i), 1000)
				h := handle(backend.PackFile, content)
				if err := be.Save(t.Context(), h, backend.Bytes(content)); err != nil {
					t.Errorf("Save: %v", err)
					return
				}
				b, err := be.Load(t.Context(), h, 0, -1, nil)
				if err != nil || !bytes.Equal(b, content) {
					t.Errorf("Load: %v", err)
				}
			}
		})
	}
	// Of several that save one name at the same time exactly one succeeds.
	var saved sync.Map
	h := handle(backend.KeyFile, []byte("the same"))
	for w := range 8 {
		wg.Go(func() {
			err := be.Save(t.Context(), h, backend.Bytes("the same"))
			if err == nil {
				saved.Store(w, true)
			} else if !errors.Is(err, backend.ErrExist) {
				t.Errorf("Save: %v", err)
			}
		})
	}
	wg.Wait()
	n := 0
	saved.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d of 8 saved the same name", n)
	}
}

func cancellation(t *testing.T, be backend.Backend) {
	h := save(t, be, backend.PackFile, []byte("content"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := be.Load(ctx, h, 0, -1, nil)
	_, err2 := be.Stat(ctx, h)
	err3 := be.Save(ctx, handle(backend.PackFile, []byte("new")), backend.Bytes("new"))
	err4 := be.Remove(ctx, h)
	var err5 error
	for _, err := range be.List(ctx, backend.PackFile) {
		err5 = err
	}
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	load(t, be, h)
}

func buffers(t *testing.T, be backend.Backend) {
	h := save(t, be, backend.PackFile, []byte("0123456789"))
	buf := make([]byte, 3, 100)
	b, err := be.Load(t.Context(), h, 2, 5, buf)
	if err != nil || string(b) != "23456" || &b[0] != &buf[0] {
		t.Errorf("%q, %v, in the buffer: %v", b, err, &b[0] == &buf[0])
	}
	b[0] = 'x'
	if got := load(t, be, h); string(got) != "0123456789" {
		t.Errorf("changing what was read changed the file: %q", got)
	}
	content := []byte("caller's")
	h = save(t, be, backend.PackFile, content)
	content[0] = 'X'
	if got := load(t, be, h); string(got) != "caller's" {
		t.Errorf("changing what was saved changed the file: %q", got)
	}
}

func badNames(t *testing.T, be backend.Backend) {
	for _, name := range []string{"", "..", "../config", "x", "/etc/passwd", crypto.Hash(nil).String() + "0"} {
		h := backend.Handle{Type: backend.PackFile, Name: name}
		if err := be.Save(t.Context(), h, backend.Bytes("x")); err == nil {
			t.Errorf("a file named %q was saved", name)
		}
		if _, err := be.Load(t.Context(), h, 0, -1, nil); err == nil {
			t.Errorf("a file named %q was loaded", name)
		}
	}
}

func replace(t *testing.T, be backend.Backend) {
	r, ok := backend.As[backend.Replacer](be)
	if !ok {
		t.Skip("not a Replacer")
	}
	h := backend.Handle{Type: backend.ConfigFile}
	for _, content := range []string{"one", "two, which is longer", "3"} {
		if err := r.Replace(t.Context(), h, backend.Bytes(content)); err != nil {
			t.Fatal(err)
		}
		if got := load(t, be, h); string(got) != content {
			t.Errorf("%q, want %q", got, content)
		}
	}
}

func spool(t *testing.T, be backend.Backend) {
	sp, ok := backend.As[backend.Spooler](be)
	if !ok {
		t.Skip("not a Spooler")
	}
	begin := func() backend.Spool {
		s, err := sp.Spool()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var content []byte
	s := begin()
	for i := range 100 {
		piece := bytes.Repeat([]byte{byte(i)}, i*100)
		content = append(content, piece...)
		if _, err := s.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if s.Size() != int64(len(content)) {
		t.Errorf("size is %d, want %d", s.Size(), len(content))
	}
	part := make([]byte, 1000)
	if _, err := s.ReadAt(part, 5000); err != nil || !bytes.Equal(part, content[5000:6000]) {
		t.Errorf("reading back: %v", err)
	}
	if n := count(t, be, backend.PackFile); n != 0 {
		t.Errorf("%d packs before Save", n)
	}
	h := handle(backend.PackFile, content)
	if err := be.Save(t.Context(), h, s); err != nil {
		t.Fatal(err)
	}
	if got := load(t, be, h); !bytes.Equal(got, content) {
		t.Errorf("%d bytes are stored, want %d, or others", len(got), len(content))
	}
	if err := be.Save(t.Context(), h, s); !errors.Is(err, backend.ErrExist) {
		t.Errorf("saving again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := begin().Close(); err != nil { // never stored
		t.Error(err)
	}
	if n := count(t, be, backend.PackFile); n != 1 {
		t.Errorf("%d packs in the end", n)
	}
}

func count(t *testing.T, be backend.Backend, ft backend.FileType) int {
	t.Helper()
	n := 0
	for _, err := range be.List(t.Context(), ft) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
