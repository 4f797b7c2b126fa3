// Package pattern matches paths against lists of exclude and include
// patterns, by restic's rules:
//
//   - A pattern is matched component by component, each with *, ?, [...] and
//     backslash as in shells; ** stands for any number of components.
//   - A pattern that begins with a slash is anchored at the root; any other
//     may match from any component on.
//   - It may end before the path does: what matches a folder matches all that
//     is in it.
//   - A pattern behind ! takes back what patterns before it matched. The last
//     pattern that says anything about a path decides.
//
// Start with [Parse]. The package reads no files; [Lines] splits the content
// of one.
package pattern

import (
	"fmt"
	"path"
	"strings"
)

// Error is a pattern that can't be used.
type Error struct {
	Pattern string
	Err     error
}

func (e *Error) Error() string { return fmt.Sprintf("invalid pattern %q: %v", e.Pattern, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// List is a list of patterns in order. It is immutable; the zero value and nil
// match nothing.
type List struct {
	patterns []compiled
	fold     bool // patterns are in lower case, and so paths are folded
	negated  bool // some pattern is
}

type compiled struct {
	parts    []part
	anchored bool
	negated  bool
	doubleAt int // position of the first **, or len(parts)
}

type part struct {
	text    string
	literal bool // text has no special characters
	double  bool // **
}

// Options say how patterns are taken; nil is the default.
type Options struct {
	// IgnoreCase matches upper and lower case alike.
	IgnoreCase bool
}

// Parse compiles patterns. Empty ones are passed over. An error is an
// [*Error].
func Parse(patterns []string, opts *Options) (*List, error) {
	l := &List{fold: opts != nil && opts.IgnoreCase}
	for _, text := range patterns {
		p := text
		if l.fold {
			p = strings.ToLower(p)
		}
		negated := strings.HasPrefix(p, "!")
		p = strings.TrimPrefix(p, "!")
		if p == "" {
			continue
		}
		c, err := compile(p)
		if err != nil {
			return nil, &Error{Pattern: text, Err: err}
		}
		c.negated = negated
		l.negated = l.negated || negated
		l.patterns = append(l.patterns, c)
	}
	return l, nil
}

func compile(p string) (compiled, error) {
	p = path.Clean(p)
	c := compiled{anchored: strings.HasPrefix(p, "/")}
	for _, text := range strings.Split(strings.Trim(p, "/"), "/") {
		if text == "" {
			continue // the root itself
		}
		if _, err := path.Match(text, ""); err != nil {
			return c, err
		}
		c.parts = append(c.parts, part{
			text:    text,
			literal: !strings.ContainsAny(text, `*?[\`),
			double:  text == "**",
		})
	}
	c.doubleAt = len(c.parts)
	for i, p := range c.parts {
		if p.double {
			c.doubleAt = i
			break
		}
	}
	return c, nil
}

// Empty reports whether the list has no pattern at all.
func (l *List) Empty() bool { return l == nil || len(l.patterns) == 0 }

// Match reports whether the list matches a path, which is absolute and clean,
// and whether it may match anything below it.
func (l *List) Match(p string) (matched, below bool) {
	if l.Empty() {
		return false, false
	}
	if l.fold {
		p = strings.ToLower(p)
	}
	var space [32]string // most paths need no allocation
	names := split(space[:0], p)
	for i := range l.patterns {
		c := &l.patterns[i]
		m := c.match(names)
		if c.negated {
			if m {
				matched, below = false, false
			}
			continue
		}
		matched = matched || m
		below = below || c.mayMatchBelow(names)
		if matched && below && !l.negated {
			return true, true
		}
	}
	return matched, below
}

func split(names []string, p string) []string {
	for p != "" {
		var name string
		name, p, _ = strings.Cut(p, "/")
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (c *compiled) match(names []string) bool {
	if c.anchored {
		return matchFrom(c.parts, names)
	}
	for i := range names {
		if matchFrom(c.parts, names[i:]) {
			return true
		}
	}
	return false
}

// matchFrom reports whether parts match the beginning of names.
func matchFrom(parts []part, names []string) bool {
	for i := range parts {
		p := &parts[i]
		if p.double {
			rest := parts[i+1:]
			for skip := i; skip <= len(names); skip++ {
				if matchFrom(rest, names[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(names) || !p.match(names[i]) {
			return false
		}
	}
	return true
}

func (p *part) match(name string) bool {
	if p.literal {
		return p.text == name
	}
	ok, _ := path.Match(p.text, name) // compile has checked the pattern
	return ok
}

// mayMatchBelow reports whether the pattern can match something below the
// path: the path is a beginning of what it says, or within.
func (c *compiled) mayMatchBelow(names []string) bool {
	if !c.anchored {
		return true
	}
	n := min(c.doubleAt, len(names))
	return matchFrom(c.parts[:n], names)
}
