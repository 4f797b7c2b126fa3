//go:build !linux

package osmeta

import (
	"fmt"
	"os"
)

// Privileges describes the effective user.
func Privileges() string { return fmt.Sprintf("user %d", os.Geteuid()) }
