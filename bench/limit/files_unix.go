//go:build unix

package limit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// allocated returns how many bytes of a file are not in holes, at most.
func allocated(fi fs.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return min(fi.Size(), int64(st.Blocks)*512)
	}
	return fi.Size()
}

const (
	someFiles   = 2000 // to create, and at most to open in a pass
	someFolders = 200  // at most to read in a pass
)

// every returns n of the list, or all, spread over it.
func every[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	some := make([]T, n)
	for i := range some {
		some[i] = list[i*len(list)/n]
	}
	return some
}

// statPass reads folders and looks at their entries.
func statPass(t *Tree) pass {
	folders := every(t.folders, someFolders)
	return timed(func() (n int64, err error) {
		for _, dir := range folders {
			k, err := statFolder(dir)
			if err != nil {
				return 0, err
			}
			n += k
		}
		return n, nil
	})
}

func statFolder(dir string) (n int64, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	for _, name := range names {
		if err := unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	return int64(len(names)), nil
}

// openPass opens files by their names in an open folder: a path through all
// folders takes longer. Neighbours are opened, which share a folder.
func openPass(t *Tree) pass {
	files := t.files[:min(len(t.files), someFiles)]
	return timed(func() (int64, error) {
		dir, opened := -1, ""
		defer func() { _ = unix.Close(dir) }() // a folder that was only looked at
		for _, x := range files {
			if in := filepath.Dir(x.path); in != opened {
				_ = unix.Close(dir)
				var err error
				if dir, err = unix.Open(in, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
					return 0, fmt.Errorf("%s: %w", in, err)
				}
				opened = in
			}
			if err := openFile(dir, filepath.Base(x.path)); err != nil {
				return 0, fmt.Errorf("%s: %w", x.path, err)
			}
		}
		return int64(len(files)), nil
	})
}

// openFile is what a file costs that is read, whatever its size.
func openFile(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	statErr := unix.Fstat(fd, &st)
	_, readErr := unix.Read(fd, make([]byte, 1))
	return errors.Join(statErr, readErr, unix.Close(fd))
}

const (
	block     = 1 << 20
	largeSize = 64 << 20
	packSize  = 16 << 20
)

// noise returns bytes that no file system makes smaller.
func noise(size int) []byte {
	p := make([]byte, size)
	x := uint64(88172645463325252)
	for i := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x)
	}
	return p
}

// fillPass writes a large file into the page cache.
func fillPass(path string) pass {
	p := noise(block)
	return func() (int64, time.Duration, error) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
		return timed(func() (int64, error) { return writeFile(path, p, largeSize, false) })()
	}
}

// writeFile writes size bytes of copies of p.
func writeFile(path string, p []byte, size int, sync bool) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	for n := 0; n < size && err == nil; n += len(p) {
		_, err = f.Write(p)
	}
	if sync && err == nil {
		err = f.Sync()
	}
	return int64(size), errors.Join(err, f.Close())
}

// readPass reads the large file from the page cache.
func readPass(path string) pass {
	p := make([]byte, block)
	return timed(func() (n int64, err error) {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		for {
			k, err := unix.Read(int(f.Fd()), p)
			n += int64(k)
			if err != nil || k == 0 {
				return n, err
			}
		}
	})
}

// writePass writes files of the size of packs onto the disk.
func writePass(dir string) pass {
	p := noise(block)
	number := 0
	return func() (int64, time.Duration, error) {
		number++
		path := filepath.Join(dir, fmt.Sprintf("pack-%d", number))
		n, took, err := timed(func() (int64, error) { return writeFile(path, p, packSize, true) })()
		return n, took, errors.Join(err, os.Remove(path))
	}
}

// createPass creates small files in a new folder, where they stay.
func createPass(dir string) pass {
	number := 0
	return func() (int64, time.Duration, error) {
		number++
		dir := fmt.Sprintf("%s-%d", dir, number)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return 0, 0, err
		}
		f, err := os.Open(dir)
		if err != nil {
			return 0, 0, err
		}
		defer f.Close()
		return timed(func() (int64, error) {
			for i := range someFiles {
				if err := createFile(int(f.Fd()), fmt.Sprintf("file-%d", i)); err != nil {
					return 0, err
				}
			}
			return someFiles, nil
		})()
	}
}

// createFile does what a restore does for a file, and as little as it can.
func createFile(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte{1})
	modeErr := unix.Fchmod(fd, 0o644)
	timeErr := unix.Futimes(fd, []unix.Timeval{{Sec: 1e9}, {Sec: 1e9}})
	return errors.Join(err, modeErr, timeErr, unix.Close(fd))
}
