package foldercache_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/foldercache"
)

// keyBox is a Box with a key of its own.
type keyBox struct{ key *crypto.Key }

func (b keyBox) SealLocal(plain []byte) []byte           { return b.key.Seal(nil, plain) }
func (b keyBox) OpenLocal(sealed []byte) ([]byte, error) { return b.key.Open(nil, sealed) }

func id(i int) crypto.ID { return crypto.Hash(fmt.Append(nil, i)) }

func record(i int) foldercache.Record {
	r := foldercache.Record{Entries: foldercache.Fingerprint(id(i).AppendHex(nil))}
	for j := range i % 7 {
		r.Subtrees = append(r.Subtrees, id(1000*i+j))
	}
	for j := range i % 50 {
		r.Blobs = append(r.Blobs, index.PrefixOf(id(j)))
	}
	return r
}

func same(a, b foldercache.Record) bool {
	return a.Entries == b.Entries && slices.Equal(a.Subtrees, b.Subtrees) && slices.Equal(a.Blobs, b.Blobs)
}

func known(s *foldercache.Store, n int) (count int, wrong bool) {
	var r foldercache.Record
	for i := range n {
		if s.Lookup(id(i), &r) {
			count++
			wrong = wrong || !same(r, record(i))
		}
	}
	return count, wrong
}

func TestRecordsComeBack(t *testing.T) {
	const n = 20_000 // several segments
	path := filepath.Join(t.TempDir(), "new", "folders")
	box := keyBox{crypto.NewKey()}
	s := foldercache.Open(path, "here", box)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				r := record(i)
				s.Add(id(i), &r)
			}
		})
	}
	wg.Wait()
	if count, _ := known(s, n); count != 0 {
		t.Errorf("%d records are known before they are saved", count)
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if count, wrong := known(foldercache.Open(path, "here", box), n); count != n || wrong {
		t.Errorf("%d of %d records, wrong ones: %v", count, n, wrong)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for what, other := range map[string]*foldercache.Store{
		"another key":         foldercache.Open(path, "here", keyBox{crypto.NewKey()}),
		"other circumstances": foldercache.Open(path, "there", box),
		"no file":             foldercache.Open(path+"-not", "here", box),
	} {
		if count, _ := known(other, n); count != 0 {
			t.Errorf("%s: %d records", what, count)
		}
	}
	// A file of fewer records replaces it; one that is given up does not.
	few, given := foldercache.Open(path, "here", box), foldercache.Open(path, "here", box)
	r := record(5)
	few.Add(id(5), &r)
	if err := few.Save(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := record(i)
		given.Add(id(i), &r)
	}
	given.Discard()
	if count, _ := known(foldercache.Open(path, "here", box), n); count != 1 {
		t.Errorf("%d records, want the one that was saved last", count)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}

// TestDamageCostsRecordsOnly cuts the file off and flips bits.
func TestDamageCostsRecordsOnly(t *testing.T) {
	const n = 12_000
	path := filepath.Join(t.TempDir(), "folders")
	box := keyBox{crypto.NewKey()}
	s := foldercache.Open(path, "here", box)
	for i := range n {
		r := record(i)
		s.Add(id(i), &r)
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 2, 4, 100, len(whole) / 2, len(whole) - 1} {
		cut, flipped := whole[:at], bytes.Clone(whole)
		flipped[at] ^= 0x20
		for _, content := range [][]byte{cut, flipped} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if count, wrong := known(foldercache.Open(path, "here", box), n); count == n || wrong {
				t.Errorf("damaged at %d: %d records, wrong ones: %v", at, count, wrong)
			}
		}
	}
}

func TestSaveTellsThatItCannot(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := foldercache.Open(filepath.Join(dir, "file", "folders"), "", keyBox{crypto.NewKey()})
	r := record(1)
	s.Add(id(1), &r)
	if err := s.Save(); err == nil {
		t.Error("no error")
	}
}

// plainBox lets a fuzzer reach what is inside of the seal.
type plainBox struct{}

func (plainBox) SealLocal(plain []byte) []byte           { return plain }
func (plainBox) OpenLocal(sealed []byte) ([]byte, error) { return sealed, nil }

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "folders")
	s := foldercache.Open(path, "", plainBox{})
	for i := range 5 {
		r := record(i)
		s.Add(id(i), &r)
	}
	if err := s.Save(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := foldercache.Open(path, "", plainBox{})
		var r foldercache.Record
		for i := range 5 {
			s.Lookup(id(i), &r)
		}
	})
}

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path, box := filepath.Join(dir, "folders"), keyBox{crypto.NewKey()}

	tree := crypto.Hash([]byte("a tree"))
	s := foldercache.Open(path, "user 0", box)
	s.Add(tree, &foldercache.Record{Entries: foldercache.Fingerprint{1, 2, 3}})
	if err := s.Save(); err != nil {
		fmt.Println(err)
		return
	}

	var r foldercache.Record
	found := foldercache.Open(path, "user 0", box).Lookup(tree, &r)
	fmt.Println(found, r.Entries[:3])
	// Output: true [1 2 3]
}
