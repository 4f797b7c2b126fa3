package osmeta

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// minSparse is the size from which it pays to look for holes.
const minSparse = 1 << 20

// holes is where a reader is in a sparse file. What lies in a hole is not
// read: the kernel would fill its cache with zeros first.
type holes struct {
	offset int64 // of the next byte to be read
	end    int64 // of the hole or the data that offset is in; offset if not known
	hole   bool
}

// read is one attempt to read the next bytes of f.
func (f *File) read(p []byte) (int, error) {
	h := f.holes
	if h == nil {
		return unix.Read(f.fd, p)
	}
	if h.offset == h.end {
		err := h.next(f.fd)
		if errors.Is(err, errors.ErrUnsupported) {
			return f.readPlain(p)
		}
		if err != nil || h.offset == h.end {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), h.end-h.offset)]
	n := len(p)
	var err error
	if h.hole {
		clear(p)
	} else {
		n, err = unix.Pread(f.fd, p, h.offset)
	}
	h.offset += int64(max(n, 0))
	return n, err
}

// readPlain gives up telling holes.
func (f *File) readPlain(p []byte) (int, error) {
	offset := f.holes.offset
	f.holes = nil
	if _, err := unix.Seek(f.fd, offset, io.SeekStart); err != nil {
		return 0, err
	}
	return unix.Read(f.fd, p)
}

// next finds out whether offset is in a hole or in data, and where that ends.
// At the end of the file end stays offset.
func (h *holes) next(fd int) error {
	data, err := unix.Seek(fd, h.offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // no more data
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		h.hole, h.end = true, max(h.offset, st.Size)
		return nil
	case errors.Is(err, unix.EINVAL):
		return errors.ErrUnsupported
	case err != nil:
		return err
	case data > h.offset:
		h.hole, h.end = true, data
		return nil
	}
	end, err := unix.Seek(fd, h.offset, unix.SEEK_HOLE)
	switch {
	case errors.Is(err, unix.EINVAL), err == nil && end <= h.offset:
		return errors.ErrUnsupported
	case errors.Is(err, unix.ENXIO): // cut off meanwhile
		return nil
	case err != nil:
		return err
	}
	h.hole, h.end = false, end
	return nil
}

// tellsHoles reports whether the file is on a file system whose holes can be
// trusted to be holes. ZFS took data for holes that was not written out yet
// (OpenZFS issue 15526).
func tellsHoles(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}
