package transfer_test

import (
	"context"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
)

// store is a repository in memory whose storage may fail.
type store struct {
	*backendtest.Faulty
	mem *mem.Backend
}

func newStore(t testing.TB, version int) *store {
	t.Helper()
	be := mem.New()
	repotest.InitBackend(t, be, "secret", version)
	return &store{backendtest.NewFaulty(be, nil), be}
}

// open returns the repository as a new process finds it.
func (s *store) open(t testing.TB) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), s, "secret", &repo.Options{PackSize: repo.MinPackSize, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.LoadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// failAt lets the n-th operation that changes the storage go wrong.
func (s *store) failAt(n int, fault backendtest.Fault) (met func() bool) {
	seen := 0
	s.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if (op != layer.OpSave && op != layer.OpRemove) || h.Type == backend.LockFile {
			return backendtest.None
		}
		seen++
		if seen == n+1 {
			return fault
		}
		return backendtest.None
	})
	return func() bool { return seen > n }
}

// tearAt lets the n-th save of a pack store half of it and fail.
func (s *store) tearAt(n int) (met func() bool) {
	torn := &tearing{Backend: s.mem, at: n}
	s.Faulty = backendtest.NewFaulty(torn, nil)
	return func() bool { return torn.seen.Load() > int64(n) }
}

// tearing is a storage that breaks down in the middle of a file.
type tearing struct {
	backend.Backend
	at   int
	seen atomic.Int64
}

func (b *tearing) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if h.Type != backend.PackFile || b.seen.Add(1) != int64(b.at+1) {
		return b.Backend.Save(ctx, h, c)
	}
	if err := b.Backend.Save(ctx, h, io.NewSectionReader(c, 0, c.Size()/2)); err != nil {
		return err
	}
	return backendtest.ErrInjected
}

// files are the content of a source; a nil value is a folder.
type files map[string][]byte

func (f files) source() source.Source {
	m := fstest.MapFS{}
	for name, content := range f {
		file := &fstest.MapFile{Data: content, Mode: 0o644, ModTime: time.Unix(1_700_000_000, 0)}
		if content == nil {
			file.Mode = fs.ModeDir | 0o755
		}
		m[name] = file
	}
	return source.FS(m)
}

// backUp makes a snapshot.
func backUp(t testing.TB, r *repo.Repo, f files, sn snapshot.Snapshot) *snapshot.Snapshot {
	t.Helper()
	if sn.Time.IsZero() {
		sn.Time = time.Unix(1_700_000_000, 0)
	}
	res, err := backup.Run(t.Context(), r, f.source(), &backup.Options{Snapshot: sn})
	if err != nil {
		t.Fatal(err)
	}
	return res.Snapshot
}

// all returns the snapshots, oldest first.
func all(t testing.TB, r *repo.Repo) []*snapshot.Snapshot {
	t.Helper()
	list, err := r.Snapshots(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// sound fails the test if anything is wrong in the repository.
func sound(t testing.TB, s *store) {
	t.Helper()
	s.SetRule(nil)
	rep, err := check.Run(t.Context(), s.open(t), &check.Options{SelectPacks: check.AllPacks})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Problems {
		if !p.Kind.Hint() {
			t.Errorf("check: %v", p)
		}
	}
}

// persistent returns how many snapshots there are of each origin.
func persistent(list []*snapshot.Snapshot) map[crypto.ID]int {
	m := make(map[crypto.ID]int)
	for _, sn := range list {
		m[sn.PersistentID()]++
	}
	return m
}

func locked(ctx context.Context, r *repo.Repo, mode repo.LockMode, fn func(ctx context.Context) error) error {
	return r.WithLock(ctx, mode, nil, fn)
}
