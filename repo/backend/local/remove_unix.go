//go:build !windows

package local

import "os"

func remove(path string) error { return os.Remove(path) }
