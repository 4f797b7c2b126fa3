package find

import (
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"
	"strings"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// Query says which items are looked for.
type Query struct {
	// Patterns are as those that exclude files from a backup, see package
	// pattern; an item that matches one of them is a hit. What is in a folder
	// that matches does too. There is no negation.
	Patterns   []string
	IgnoreCase bool
	// Oldest and Newest limit the times of modification; zero is no limit.
	Oldest, Newest time.Time
	// Problem is called for folders that can't be read. If it is nil, or
	// returns an error, the search ends; otherwise it goes on without.
	Problem func(path string, err error) error
}

// Names is a search for items.
type Names struct {
	query Query
	list  *pattern.List
	all   bool // a pattern is empty, and so everything matches
	walk  walk

	view *index.View
	// Where a tree matches nothing depends on its path. Trees hardly ever
	// are at two, so of each the last one is remembered, as a hash.
	barren map[int]uint64
	seed   maphash.Seed
}

// NewNames returns a search in a repository whose index is loaded. A pattern
// that is none is a [*pattern.Error].
func NewNames(r *repo.Repo, q Query) (*Names, error) {
	s := &Names{query: q, view: r.Index().View(), barren: make(map[int]uint64), seed: maphash.MakeSeed()}
	patterns := make([]string, 0, len(q.Patterns))
	for _, p := range q.Patterns {
		p = strings.TrimPrefix(p, "!")
		s.all = s.all || p == ""
		patterns = append(patterns, p)
	}
	var err error
	if s.list, err = pattern.Parse(patterns, &pattern.Options{IgnoreCase: q.IgnoreCase}); err != nil {
		return nil, err
	}
	s.walk = walk{
		repo: r, problem: q.Problem,
		ahead: r.TreesAhead(func(id crypto.ID) bool {
			at, ok := treeAt(s.view, id)
			if !ok {
				return false
			}
			_, known := s.barren[at]
			return !known
		}),
		barren: func(path string, id crypto.ID) bool {
			at, ok := treeAt(s.view, id)
			if !ok {
				return false
			}
			hash, known := s.barren[at]
			return known && hash == maphash.String(s.seed, path)
		},
		setBarren: func(path string, id crypto.ID) {
			if at, ok := treeAt(s.view, id); ok {
				s.barren[at] = maphash.String(s.seed, path)
			}
		},
	}
	return s, nil
}

// In calls fn for each hit in a snapshot, in the order of the tree. The node
// is valid until fn returns; an error ends the search.
func (s *Names) In(ctx context.Context, sn *snapshot.Snapshot, fn func(path string, n *tree.Node) error) error {
	if sn.Tree == nil {
		return fmt.Errorf("snapshot %s has no tree", sn.ID.Short())
	}
	return s.walk.run(ctx, *sn.Tree, func(path string, _ crypto.ID, n *tree.Node) error {
		matched, below := s.list.Match(path)
		if s.all {
			matched, below = true, true
		}
		if matched && s.inTime(n.ModTime) {
			s.walk.hits++
			if err := fn(path, n); err != nil {
				return err
			}
		}
		if n.Type == tree.TypeDir && !below {
			return fs.SkipDir
		}
		return nil
	})
}

func (s *Names) inTime(t time.Time) bool {
	return (s.query.Oldest.IsZero() || !t.Before(s.query.Oldest)) && (s.query.Newest.IsZero() || !t.After(s.query.Newest))
}
