package mem_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/mem"
)

func TestContract(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backend.Backend { return mem.New() })
}

func TestCloneIsIndependent(t *testing.T) {
	be := mem.New()
	h := backend.Handle{Type: backend.KeyFile, Name: crypto.Hash(nil).String()}
	if err := be.Save(t.Context(), h, backend.Bytes("x")); err != nil {
		t.Fatal(err)
	}
	clone := be.Clone()
	if err := be.Remove(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if _, err := clone.Stat(t.Context(), h); err != nil {
		t.Errorf("the clone lost a file: %v", err)
	}
}

func Example() {
	be := mem.New()
	h := backend.Handle{Type: backend.SnapshotFile, Name: crypto.Hash([]byte("content")).String()}
	if err := be.Save(context.Background(), h, backend.Bytes("content")); err != nil {
		fmt.Println(err)
	}
	b, err := be.Load(context.Background(), h, 3, 4, nil)
	fmt.Println(string(b), err)
	// Output: tent <nil>
}
