//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// CheckSupport returns ErrUnsupported where Serve can't work.
func CheckSupport() error { return nil }

// What is in a snapshot never changes, so the kernel may remember it. Above,
// it asks again after a second.
const (
	treeTimeout = 24 * time.Hour
	topTimeout  = time.Second
)

// Serve mounts the View on the folder dir and returns when it is unmounted:
// by somebody else, or because ctx or the View's own context is done. The
// error is that of mounting or unmounting, or ErrBusy.
func (v *View) Serve(ctx context.Context, dir string, opts *ServeOptions) error {
	if opts == nil {
		opts = &ServeOptions{}
	}
	m := &mounted{View: v}
	server, err := fusefs.Mount(dir, &folderNode{view: m}, v.fuseOptions(opts))
	if err != nil {
		return fmt.Errorf("mount on %s: %w", dir, err)
	}
	m.unopened.Store(server.KernelSettings().Flags64()&fuse.CAP_NO_OPEN_SUPPORT != 0)
	if err := server.WaitMount(); err != nil {
		return errors.Join(fmt.Errorf("mount on %s: %w", dir, err), server.Unmount())
	}
	raiseReadAhead(dir)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Wait()
	}()
	if opts.Ready != nil {
		opts.Ready()
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	case <-v.ctx.Done():
	}
	err = server.Unmount()
	if err == nil {
		<-ended
		return nil
	}
	select {
	case <-ended: // somebody else was faster
		return nil
	default:
	}
	// Left as it is, the folder would hang or fail until somebody unmounts it.
	if lazy := detach(dir); lazy != nil {
		return fmt.Errorf("unmount %s: %w", dir, errors.Join(err, lazy))
	}
	return fmt.Errorf("unmount %s: %w", dir, ErrBusy)
}

// detachTimeout bounds how long the helper that unmounts may take.
const detachTimeout = 10 * time.Second

// runHelper runs the first of several commands that is there.
func runHelper(commands ...[]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), detachTimeout)
	defer cancel()
	for _, c := range commands {
		path, err := exec.LookPath(c[0])
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, c[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
		return nil
	}
	return errors.New("no program to unmount with was found")
}

func (v *View) fuseOptions(opts *ServeOptions) *fusefs.Options {
	negative := treeTimeout
	name := opts.Name
	if name == "" {
		name = "garner"
	}
	o := &fusefs.Options{
		NegativeTimeout: &negative,
		NullPermissions: true,
		RootStableAttr:  &fusefs.StableAttr{Ino: fuse.FUSE_ROOT_ID},
		MountOptions: fuse.MountOptions{
			FsName:        name,
			Name:          "garner",
			AllowOther:    opts.AllowOther,
			Options:       []string{"ro"},
			MaxWrite:      maxRequest,
			MaxReadAhead:  maxRequest,
			MaxBackground: 64,
			DisableSplice: true, // nothing comes out of files
			Logger:        slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		},
	}
	if opts.AllowOther && !opts.NoDefaultPermissions {
		o.MountOptions.Options = append(o.MountOptions.Options, "default_permissions")
	}
	direct(&o.MountOptions)
	return o
}

// maxRequest is the most that the kernel may ask for at once, in bytes.
const maxRequest = 1 << 20

// lookHelper reports whether one of FUSE's helpers is installed.
func lookHelper(names ...string) bool {
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
		if _, err := os.Stat("/bin/" + name); err == nil {
			return true
		}
	}
	return false
}
