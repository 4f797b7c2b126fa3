package durable

import (
	"errors"
	"io/fs"
	"os"
)

// publishByLink gives a file a second name, which fails if the name is taken,
// and then removes the first. A file system without hard links is left with
// looking before renaming; two writers of one name can then both succeed, and
// the later one's file stays. As a name is the hash of the content, or that of
// a config which is written once, both files say the same.
func publishByLink(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return os.Remove(from)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, serr := os.Lstat(to); serr == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
