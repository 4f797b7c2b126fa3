package mount

import "errors"

// ServeOptions say how a View is mounted. Nil and the zero value are the
// defaults.
type ServeOptions struct {
	// Name is what the system's list of file systems shows; empty means
	// "garner".
	Name string
	// AllowOther lets other users than the one who mounts look at the files,
	// as far as the owners and modes in the snapshots let them. With
	// NoDefaultPermissions as well they see all.
	AllowOther           bool
	NoDefaultPermissions bool
	// Ready, if not nil, is called once the file system is mounted.
	Ready func()
}

// ErrUnsupported means that this system has no FUSE that Serve could use.
var ErrUnsupported = errors.New("mounting is not supported on this system")

// ErrBusy means that the file system was in use when it should have been
// unmounted. It is out of sight, and what still has files open in it gets
// errors.
var ErrBusy = errors.New("the folder was in use while it was unmounted")
