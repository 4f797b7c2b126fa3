package repo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
)

func TestInitAndOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("derives real keys")
	}
	be := mem.New()
	if _, err := Open(t.Context(), be, "secret", nil); !errors.Is(err, ErrNoRepository) {
		t.Fatalf("Open of nothing: %v", err)
	}
	made, err := Init(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), be, "secret", nil)
	if err != nil || opened.Config() != made.Config() || opened.KeyID() != made.KeyID() {
		t.Fatalf("Open: %v", err)
	}
	if made.Config().Version != StableVersion || !made.Config().ChunkerPolynomial.Irreducible() {
		t.Errorf("config %+v", made.Config())
	}
	if _, err := Open(t.Context(), be, "Secret", nil); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := Init(t.Context(), be, "other", nil); !errors.Is(err, ErrRepositoryExists) {
		t.Errorf("Init again: %v", err)
	}
	testKeys(t, be, opened)
	testDamagedConfig(t, be)
}

// testKeys adds, hints at, changes and removes keys.
func testKeys(t *testing.T, be backend.Backend, r *Repo) {
	second, err := r.AddKey(t.Context(), "second", "me", "there")
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), be, "second", &Options{KeyHint: second.String()[:10]})
	if err != nil || other.KeyID() != second {
		t.Fatalf("Open with the second key: %v", err)
	}
	if err := other.RemoveKey(t.Context(), second); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("removing the key in use: %v", err)
	}
	third, err := other.ChangePassword(t.Context(), "third", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), be, "second", nil); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("the old password still opens: %v", err)
	}
	found := map[crypto.ID]string{}
	for k, err := range r.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found[k.ID] = k.Username + "@" + k.Hostname
	}
	if _, ok := found[third]; !ok || len(found) != 2 {
		t.Errorf("keys %v", found)
	}
	if err := r.RemoveKey(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), be, "third", nil); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("a removed key still opens: %v", err)
	}
}

// testDamagedConfig damages the config in several ways; none may be taken for
// a wrong password or for no repository.
func testDamagedConfig(t *testing.T, be backend.Backend) {
	h := backend.Handle{Type: backend.ConfigFile}
	good, err := be.Load(t.Context(), h, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	good = bytes.Clone(good)
	flipped := bytes.Clone(good)
	flipped[20] ^= 4
	for name, data := range map[string][]byte{"empty": {}, "cut": good[:31], "short": good[:40], "flipped": flipped} {
		if err := be.Remove(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if err := be.Save(t.Context(), h, backend.Bytes(data)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), be, "secret", nil)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Handle != h {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInitRefusesTheRestOfARepository(t *testing.T) {
	for _, typ := range []backend.FileType{backend.KeyFile, backend.SnapshotFile} {
		be := mem.New()
		h := fileHandle(typ, crypto.RandomID())
		if err := be.Save(t.Context(), h, backend.Bytes("something")); err != nil {
			t.Fatal(err)
		}
		if _, err := Init(t.Context(), be, "secret", nil); !errors.Is(err, ErrRepositoryExists) || !strings.Contains(err.Error(), h.String()) {
			t.Errorf("%v: %v", typ, err)
		}
		if _, err := be.Stat(t.Context(), backend.Handle{Type: backend.ConfigFile}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%v: a config was written", typ)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, size := range []int{1, MinPackSize - 1, MaxPackSize + 1, -5} {
		if _, err := newRepo(mem.New(), &Options{PackSize: size}); err == nil {
			t.Errorf("pack size %d was accepted", size)
		}
	}
	if _, err := Init(t.Context(), mem.New(), "x", &InitOptions{Version: 3}); err == nil {
		t.Error("version 3 was accepted")
	}
	for _, c := range []Compression{CompressionAuto, CompressionOff, CompressionFastest, CompressionBetter, CompressionMax} {
		if got, err := ParseCompression(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if _, err := ParseCompression("best"); err == nil {
		t.Error("compression best was accepted")
	}
}

func TestUnpackedFilesOfBothVersions(t *testing.T) {
	const doc = `{"some":"document"}`
	for _, version := range []int{1, 2} {
		be := mem.New()
		r := newTestRepo(t, be, nil)
		r.config.Version = version
		id, err := r.SaveUnpacked(t.Context(), backend.SnapshotFile, []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := r.LoadRaw(t.Context(), backend.SnapshotFile, id)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := r.key.Open(nil, sealed)
		if err != nil {
			t.Fatal(err)
		}
		prefix := map[int]string{1: doc, 2: "\x02\x28\xb5\x2f\xfd"}[version]
		if !strings.HasPrefix(string(plain), prefix) {
			t.Errorf("version %d starts with %q", version, plain[:8])
		}
		r.config.Version = 2 // reads plain JSON as well: the repository may have been migrated
		if got, err := r.LoadUnpacked(t.Context(), backend.SnapshotFile, id); err != nil || string(got) != doc {
			t.Errorf("version %d: %q, %v", version, got, err)
		}
	}
}

func TestUnpackedFilesThatAreDamaged(t *testing.T) {
	be := mem.New()
	r := newTestRepo(t, be, nil)
	save := func(data []byte) crypto.ID {
		id := crypto.Hash(data)
		if err := be.Save(t.Context(), fileHandle(backend.IndexFile, id), backend.Bytes(data)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	wrongName := crypto.RandomID()
	if err := be.Save(t.Context(), fileHandle(backend.IndexFile, wrongName), backend.Bytes(r.key.Seal(nil, []byte("{}")))); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]crypto.ID{
		"wrong name":    wrongName,
		"not sealed":    save([]byte("plain text that is long enough to be sealed")),
		"too short":     save([]byte("x")),
		"empty":         save(nil),
		"unknown form":  save(r.key.Seal(nil, []byte("\x03text"))),
		"broken zstd":   save(r.key.Seal(nil, []byte("\x02text"))),
		"foreign index": save(r.key.Seal(nil, []byte(`{"packs":[{"id":"x"}]}`))),
	} {
		err := func() error {
			b, err := r.LoadUnpacked(t.Context(), backend.IndexFile, id)
			if err == nil {
				err = (&indexLoader{repo: r, builder: index.NewBuilder()}).decode(id, b)
			}
			return err
		}()
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Handle != fileHandle(backend.IndexFile, id) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.LoadIndex(t.Context()); !errors.As(err, new(*CorruptError)) {
		t.Errorf("LoadIndex: %v", err)
	}
	damaged, err := r.LoadIndexFiles(t.Context(), nil)
	if err != nil || len(damaged) != 7 {
		t.Errorf("LoadIndexFiles: %d damaged, %v", len(damaged), err)
	}
}

func TestFindID(t *testing.T) {
	be := mem.New()
	r := newTestRepo(t, be, nil)
	ids := []crypto.ID{{0x12, 0x34, 1}, {0x12, 0x34, 2}, {0xab}}
	for _, id := range ids {
		if err := be.Save(t.Context(), fileHandle(backend.SnapshotFile, id), backend.Bytes("x")); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]crypto.ID{"a": ids[2], "ab0000": ids[2], "123401": ids[0], ids[1].String(): ids[1]} {
		if got, err := r.FindID(t.Context(), backend.SnapshotFile, prefix); err != nil || got != want {
			t.Errorf("%s: %v, %v", prefix, got, err)
		}
	}
	for prefix, matches := range map[string]int{"1": 2, "1234": 2, "c": 0, "": 2, "xyz": 0} {
		_, err := r.FindID(context.Background(), backend.SnapshotFile, prefix)
		var idErr *IDError
		if !errors.As(err, &idErr) || idErr.Matches != matches {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
