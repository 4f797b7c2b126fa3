// Package corpus makes the files that programs are measured with. A seed and a
// scale determine every byte, name, mode and time, so that numbers from two
// machines are about the same data; nothing is downloaded.
//
// Make makes a corpus or finds it made, Change alters it as a day's work would,
// and Changed.Undo puts it back. Start at Names for what there is.
package corpus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// generation is raised when a corpus changes for the same seed and scale, so
// that old ones are not taken for new ones.
const generation = 1

// DefaultSeed is the seed of the numbers that we publish.
const DefaultSeed = 20260

// Spec says which corpus. The zero Scale and Seed stand for 1 and DefaultSeed.
type Spec struct {
	Name  string  `json:"name"`
	Scale float64 `json:"scale"` // of the number of files, or of their sizes where they are few
	Seed  uint64  `json:"seed"`
}

func (s Spec) withDefaults() Spec {
	if s.Scale == 0 {
		s.Scale = 1
	}
	if s.Seed == 0 {
		s.Seed = DefaultSeed
	}
	return s
}

// Folder returns a name for the corpus's folder that no other Spec has.
func (s Spec) Folder() string {
	s = s.withDefaults()
	return fmt.Sprintf("%s-%g-%d", s.Name, s.Scale, s.Seed)
}

// Corpus is a corpus on disk.
type Corpus struct {
	Spec
	Dir   string `json:"-"` // absolute
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// One is a file of middle size in it, with slashes, to be restored alone.
	One string `json:"one"`
	// Find is a pattern that some of the file names match.
	Find string `json:"find"`
}

// kind is how one corpus is made and changed.
type kind struct {
	name, about string
	plan        func(s Spec) []item
	one, find   func(items []item) string
	// overwrite says that a change overwrites parts of one file with noise
	// instead of appending a line to one file in a hundred.
	overwrite bool
}

func kinds() []kind {
	return []kind{
		{"src", "40,000 text files like those of programs, 400 MiB", planSource, middle, constant("*_test.go"), false},
		{"tiny", "200,000 files of 0 to 4 KiB in 5,000 folders", planTiny, middle, constant("f*7.dat"), false},
		{"big", "8 files of 512 MiB, half of them noise, half logs and database dumps", planBig, last, constant("*.sql"), true},
		{"vm", "one disk image of 4 GiB: holes, copies, text, noise", planImage, last, constant("*.img"), true},
		{"mail", "1,000,000 messages of 0.3 to 3 KiB in one tree", planMail, middle, constant("*07.M*"), false},
	}
}

func constant(s string) func([]item) string { return func([]item) string { return s } }

// middle returns the name of the first regular file after half of the list.
func middle(items []item) string {
	for _, it := range items[len(items)/2:] {
		if it.link == "" && it.size > 0 {
			return it.name
		}
	}
	return last(items)
}

func last(items []item) string { return items[len(items)-1].name }

// Names returns the names of all corpora.
func Names() []string {
	var list []string
	for _, k := range kinds() {
		list = append(list, k.name)
	}
	return list
}

// About returns a line that says what a corpus is at scale 1.
func About(name string) string {
	k, err := find(name)
	if err != nil {
		return ""
	}
	return k.about
}

func find(name string) (kind, error) {
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("no corpus is called %q: there are %s", name, strings.Join(Names(), ", "))
}

// stamp is the file beside a corpus that says what is in it. It is written
// last: a folder without one is incomplete.
type stamp struct {
	Generation int `json:"generation"`
	Corpus
}

func stampFile(dir string) string { return dir + ".stamp.json" }

// Make makes the corpus in dir, which should not exist, or finds out that it
// is there. A change of an earlier run that was not undone is undone. Another
// corpus, or files without a stamp, are left alone with an error.
func Make(ctx context.Context, dir string, spec Spec) (*Corpus, error) {
	spec = spec.withDefaults()
	k, err := find(spec.Name)
	if err != nil {
		return nil, err
	}
	if !(spec.Scale > 0) || math.IsInf(spec.Scale, 0) {
		return nil, fmt.Errorf("scale %g: it must be above 0", spec.Scale)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c, err := load(dir, spec)
	if err != nil || c != nil {
		return c, err
	}
	return build(ctx, dir, spec, k)
}

// build makes the corpus beside its place and moves it there when it is complete.
func build(ctx context.Context, dir string, spec Spec, k kind) (*Corpus, error) {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return nil, err
	}
	items := k.plan(spec)
	if err := write(ctx, part, spec, items); err != nil {
		return nil, errors.Join(fmt.Errorf("corpus %s: %w", spec.Name, err), os.RemoveAll(part))
	}
	c := &Corpus{Spec: spec, Dir: dir, One: k.one(items), Find: k.find(items)}
	for _, it := range items {
		c.Files++
		c.Bytes += it.size
	}
	if err := os.Rename(part, dir); err != nil {
		return nil, err
	}
	return c, c.save()
}

// save writes the stamp.
func (c *Corpus) save() error {
	b, err := json.MarshalIndent(stamp{generation, *c}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(stampFile(c.Dir), append(b, '\n'), 0o644)
}

// load returns the corpus in dir, or nil if there is nothing.
func load(dir string, spec Spec) (*Corpus, error) {
	b, err := os.ReadFile(stampFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return nil, fmt.Errorf("%s is not empty and %s is missing: no corpus that was finished; remove it or choose another folder", dir, stampFile(dir))
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var st stamp
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", stampFile(dir), err)
	}
	if st.Generation != generation || st.Spec != spec {
		return nil, fmt.Errorf("%s holds another corpus (%s, generation %d; asked for: %s, generation %d); remove it and %s, or choose another folder",
			dir, st.Spec.Folder(), st.Generation, spec.Folder(), generation, stampFile(dir))
	}
	c := &st.Corpus
	c.Dir = dir
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%s is there, but not the corpus: %w", stampFile(dir), err)
	}
	if err := undo(dir); err != nil {
		return nil, fmt.Errorf("undo an earlier change of %s: %w", dir, err)
	}
	return c, nil
}

// Remove removes a corpus, its stamp, and what an interrupted Make or Change left.
func Remove(dir string) error {
	var errs []error
	for _, name := range []string{journalFile(dir), stampFile(dir), dir, dir + ".part"} {
		errs = append(errs, os.RemoveAll(name))
	}
	return errors.Join(errs...)
}

// Known reports whether there is a corpus of that name.
func Known(name string) bool { return slices.Contains(Names(), name) }
