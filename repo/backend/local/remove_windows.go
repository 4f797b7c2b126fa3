package local

import "os"

// remove deletes a file after making it writable: Windows keeps read-only
// files.
func remove(path string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}
