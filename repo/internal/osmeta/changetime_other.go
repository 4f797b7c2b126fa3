//go:build !linux

package osmeta

// ReliableChangeTime is not known on this system.
func (d *Folder) ReliableChangeTime() bool { return false }
