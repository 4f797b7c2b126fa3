package source

import (
	"fmt"

	"github.com/garner-backup/garner/repo/internal/osmeta"
)

// Circumstances describes, beside the files, what their metadata depends on:
// who reads it, with which privileges. Some attributes are shown to root only.
func Circumstances() string {
	return fmt.Sprintf("privileges %s", osmeta.Privileges())
}
