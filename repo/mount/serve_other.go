//go:build !linux && !darwin && !freebsd

package mount

import "context"

// Serve returns ErrUnsupported.
func (v *View) Serve(context.Context, string, *ServeOptions) error { return ErrUnsupported }

// CheckSupport returns ErrUnsupported.
func CheckSupport() error { return ErrUnsupported }
