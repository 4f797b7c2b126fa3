package limit

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
)

// Tree is what a folder and all below it looked like.
type Tree struct {
	Dir     string
	folders []string
	files   []file
	others  int64 // links and the like
}

// file is a regular file. The path is absolute.
type file struct {
	path     string
	size     int64
	content  int64 // without holes
	modified time.Time
}

// Look walks through a folder.
func Look(ctx context.Context, dir string) (*Tree, error) {
	t := &Tree{Dir: dir}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			t.folders = append(t.folders, path)
			return ctx.Err()
		case !d.Type().IsRegular():
			t.others++
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		t.files = append(t.files, file{path, fi.Size(), allocated(fi), fi.ModTime()})
		return nil
	})
	return t, err
}

// All returns what there is.
func (t *Tree) All() *Files {
	f := &Files{Entries: int64(len(t.folders)+len(t.files)) + t.others}
	for _, x := range t.files {
		f.add(x)
	}
	return f
}

// Since returns the regular files that are new or look changed.
func (t *Tree) Since(before *Tree) *Files {
	was := make(map[string]file, len(before.files))
	for _, x := range before.files {
		was[x.path] = x
	}
	f := new(Files)
	for _, x := range t.files {
		if old := was[x.path]; old.size != x.size || !old.modified.Equal(x.modified) {
			f.Entries++
			f.add(x)
		}
	}
	return f
}

func (f *Files) add(x file) {
	f.Files++
	f.Content += x.content
	if x.size > chunk.DefaultMinSize {
		f.Large += x.content
	}
}

// Ask opens a repository in a local folder and returns what its index says it has.
func Ask(ctx context.Context, dir, password string) (*Stored, error) {
	be, err := local.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	defer be.Close()
	r, err := repo.Open(ctx, be, password, nil)
	if err != nil {
		return nil, err
	}
	if err := r.LoadIndex(ctx); err != nil {
		return nil, err
	}
	s := new(Stored)
	for l := range r.Index().All() {
		plain, stored := int64(l.PlaintextLength()), int64(l.Length)
		if l.Type == index.TreeBlob {
			s.Trees += plain
			s.StoredTrees += stored
		} else {
			s.Data += plain
			s.StoredData += stored
		}
	}
	return s, nil
}
