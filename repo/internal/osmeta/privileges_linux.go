package osmeta

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Privileges describes the effective user and capabilities of this thread,
// which are those of the process: nothing here changes them.
func Privileges() string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Sprintf("user %d, capabilities unknown", os.Geteuid())
	}
	return fmt.Sprintf("user %d, capabilities %08x%08x", os.Geteuid(), caps[1].Effective, caps[0].Effective)
}
