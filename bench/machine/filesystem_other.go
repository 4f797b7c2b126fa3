//go:build !linux

package machine

// fileSystem returns nothing: only Linux is asked.
func fileSystem(string) string { return "" }

// Free is not known on this system.
func Free(string) (int64, bool) { return 0, false }
