package osmeta

import (
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

// OutFile is a regular file that is open for writing while it is restored. It is
// a bare descriptor: restoring a small file takes so few system calls that an
// os.File around them would be a good part of the cost.
type OutFile struct {
	fd   int
	name string
	// given is what the system has given the file when it was made; nil for
	// a file that was there already, of which nothing is known.
	given    *birth
	mode     uint32 // permission bits after making it; valid with given
	reserved bool
}

// born is what is known of new files in a [Dir]; nil before there was one.
type born = atomic.Pointer[birth]

// birth is what a new file of a directory gets from the system, whoever
// decides that: set-group-ID bits, mount options, default access lists,
// security modules.
type birth struct {
	uid, gid   uint32
	attributes bool // it has extended attributes at once
}

// Create makes the file n.Name, which must not exist. Until Finish nobody has
// more rights on it than n gives: the mode is that of n from the beginning
// only where owner and attributes are known to be right at once, which the
// first file of a directory shows.
func (d *Dir) Create(n *tree.Node, opts *ApplyOptions) (*OutFile, error) {
	if err := tree.CheckName(n.Name); err != nil {
		return nil, err
	}
	mode := uint32(0o600)
	known := d.born.Load()
	if known != nil && !known.attributes && len(n.ExtendedAttributes) == 0 {
		if uid, gid := opts.Owner.owner(n); uid == known.uid && gid == known.gid {
			mode |= uint32(n.Mode.Perm())
		}
	}
	fd, err := openAt(d.fd(), n.Name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode)
	if err != nil {
		return nil, err
	}
	f := &OutFile{fd: fd, name: n.Name}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, f.fail("stat", err)
	}
	f.mode = st.Mode & 0o7777
	if known != nil && known.uid == st.Uid && known.gid == st.Gid {
		f.given = known
		return f, nil
	}
	names, err := listXattrNames(xattrTarget{fd: fd})
	f.given = &birth{uid: st.Uid, gid: st.Gid, attributes: err != nil || len(names) > 0}
	d.born.Store(f.given)
	return f, nil
}

// OpenForUpdate opens a regular file that exists, to write to it. Its
// length stays as it is.
func (d *Dir) OpenForUpdate(name string) (*OutFile, error) {
	if err := tree.CheckName(name); err != nil {
		return nil, err
	}
	fd, err := openAt(d.fd(), name, unix.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := &OutFile{fd: fd, name: name}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errReplaced
	}
	if err != nil {
		unix.Close(fd)
		return nil, f.fail("open", err)
	}
	return f, nil
}

// openAt opens an entry of a directory, never a link's target.
func openAt(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// again repeats a call that a signal interrupts.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f *OutFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// Size returns the file's length in bytes.
func (f *OutFile) Size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, f.fail("stat", err)
	}
	return st.Size, nil
}

// Truncate sets the length of the file, in bytes.
func (f *OutFile) Truncate(size int64) error {
	if err := again(func() error { return unix.Ftruncate(f.fd, size) }); err != nil {
		return f.fail("truncate", err)
	}
	return nil
}

// Preallocate gives a new file its length and reserves the space, if the file
// system can. A full disk shows here, before anything is written.
func (f *OutFile) Preallocate(size int64) error {
	if size == 0 {
		return nil
	}
	err := again(func() error { return unix.Fallocate(f.fd, 0, 0, size) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return f.Truncate(size)
	}
	f.reserved = err == nil
	return step("reserve space", err)
}

// Reserved reports whether Preallocate has reserved the space, which reads as
// zeros until it is written.
func (f *OutFile) Reserved() bool { return f.reserved }

// WriteAt implements io.WriterAt.
func (f *OutFile) WriteAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], offset+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return done, f.fail("write", err)
		}
		done += n
	}
	return done, nil
}

// Close closes the file without giving it metadata.
func (f *OutFile) Close() error {
	if err := unix.Close(f.fd); err != nil && !errors.Is(err, unix.EINTR) {
		return f.fail("close", err)
	}
	return nil
}

// Finish gives the file, an entry of d, the metadata of n as [Dir.Apply]
// does, but for what it has from the beginning, and closes it.
func (d *Dir) Finish(f *OutFile, n *tree.Node, opts *ApplyOptions) error {
	return errors.Join(step("metadata", f.apply(n, opts)), f.Close())
}

func (f *OutFile) apply(n *tree.Node, opts *ApplyOptions) error {
	var errs []error
	touched := f.given == nil // the mode may be another than f.mode
	if uid, gid := opts.Owner.owner(n); f.given == nil || f.given.uid != uid || f.given.gid != gid {
		errs = append(errs, opts.ownerError(unix.Fchown(f.fd, int(uid), int(gid))))
		touched = true
	}
	if f.given == nil || f.given.attributes || len(n.ExtendedAttributes) > 0 {
		errs = append(errs, step("extended attributes", applyXattrs(xattrTarget{fd: f.fd}, n, opts)))
		touched = true
	}
	errs = append(errs, step("times", f.setTimes(n)))
	if mode := permissions(n.Mode); touched || mode != f.mode {
		errs = append(errs, step("mode", unix.Fchmod(f.fd, mode)))
	}
	return errors.Join(errs...)
}

// setTimes is futimens, which x/sys/unix lacks: the call takes no path then,
// and none is looked up.
func (f *OutFile) setTimes(n *tree.Node) error {
	times := [2]unix.Timespec{timespec(n.AccessTime), timespec(n.ModTime)}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// permissions returns the mode bits that the kernel's chmod takes.
func permissions(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		mode |= unix.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		mode |= unix.S_ISVTX
	}
	return mode
}
