package repotest

import (
	"context"
	"io/fs"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/tree"
)

// Open makes a repository of format 2 in be, whose folders are there, and
// opens it.
func Open(t testing.TB, be backend.Backend) *repo.Repo {
	t.Helper()
	InitBackend(t, be, "secret", 2)
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Builder stores trees and contents that no file system has.
type Builder struct {
	t   testing.TB
	ctx context.Context // of the write
	w   *repo.Writer
}

// Build calls fn with a Builder for the repository. What it stores is in the
// index afterwards.
func Build(t testing.TB, r *repo.Repo, fn func(b *Builder)) {
	t.Helper()
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		fn(&Builder{t, ctx, w})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Data stores a blob of a file.
func (b *Builder) Data(content string) crypto.ID { return b.save(index.DataBlob, []byte(content)) }

// Tree stores a tree, whose nodes must be in order.
func (b *Builder) Tree(nodes ...tree.Node) crypto.ID {
	b.t.Helper()
	content, err := tree.Encode(nodes)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.save(index.TreeBlob, content)
}

func (b *Builder) save(typ index.BlobType, content []byte) crypto.ID {
	b.t.Helper()
	saved, err := b.w.SaveBlob(b.ctx, typ, content)
	if err != nil {
		b.t.Fatal(err)
	}
	return saved.ID
}

// File returns a node for a file with one name, of these blobs.
func File(name string, size uint64, content ...crypto.ID) tree.Node {
	return tree.Node{Name: name, Type: tree.TypeFile, Mode: 0o644, Size: size, Links: 1, Inode: 1, Content: append([]crypto.ID{}, content...)}
}

// Folder returns a node for a folder.
func Folder(name string, subtree crypto.ID) tree.Node {
	return tree.Node{Name: name, Type: tree.TypeDir, Mode: fs.ModeDir | 0o755, Subtree: subtree}
}
