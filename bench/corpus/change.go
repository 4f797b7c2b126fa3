package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Changed is a corpus that Change has altered.
type Changed struct{ dir string }

// journal is how to take a change back. It is on disk before anything is
// changed.
type journal struct {
	Files []journalEntry `json:"files"`
}

type journalEntry struct {
	Name     string        `json:"name"`
	Size     int64         `json:"size"`
	Modified time.Time     `json:"modified"`
	Before   []journalPart `json:"before,omitempty"`
}

// journalPart is bytes that were overwritten.
type journalPart struct {
	Offset int64  `json:"offset"`
	Bytes  []byte `json:"bytes"`
}

func journalFile(dir string) string { return dir + ".undo.json" }

// stretches is in how many pieces a large file is overwritten.
const stretches = 16

// Change alters the corpus: one file in a hundred gets a line more, or, where
// files are few and large, one per cent of all bytes are overwritten in 16
// stretches of one file. It is the same change each time.
func (c *Corpus) Change() (*Changed, error) {
	k, err := find(c.Name)
	if err != nil {
		return nil, err
	}
	items := k.plan(c.Spec)
	changed := &Changed{c.Dir}
	r := seeded(c.Seed, "change", 0)
	if k.overwrite {
		err = c.overwrite(r, items)
	} else {
		err = c.append(r, items)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("change %s: %w", c.Dir, err), changed.Undo())
	}
	return changed, nil
}

func (c *Corpus) append(r *random, items []item) error {
	items = slices.DeleteFunc(slices.Clone(items), func(it item) bool { return it.link != "" })
	chosen := make(map[string]bool)
	var j journal
	for len(chosen) < max(1, len(items)/100) {
		name := items[r.below(len(items))].name
		if chosen[name] {
			continue
		}
		chosen[name] = true
		e, err := c.entry(name)
		if err != nil {
			return err
		}
		j.Files = append(j.Files, e)
	}
	if err := writeJournal(c.Dir, &j); err != nil {
		return err
	}
	for i, e := range j.Files {
		f, err := os.OpenFile(c.path(e.Name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "a line more, number %d\n", i)
		if err := errors.Join(err, f.Close(), e.touch(c.path(e.Name))); err != nil {
			return err
		}
	}
	return nil
}

func (c *Corpus) overwrite(r *random, items []item) error {
	e, err := c.entry(items[0].name)
	if err != nil {
		return err
	}
	length := max(1, min(c.Bytes/100, e.Size/2)/stretches)
	f, err := os.OpenFile(c.path(e.Name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	room := e.Size / stretches
	for i := range int64(stretches) {
		part := journalPart{i*room + int64(r.below(int(room-length+1))), make([]byte, length)}
		if _, err := f.ReadAt(part.Bytes, part.Offset); err != nil {
			return err
		}
		e.Before = append(e.Before, part)
	}
	if err := writeJournal(c.Dir, &journal{[]journalEntry{e}}); err != nil {
		return err
	}
	p := make([]byte, length)
	for _, part := range e.Before {
		r.fill(p)
		if _, err := f.WriteAt(p, part.Offset); err != nil {
			return err
		}
	}
	return errors.Join(f.Close(), e.touch(c.path(e.Name)))
}

// touch makes the file a day newer than it was, whenever that is done.
func (e *journalEntry) touch(name string) error {
	t := e.Modified.Add(24 * time.Hour)
	return os.Chtimes(name, t, t)
}

func (c *Corpus) path(name string) string { return filepath.Join(c.Dir, filepath.FromSlash(name)) }

func (c *Corpus) entry(name string) (journalEntry, error) {
	fi, err := os.Stat(c.path(name))
	if err != nil {
		return journalEntry{}, err
	}
	return journalEntry{Name: name, Size: fi.Size(), Modified: fi.ModTime()}, nil
}

func writeJournal(dir string, j *journal) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	part := journalFile(dir) + ".part"
	if err := os.WriteFile(part, b, 0o644); err != nil {
		return err
	}
	return os.Rename(part, journalFile(dir))
}

// Undo puts the corpus back to what Make made.
func (c *Changed) Undo() error { return undo(c.dir) }

func undo(dir string) error {
	b, err := os.ReadFile(journalFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var j journal
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("%s: %w", journalFile(dir), err)
	}
	for _, e := range j.Files {
		if err := e.undo(filepath.Join(dir, filepath.FromSlash(e.Name))); err != nil {
			return err
		}
	}
	return os.Remove(journalFile(dir))
}

func (e *journalEntry) undo(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, part := range e.Before {
		if _, err := f.WriteAt(part.Bytes, part.Offset); err != nil {
			return err
		}
	}
	if err := f.Truncate(e.Size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Chtimes(name, e.Modified, e.Modified)
}
