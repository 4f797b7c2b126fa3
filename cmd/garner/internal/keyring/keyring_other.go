//go:build !linux

package keyring

import (
	"errors"
	"time"
)

// Supported reports whether the system has such a keyring.
const Supported = false

func read(string) ([]byte, error) { return nil, errors.ErrUnsupported }

func write(string, []byte, time.Duration) error { return errors.ErrUnsupported }
