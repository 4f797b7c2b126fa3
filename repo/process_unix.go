//go:build unix

package repo

import (
	"errors"
	"syscall"
)

// processExists reports whether this host runs a process of that number.
// Signal 0 is not delivered; it only asks. One that may not be signalled
// belongs to another user, and exists.
func processExists(pid int) bool {
	if pid <= 0 {
		return false // kill would take it for a group
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
