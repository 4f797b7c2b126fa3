package repo

import "os"

// processExists reports whether this host runs a process of that number.
// On Windows finding a process opens it, which fails for one that is gone.
func processExists(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = p.Release()
	return true
}
