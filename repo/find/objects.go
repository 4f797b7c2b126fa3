package find

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// Kind says what the IDs of a search are.
type Kind uint8

const (
	Blobs Kind = iota // of files
	Trees
	Packs // all that is in them
)

// Object is a place where a blob is in use.
type Object struct {
	Blob index.BlobHandle
	Path string    // of the file or folder
	Tree crypto.ID // that lists the file; zero for trees
}

// Objects is a search for blobs and trees.
type Objects struct {
	repo  *repo.Repo
	kind  Kind
	ids   []string // as given
	blobs idSet    // of files
	trees idSet
	walk  walk

	foundTrees int          // how often
	barren     index.Bitmap // trees with nothing in or below them
	inUse      []index.BlobHandle
	seen       map[index.BlobHandle]bool // is in inUse
}

// NewObjects returns a search for IDs, or beginnings of some. The index must
// be loaded. problem is as [Query.Problem]. If packs are not found, the error
// is a [*PacksError].
func NewObjects(ctx context.Context, r *repo.Repo, kind Kind, ids []string, problem func(path string, err error) error) (*Objects, error) {
	view := r.Index().View()
	s := &Objects{
		repo: r, kind: kind, ids: ids,
		barren: index.NewBitmap(view.Len()), seen: make(map[index.BlobHandle]bool),
	}
	isBarren := func(id crypto.ID) bool {
		at, ok := treeAt(view, id)
		return ok && s.barren.Has(at)
	}
	s.walk = walk{
		repo: r, problem: problem,
		ahead:  r.TreesAhead(func(id crypto.ID) bool { return !isBarren(id) }),
		barren: func(_ string, id crypto.ID) bool { return isBarren(id) },
		setBarren: func(_ string, id crypto.ID) {
			if at, ok := treeAt(view, id); ok {
				s.barren.Add(at)
			}
		},
	}
	switch kind {
	case Blobs:
		s.blobs.addPrefixes(ids)
	case Trees:
		s.trees.addPrefixes(ids)
	case Packs:
		return s, s.packs(ctx, view)
	}
	return s, nil
}

// PacksError means that there are no packs with these IDs.
type PacksError struct{ IDs []string }

func (e *PacksError) Error() string { return fmt.Sprintf("unable to find pack(s): %v", e.IDs) }

// packs finds out what is in the packs: from the index or, for packs that it
// does not know, from their headers.
func (s *Objects) packs(ctx context.Context, view *index.View) error {
	var wanted idSet
	wanted.addPrefixes(s.ids)
	found := make(map[string]bool)
	known := make(map[crypto.ID]bool)
	for _, at := range view.ByPack(func(number int) bool { return wanted.has(view.PackID(number)) }) {
		id := view.PackID(view.PackOf(at[0]))
		known[id] = true
		wanted.note(id, found)
		for _, p := range at {
			s.addBlob(view.At(p).BlobHandle)
		}
	}
	for fi, err := range s.repo.List(ctx, backend.PackFile) {
		if err != nil {
			return err
		}
		if known[fi.ID] || !wanted.has(fi.ID) {
			continue
		}
		blobs, err := pack.ReadHeader(ctx, s.repo.Backend(), s.repo.MasterKey(), fi.ID, fi.Size)
		if err != nil {
			return fmt.Errorf("pack %s is not in the index, and what it holds can't be read: %w", fi.ID.Short(), err)
		}
		wanted.note(fi.ID, found)
		for _, b := range blobs {
			s.addBlob(b.BlobHandle)
		}
	}
	var missing []string
	for _, id := range s.ids {
		if !found[id] {
			missing = append(missing, id)
		}
	}
	if missing != nil {
		return &PacksError{missing}
	}
	return nil
}

func (s *Objects) addBlob(h index.BlobHandle) {
	if h.Type == index.TreeBlob {
		s.trees.add(h.ID)
	} else {
		s.blobs.add(h.ID)
	}
	s.use(h)
}

// use notes a blob that the search is about.
func (s *Objects) use(h index.BlobHandle) {
	if !s.seen[h] {
		s.seen[h] = true
		s.inUse = append(s.inUse, h)
	}
}

// In calls fn for each place in a snapshot, in the order of the tree. As in
// restic, a search for trees leaves a snapshot at a hit once it has had as
// many hits as it was given IDs.
func (s *Objects) In(ctx context.Context, sn *snapshot.Snapshot, fn func(Object) error) error {
	if sn.Tree == nil {
		return fmt.Errorf("snapshot %s has no tree", sn.ID.Short())
	}
	isTree := func(path string, id crypto.ID) error {
		if !s.trees.has(id) {
			return nil
		}
		s.walk.hits++
		s.foundTrees++
		h := index.BlobHandle{Type: index.TreeBlob, ID: id}
		s.use(h)
		if err := fn(Object{Blob: h, Path: path}); err != nil {
			return err
		}
		if s.kind == Trees && s.foundTrees >= len(s.ids) {
			return fs.SkipAll
		}
		return nil
	}
	if err := isTree("/", *sn.Tree); err != nil {
		if err == fs.SkipAll {
			return nil
		}
		return err
	}
	return s.walk.run(ctx, *sn.Tree, func(path string, in crypto.ID, n *tree.Node) error {
		switch n.Type {
		case tree.TypeDir:
			return isTree(path, n.Subtree)
		case tree.TypeFile:
			for _, id := range n.Content {
				if !s.blobs.has(id) {
					continue
				}
				s.walk.hits++
				h := index.BlobHandle{Type: index.DataBlob, ID: id}
				s.use(h)
				if err := fn(Object{Blob: h, Path: path, Tree: in}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Found returns the blobs that the search is about, as far as it has met them
// or their packs, and the IDs it was given for which it has met none.
func (s *Objects) Found() (blobs []index.BlobHandle, unknown []string) {
	if s.kind == Packs {
		return s.inUse, nil
	}
	for _, id := range s.ids {
		met := false
		for _, h := range s.inUse {
			met = met || strings.HasPrefix(h.ID.String(), id)
		}
		if !met {
			unknown = append(unknown, id)
		}
	}
	return s.inUse, unknown
}

// idSet is a set of IDs and of beginnings of IDs.
type idSet struct {
	full     map[crypto.ID]struct{}
	prefixes []string
}

func (s *idSet) add(id crypto.ID) {
	if s.full == nil {
		s.full = make(map[crypto.ID]struct{})
	}
	s.full[id] = struct{}{}
}

func (s *idSet) addPrefixes(list []string) {
	for _, p := range list {
		if id, err := crypto.ParseID(p); err == nil {
			s.add(id)
		} else if p != "" {
			s.prefixes = append(s.prefixes, p)
		}
	}
}

func (s *idSet) has(id crypto.ID) bool {
	if _, ok := s.full[id]; ok {
		return true
	}
	for _, p := range s.prefixes {
		if hasPrefix(&id, p) {
			return true
		}
	}
	return false
}

// note marks what of the set an ID belongs to.
func (s *idSet) note(id crypto.ID, found map[string]bool) {
	text := id.String()
	found[text] = true
	for _, p := range s.prefixes {
		if strings.HasPrefix(text, p) {
			found[p] = true
		}
	}
}

// hasPrefix reports whether an ID, as text, begins with p.
func hasPrefix(id *crypto.ID, p string) bool {
	const digits = "0123456789abcdef"
	if len(p) > 2*len(id) {
		return false
	}
	for i := range len(p) {
		nibble := id[i/2] >> 4
		if i%2 == 1 {
			nibble = id[i/2] & 15
		}
		if digits[nibble] != p[i] {
			return false
		}
	}
	return true
}
