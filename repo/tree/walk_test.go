package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
)

// store keeps trees in memory; it is a Loader.
type store struct {
	blobs  map[crypto.ID][]byte
	loads  int
	opened int // trees that are not closed
	peak   int // the most that were open
}

func newStore() *store { return &store{blobs: make(map[crypto.ID][]byte)} }

type openTree struct {
	*Decoder
	s *store
}

func (o *openTree) Close() error { o.s.opened--; return nil }

func (s *store) LoadTree(ctx context.Context, id crypto.ID) (*openTree, error) {
	s.loads++
	b, ok := s.blobs[id]
	if !ok {
		return nil, errMissing
	}
	s.opened++
	s.peak = max(s.peak, s.opened)
	return &openTree{NewDecoder(b), s}, nil
}

var errMissing = errors.New("no such blob")

// put stores a tree that is written as a list of names: "a" is a file, "a=x"
// a file with content x, "a/" an empty directory, and "a/(b c)" one with
// two entries. "a/!" is a directory whose tree is missing, "a/?" one without
// a tree. Names are stored in the order given.
func (s *store) put(t *testing.T, text string) crypto.ID {
	t.Helper()
	b := []byte(Header)
	for i, entry := range splitEntries(text) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = AppendNode(b, s.node(t, entry)); err != nil {
			t.Fatal(err)
		}
	}
	return s.blob(append(b, Trailer...))
}

func (s *store) blob(b []byte) crypto.ID {
	id := crypto.Hash(b)
	s.blobs[id] = b
	return id
}

func (s *store) node(t *testing.T, entry string) *Node {
	name, inside, isDir := strings.Cut(entry, "/")
	if !isDir {
		name, content, _ := strings.Cut(entry, "=")
		return &Node{Name: name, Type: TypeFile, Content: []crypto.ID{crypto.Hash([]byte(content))}}
	}
	n := &Node{Name: name, Type: TypeDir}
	switch inside {
	case "?":
	case "!":
		n.Subtree = crypto.Hash([]byte(entry))
	case "#":
		n.Subtree = s.blob([]byte(`{"nodes":[{"name":"first"},}`))
	default:
		n.Subtree = s.put(t, strings.TrimSuffix(strings.TrimPrefix(inside, "("), ")"))
	}
	return n
}

// splitEntries splits at spaces outside of parentheses.
func splitEntries(text string) []string {
	var entries []string
	depth, start := 0, 0
	for i, c := range text + " " {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ' ':
			if depth == 0 {
				if i > start {
					entries = append(entries, text[start:i])
				}
				start = i + 1
			}
		}
	}
	return entries
}

func expectLines(t *testing.T, got []string, want string) {
	t.Helper()
	if w := strings.Split(want, ", "); !slices.Equal(got, w) {
		t.Errorf("have %q\nwant %q", got, w)
	}
}

func TestWalkVisitsAllInOrder(t *testing.T) {
	s := newStore()
	root := s.put(t, "a b/(x y/(deep) z) c/ d")
	var got []string
	err := Walk(t.Context(), s, root, func(path string, n *Node, err error) error {
		got = append(got, fmt.Sprintf("%s %s", path, n.Type))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	expectLines(t, got, "/a file, /b dir, /b/x file, /b/y dir, /b/y/deep file, /b/z file, /c dir, /d file")
	if s.opened != 0 || s.peak != 3 || s.loads != 4 {
		t.Errorf("%d trees left open, %d at most, %d loaded", s.opened, s.peak, s.loads)
	}
}

func TestWalkSkips(t *testing.T) {
	stop := errors.New("stop")
	for _, tc := range []struct {
		at   string
		with error
		want string
		err  error
	}{
		{"/b", fs.SkipDir, "/a, /b, /c, /c/m, /d", nil},
		{"/b/x", fs.SkipDir, "/a, /b, /b/x, /c, /c/m, /d", nil},
		{"/a", fs.SkipDir, "/a", nil},
		{"/b/x", fs.SkipAll, "/a, /b, /b/x", nil},
		{"/c", stop, "/a, /b, /b/x, /b/y, /c", stop},
		{"/c/m", stop, "/a, /b, /b/x, /b/y, /c, /c/m", stop},
	} {
		s := newStore()
		var got []string
		err := Walk(t.Context(), s, s.put(t, "a b/(x y) c/(m) d"), func(path string, n *Node, err error) error {
			got = append(got, path)
			if path == tc.at {
				return tc.with
			}
			return err
		})
		if err != tc.err {
			t.Errorf("%v at %s: %v, want %v", tc.with, tc.at, err, tc.err)
		}
		expectLines(t, got, tc.want)
		if s.opened != 0 {
			t.Errorf("%v at %s: %d trees left open", tc.with, tc.at, s.opened)
		}
	}
}

func TestWalkReportsDamageAndGoesOn(t *testing.T) {
	s := newStore()
	root := s.put(t, "a/! b/? ../(x) c/# d")
	var got []string
	walk := func(ret error) error {
		got = nil
		return Walk(t.Context(), s, root, func(path string, n *Node, err error) error {
			var format *FormatError
			var name *NameError
			switch {
			case err == nil:
				got = append(got, path)
				return nil
			case errors.Is(err, errMissing):
				got = append(got, path+" missing")
			case errors.Is(err, errNoSubtree):
				got = append(got, path+" without")
			case errors.As(err, &format):
				got = append(got, path+" damaged "+n.Name)
			case errors.As(err, &name):
				got = append(got, path+" name "+name.Name)
			default:
				t.Errorf("%s: %v", path, err)
			}
			return ret
		})
	}
	if err := walk(nil); err != nil {
		t.Error(err)
	}
	expectLines(t, got, "/a, /a missing, /b, /b without, /.. name .., /../x, /c, /c/first, /c damaged c, /d")
	if err := walk(fs.SkipDir); err != nil {
		t.Error(err)
	}
	expectLines(t, got, "/a, /a missing, /b, /b without, /.. name .., /c, /c/first, /c damaged c, /d")
	if err := walk(errMissing); err != errMissing || len(got) != 2 {
		t.Errorf("%v after %q", err, got)
	}
	if s.opened != 0 {
		t.Errorf("%d trees left open", s.opened)
	}
}

func TestWalkReportsAMissingRoot(t *testing.T) {
	s := newStore()
	for _, root := range []crypto.ID{{1}, {}} {
		called := 0
		report := func(ret error) error {
			return Walk(t.Context(), s, root, func(path string, n *Node, err error) error {
				called++
				if path != "/" || n != nil || err == nil {
					t.Errorf("%s, %v, %v", path, n, err)
				}
				return ret
			})
		}
		if err := report(nil); err != nil || called != 1 {
			t.Errorf("%v, called %d times", err, called)
		}
		if err := report(errMissing); err != errMissing {
			t.Error(err)
		}
	}
}

func TestWalkEndsWithItsContext(t *testing.T) {
	s := newStore()
	root := s.put(t, "a b/(x) c")
	why := errors.New("enough")
	for _, at := range []string{"", "/a", "/b", "/b/x"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if at == "" {
			cancel(why)
		}
		err := Walk(ctx, s, root, func(path string, n *Node, err error) error {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if path == at {
				cancel(why)
			}
			return nil
		})
		if err != why || s.opened != 0 {
			t.Errorf("ended at %q: %v, %d trees left open", at, err, s.opened)
		}
		cancel(nil)
	}
}

func TestDiffFindsWhatDiffers(t *testing.T) {
	for _, tc := range []struct{ a, b, want string }{
		{"a b=1 c", "a b=2 d", "/b both, /c left, /d right"},
		{"", "a b/(x)", "/a right, /b right, /b/x right"},
		{"a b/(x y/(z))", "", "/a left, /b left, /b/x left, /b/y left, /b/y/z left"},
		{"d/(a b=1) e/(same)", "d/(a b=2) e/(same)", "/d both, /d/b both"},
		{"d/(x)", "d", "/d both, /d/x left"},
		{"d=1", "d/(x)", "/d both, /d/x right"},
		{"Z a a0", "a a.b a0", "/Z left, /a.b right"},
		{"d/(p/(q=1))", "d/(p/(q=2 r))", "/d both, /d/p both, /d/p/q both, /d/p/r right"},
	} {
		s := newStore()
		var got []string
		err := Diff(t.Context(), s, s.put(t, tc.a), s.put(t, tc.b), func(path string, a, b *Node, err error) error {
			side := "both"
			if a == nil {
				side = "right"
			} else if b == nil {
				side = "left"
			}
			got = append(got, path+" "+side)
			return err
		})
		if err != nil {
			t.Errorf("%q and %q: %v", tc.a, tc.b, err)
		}
		expectLines(t, got, tc.want)
		if s.opened != 0 {
			t.Errorf("%d trees left open", s.opened)
		}
	}
}

func TestDiffDoesNotEnterWhatIsTheSame(t *testing.T) {
	s := newStore()
	a, b := s.put(t, "big/(x y/(z)) c=1"), s.put(t, "big/(x y/(z)) c=2")
	nothing := func(string, *Node, *Node, error) error { return nil }
	if err := Diff(t.Context(), s, a, a, nothing); err != nil || s.loads != 0 {
		t.Errorf("%v, %d trees loaded", err, s.loads)
	}
	if err := Diff(t.Context(), s, a, b, nothing); err != nil || s.loads != 2 {
		t.Errorf("%v, %d trees loaded", err, s.loads)
	}
}

func TestDiffStopsWhereItIsTold(t *testing.T) {
	stop := errors.New("stop")
	for _, tc := range []struct {
		with error
		want string
		err  error
	}{
		{fs.SkipDir, "/d, /e", nil},
		{fs.SkipAll, "/d", nil},
		{stop, "/d", stop},
	} {
		s := newStore()
		var got []string
		err := Diff(t.Context(), s, s.put(t, "d/(x=1) e=1"), s.put(t, "d/(x=2) e=2"), func(path string, a, b *Node, err error) error {
			got = append(got, path)
			return tc.with
		})
		if err != tc.err || s.opened != 0 {
			t.Errorf("%v: %v, %d trees left open", tc.with, err, s.opened)
		}
		expectLines(t, got, tc.want)
	}
}

func TestDiffReportsDamageAndGoesOn(t *testing.T) {
	for _, tc := range []struct{ a, b, want string }{
		{"d/! e=1", "d/(x) e=2", "/d, /d missing, /e"},
		{"d/(x) e", "d/? e", "/d, /d without"},
		{"d/# e", "d/(a) e=2", "/d, /d/a, /d/first, /d damaged, /e"},
		{"d/(b a) e", "d/(b=2) e", "/d, /d/b, /d order"},
		{"b a", "b=2", "/b, / order"},
	} {
		s := newStore()
		var got []string
		err := Diff(t.Context(), s, s.put(t, tc.a), s.put(t, tc.b), func(path string, a, b *Node, err error) error {
			var format *FormatError
			var order *OrderError
			switch {
			case err == nil:
			case errors.Is(err, errMissing):
				path += " missing"
			case errors.Is(err, errNoSubtree):
				path += " without"
			case errors.As(err, &format):
				path += " damaged"
			case errors.As(err, &order):
				path += " order"
			default:
				t.Errorf("%s: %v", path, err)
			}
			got = append(got, path)
			return nil
		})
		if err != nil || s.opened != 0 {
			t.Errorf("%q and %q: %v, %d trees left open", tc.a, tc.b, err, s.opened)
		}
		expectLines(t, got, tc.want)
	}
}

func TestDiffEndsWithItsContext(t *testing.T) {
	s := newStore()
	ctx, cancel := context.WithCancel(t.Context())
	err := Diff(ctx, s, s.put(t, "a d/(x=1)"), s.put(t, "b d/(x=2)"), func(path string, a, b *Node, err error) error {
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) || s.opened != 0 {
		t.Errorf("%v, %d trees left open", err, s.opened)
	}
}
