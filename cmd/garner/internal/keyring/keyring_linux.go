package keyring

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Supported reports whether the system has such a keyring.
const Supported = true

const (
	keyType = "user"
	ring    = unix.KEY_SPEC_USER_KEYRING

	// permissions let the user's processes find and read an entry, and no
	// one else. The constants are those of keyctl(2): a byte each for the
	// possessor, the user, the group and others.
	permissions = 0x3f<<24 | (0x01|0x02|0x08)<<16
	// maxEntry is larger than any entry.
	maxEntry = 4096
)

// read returns an entry, or nil if there is none.
func read(description string) ([]byte, error) {
	id, err := unix.KeyctlSearch(ring, keyType, description, 0)
	if errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYEXPIRED) || errors.Is(err, unix.EKEYREVOKED) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxEntry)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
	if err != nil || n > len(buf) {
		return nil, err
	}
	return buf[:n], nil
}

// write makes an entry that the kernel removes after a while. Nobody can find
// it before it has its time limit and its permissions: it is made in a keyring
// of this process, and linked to the user's when it is complete.
func write(description string, entry []byte, lifetime time.Duration) error {
	id, err := unix.AddKey(keyType, description, entry, unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		return err
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, int(lifetime/time.Second), 0, 0); err != nil {
		return err
	}
	if err := unix.KeyctlSetperm(id, permissions); err != nil {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_LINK, id, ring, 0, 0)
	return err
}
