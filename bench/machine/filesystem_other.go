//go:build !linux

package machine

// fileSystem returns nothing: only Linux is asked.
func fileSystem(string) string { return "" }
