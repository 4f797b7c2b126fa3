package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/repotest"
)

// plain hides what a backend can do beside the six methods.
type plain struct{ backend.Backend }

// TestUpgradeFaults fails each step of an upgrade, on storages that can
// replace a file and on those that can't, and in each way. Afterwards the
// repository has one version or the other, or its config is in the copy that
// the error names.
func TestUpgradeFaults(t *testing.T) {
	config := backend.Handle{Type: backend.ConfigFile}
	for _, replaces := range []bool{true, false} {
		for _, op := range []layer.Op{layer.OpSave, layer.OpRemove, layer.OpLoad, layer.OpReplace} {
			for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate, backendtest.Tear, backendtest.Lose} {
				for _, always := range []bool{false, true} {
					for step := 0; ; step++ {
						at := fmt.Sprintf("replaces %v, %s %d, fault %v, always %v", replaces, op, step, fault, always)
						inner := mem.New()
						repotest.InitBackend(t, inner, "secret", 1)
						faulty := backendtest.NewFaulty(inner, nil)
						var be backend.Backend = faulty
						if !replaces {
							be = plain{faulty}
						}
						temp := t.TempDir()
						r, err := repo.Open(t.Context(), be, "secret", &repo.Options{TempDir: temp})
						if err != nil {
							t.Fatal(err)
						}
						hit := false
						faulty.SetRule(func(o layer.Op, h backend.Handle, n int) backendtest.Fault {
							if o == op && h == config && (n == step || always && n > step) {
								hit = true
								return fault
							}
							return backendtest.None
						})
						err = r.Upgrade(t.Context())
						faulty.SetRule(nil)
						left, _ := os.ReadDir(temp)
						if err == nil && len(left) > 0 {
							t.Errorf("%s: the copy stays", at)
						}
						checkUpgrade(t, at, inner, r, err)
						if !hit {
							break
						}
					}
				}
			}
		}
	}
}

// checkUpgrade opens what an upgrade left.
func checkUpgrade(t *testing.T, at string, be backend.Backend, upgraded *repo.Repo, err error) {
	t.Helper()
	config := backend.Handle{Type: backend.ConfigFile}
	var failed *repo.UpgradeError
	if errors.As(err, &failed) && failed.RestoreErr != nil {
		if !strings.Contains(err.Error(), failed.Copy) {
			t.Errorf("%s: the error does not name the copy: %v", at, err)
		}
		old, rerr := os.ReadFile(failed.Copy)
		if rerr != nil {
			t.Errorf("%s: %v", at, rerr)
		}
		put(t, be, config, old)
	}
	r, operr := repo.Open(t.Context(), be, "secret", nil)
	if operr != nil {
		t.Errorf("%s: upgrade says %v, then open says %v", at, err, operr)
		return
	}
	want := 1
	if err == nil {
		want = 2
	}
	if got := r.Config(); got.Version != want || upgraded.Config() != got {
		t.Errorf("%s: version %d, want %d; the upgrade says %v and has version %d", at, got.Version, want, err, upgraded.Config().Version)
	}
}

func put(t *testing.T, be backend.Backend, h backend.Handle, b []byte) {
	t.Helper()
	if err := be.Remove(t.Context(), h); err != nil && !errors.Is(err, backend.ErrNotExist) {
		t.Fatal(err)
	}
	if err := be.Save(t.Context(), h, backend.Bytes(b)); err != nil {
		t.Fatal(err)
	}
}

func TestUpgradeKeepsWhatThereIs(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 1)
	r := openLoaded(t, be)
	save := func(content []byte) index.BlobHandle {
		var h index.BlobHandle
		err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
			saved, err := w.SaveBlob(ctx, index.DataBlob, content)
			h = index.BlobHandle{Type: index.DataBlob, ID: saved.ID}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	text := bytes.Repeat([]byte("text "), 1000)
	old := save(text)
	before := r.Config()
	if err := r.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Upgrade(t.Context()); err == nil {
		t.Error("version 2 was upgraded")
	}
	fresh := save(append(text, '!'))
	other := openLoaded(t, be)
	if c := other.Config(); c.Version != 2 || c.ID != before.ID || c.ChunkerPolynomial != before.ChunkerPolynomial {
		t.Errorf("%+v", c)
	}
	for h, compressed := range map[index.BlobHandle]bool{old: false, fresh: true} {
		if _, err := other.LoadBlob(t.Context(), h, nil); err != nil {
			t.Error(err)
		}
		if l := other.Index().Lookup(nil, h); len(l) != 1 || l[0].Compressed() != compressed {
			t.Errorf("%v: %+v", h, l)
		}
	}
}
