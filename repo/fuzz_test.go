package repo

import (
	"encoding/json"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
)

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(`{"version":2,"id":"` + crypto.Hash(nil).String() + `","chunker_polynomial":"3da3358b4dc173"}`))
	f.Add([]byte(`{"version":1,"id":null,"chunker_polynomial":"0"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeConfig(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := decodeConfig(again); err != nil || d != c {
			t.Fatalf("%+v reads back as %+v, %v", c, d, err)
		}
	})
}

// FuzzSealedFiles stores arbitrary plaintext under each kind of name: reading
// it must give an error or a value, whatever it says.
func FuzzSealedFiles(f *testing.F) {
	f.Add([]byte(`{"time":"2024-01-01T00:00:00Z","exclusive":true,"hostname":"h","username":"u","pid":1}`))
	f.Add([]byte("\x02\x28\xb5\x2f\xfd"))
	f.Add([]byte("\x03x"))
	f.Add([]byte(`{"packs":[]}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		be := mem.New()
		r := newTestRepo(t, be, nil)
		sealed := r.key.Seal(nil, plain)
		id := crypto.Hash(sealed)
		for _, typ := range []backend.FileType{backend.LockFile, backend.SnapshotFile, backend.IndexFile} {
			if err := be.Save(t.Context(), fileHandle(typ, id), backend.Bytes(sealed)); err != nil {
				t.Fatal(err)
			}
		}
		for l, err := range r.Locks(t.Context()) {
			if err != nil || l.ID != id {
				t.Fatal(l, err)
			}
		}
		for sn, err := range r.AllSnapshots(t.Context()) {
			if sn == nil || sn.ID != id {
				t.Fatal(sn, err)
			}
		}
		if _, err := r.LoadIndexFiles(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOpenBlob reads arbitrary stored bytes as blobs of arbitrary length.
func FuzzOpenBlob(f *testing.F) {
	f.Add([]byte("content"), uint32(0))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x00"), uint32(13))
	f.Fuzz(func(t *testing.T, plain []byte, length uint32) {
		r := newTestRepo(t, mem.New(), nil)
		sealed := r.key.Seal(nil, plain)
		b := index.Blob{Length: uint32(len(sealed)), UncompressedLength: length % (1 << 20)}
		got, err := r.OpenBlob(nil, b, sealed)
		if err == nil && crypto.Hash(got) != b.ID {
			t.Fatal("content with another hash was accepted")
		}
	})
}
