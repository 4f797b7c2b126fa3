package pattern

import (
	"errors"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		patterns, path string
		matched, below bool
	}{
		{"foo", "/foo", true, true},
		{"foo", "/a/foo", true, true},
		{"foo", "/a/foo/b/c", true, true},
		{"foo", "/a/food", false, true},
		{"/foo", "/foo/x", true, true},
		{"/foo", "/a/foo", false, false},
		{"/home/u", "/home", false, true},
		{"/home/u", "/home/v", false, false},
		{"/home/u/", "/home/u", true, true},
		{"a/b", "/x/a/b/c", true, true},
		{"a/b", "/x/a/c/b", false, true},
		{"*.go", "/src/main.go", true, true},
		{"*.go", "/src/main.c", false, true},
		{"/src/*/test", "/src/x/test", true, true},
		{"/src/*/test", "/src/x", false, true},
		{"/src/*/test", "/src/x/y/test", false, false},
		{"/src/**/test", "/src/x/y/test", true, true},
		{"/src/**/test", "/src/test", true, true},
		{"/src/**/test", "/src/x/y", false, true},
		{"/src/**/test", "/lib", false, false},
		{"/**/x", "/a/b", false, true},
		{"**/x", "/a/x", true, true},
		{"/foo/**", "/foo", true, true},
		{"[ab]?", "/q/bz", true, true},
		{"[ab]?", "/q/cz", false, true},
		{`\*`, "/*", true, true},
		{`\*`, "/x", false, true},
		{"foo//bar/", "/foo/bar", true, true},
		{"./foo", "/x/foo", true, true},
		{"/", "/anything", true, true},
		{"*.txt !keep.txt", "/a/keep.txt", false, false},
		{"*.txt !keep.txt", "/a/drop.txt", true, true},
		{"!keep.txt *.txt", "/a/keep.txt", true, true},
		{"/a !/a/b /a/b/c", "/a/b/c", true, true},
		{"/a !/a/b /a/b/c", "/a/b/d", false, false},
		{"", "/a", false, false},
	} {
		l, err := Parse(strings.Fields(tc.patterns), nil)
		if err != nil {
			t.Fatal(err)
		}
		if m, b := l.Match(tc.path); m != tc.matched || b != tc.below {
			t.Errorf("%q on %s: %v, %v; want %v, %v", tc.patterns, tc.path, m, b, tc.matched, tc.below)
		}
	}
}

func TestIgnoreCase(t *testing.T) {
	l, err := Parse([]string{"*.JPG", "/Über"}, &Options{IgnoreCase: true})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{"/a/x.jpg": true, "/a/X.Jpg": true, "/über": true, "/ÜBER/x": true, "/uber": false} {
		if m, _ := l.Match(p); m != want {
			t.Errorf("%s: %v", p, m)
		}
	}
}

func TestInvalidPatternsAreNamed(t *testing.T) {
	for _, p := range []string{"[", "a/[b", `x\`, "![z"} {
		_, err := Parse([]string{"good", p}, nil)
		var perr *Error
		if !errors.As(err, &perr) || perr.Pattern != p {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// reference is the plain reading of the rules: ** is tried as 0 to 8 single
// stars, and every position is compared on its own.
func reference(pattern, p string) bool {
	pattern = path.Clean(pattern)
	if i := strings.Index("/"+pattern+"/", "/**/"); i >= 0 {
		for n := range 9 {
			stars := strings.Repeat("*/", n)
			expanded := strings.TrimSuffix(("/" + pattern + "/")[1:i+1]+stars+("/" + pattern + "/")[i+4:], "/")
			if expanded == "" {
				expanded = strings.TrimSuffix(stars, "/")
				if strings.HasPrefix(pattern, "/") || n == 0 {
					return true
				}
			}
			if reference(expanded, p) {
				return true
			}
		}
		return false
	}
	names := strings.Split(strings.Trim(p, "/"), "/")
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	for from := range names {
		if from+len(parts) > len(names) || from > 0 && strings.HasPrefix(pattern, "/") {
			break
		}
		all := true
		for i, part := range parts {
			ok, _ := path.Match(part, names[from+i])
			all = all && ok
		}
		if all {
			return true
		}
	}
	return false
}

func TestMatchAgreesWithThePlainReading(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "ab", "c.txt", "d.txt"})
	part := rapid.SampledFrom([]string{"a", "b", "ab", "*", "?", "*.txt", "[ab]", "a*", "**"})
	rapid.Check(t, func(t *rapid.T) {
		p := "/" + strings.Join(rapid.SliceOfN(name, 1, 5).Draw(t, "path"), "/")
		parts := rapid.SliceOfN(part, 1, 4).Draw(t, "pattern")
		pattern := strings.Join(parts, "/")
		if rapid.Bool().Draw(t, "anchored") {
			pattern = "/" + pattern
		}
		if strings.Count(pattern, "**") > 1 {
			t.Skip("the plain reading knows one **")
		}
		l, err := Parse([]string{pattern}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, below := l.Match(p)
		if want := reference(pattern, p); m != want {
			t.Fatalf("%q on %s: %v, want %v", pattern, p, m, want)
		}
		if m && !below {
			t.Fatalf("%q matches %s, but nothing below", pattern, p)
		}
		child := p + "/" + name.Draw(t, "child")
		if cm, _ := l.Match(child); cm && !below {
			t.Fatalf("%q matches %s, but Match of %s rules it out", pattern, child, p)
		}
	})
}

func TestLines(t *testing.T) {
	env := map[string]string{"HOME": "/home/u", "X": "x y"}
	content := "\ufeff# comment\n  *.o \r\n\n$HOME/tmp\n${X}z\ncost$$5\n$NOPE/a\n!keep # not a comment\nend$"
	got, err := Lines([]byte(content), func(k string) string { return env[k] })
	want := []string{"*.o", "/home/u/tmp", "x yz", "cost$5", "/a", "!keep # not a comment", "end$"}
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v", got, err)
	}
	utf16 := []byte{0xff, 0xfe, 'a', 0, 0xe4, 0, '\n', 0, 'b', 0}
	if got, err := Lines(utf16, nil); err != nil || strings.Join(got, "|") != "aä|b" {
		t.Errorf("UTF-16: %q, %v", got, err)
	}
	if _, err := Lines(utf16[:5], nil); err == nil {
		t.Error("half a unit was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/a/**/b", "/a/x/b")
	f.Add("[a-", "/a")
	f.Fuzz(func(t *testing.T, pattern, p string) {
		l, err := Parse([]string{pattern}, nil)
		if err != nil {
			return
		}
		l.Match("/" + p)
	})
}

func BenchmarkMatch(b *testing.B) {
	l, err := Parse([]string{"*.o", "/proc", "node_modules", "/home/*/.cache", "/var/**/tmp"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Match("/home/user/src/project/internal/thing/file_test.go")
	}
}
