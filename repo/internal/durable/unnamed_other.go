//go:build !linux

package durable

import (
	"errors"
	"io/fs"
	"os"
)

// Unnamed is not possible on this system.
func Unnamed(dir string, _ fs.FileMode) (*os.File, error) {
	return nil, &fs.PathError{Op: "make unnamed file", Path: dir, Err: errors.ErrUnsupported}
}

func link(_ *os.File, to string) error {
	return &os.LinkError{Op: "link", New: to, Err: errors.ErrUnsupported}
}
