// Package durable writes files such that they are on the disk, complete and
// under their name, when the call returns, and not there at all otherwise.
//
// The order of steps, each of which must have succeeded for the next:
//
//  1. create a temporary file in the target's own folder
//  2. write
//  3. fsync the file: its bytes are on the disk
//  4. give it the target's name, which must be free
//  5. make it read-only
//  6. fsync the folder: its name is on the disk
//
// A crash before 4 leaves a temporary file, whose name no reader takes for
// one of the repository's. After a failure the temporary file is removed.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Content is what is written: all of it, at its own size. If it is an
// io.WriterTo as well, WriteTo writes all of it at each call.
type Content interface {
	io.ReaderAt
	Size() int64
}

// System is the calls that Write makes. Tests replace some to fail at will.
type System struct {
	Create  func(path string, perm fs.FileMode) (File, error) // exclusively, for writing
	Publish func(from, to string) error                       // rename; fails with fs.ErrExist
	Link    func(f *os.File, to string) error                 // names a file without one; fails with fs.ErrExist
	Sync    func(f *os.File) error                            // of a file without a name, or that had none
	Replace func(from, to string) error                       // rename over what is there
	Remove  func(path string) error
	Chmod   func(path string, mode fs.FileMode) error
	SyncDir func(path string) error
}

// File is what Write needs of an open file.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// OS returns the calls of the operating system.
func OS() *System {
	return &System{
		Create: func(path string, perm fs.FileMode) (File, error) {
			return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
		},
		Publish: publish,
		Link:    link,
		Sync:    func(f *os.File) error { return f.Sync() },
		Replace: os.Rename,
		Remove:  os.Remove,
		Chmod:   os.Chmod,
		SyncDir: syncDir,
	}
}

// Modes are the permissions of a file while it is written and afterwards.
type Modes struct{ Write, Final fs.FileMode }

// Write stores content at path. If there is a file already, the error matches
// fs.ErrExist and nothing has changed; if the folder does not exist,
// fs.ErrNotExist.
func (s *System) Write(path string, content Content, modes Modes) error {
	return s.write(path, content, modes, s.Publish)
}

// Overwrite stores content at path, in place of what may be there. At any
// instant either the old or the new file is there.
func (s *System) Overwrite(path string, content Content, modes Modes) error {
	return s.write(path, content, modes, s.Replace)
}

// WriteUnnamed stores what was written to f, size bytes, which [Unnamed] has
// made on the file system of path, at path. The order of steps is that of
// Write, but for the mode, which is set before the name, and that the file is
// synced again when it has one: btrfs takes down nothing of a file without.
// Its errors are those of Write, and one that matches errors.ErrUnsupported if
// the file can't be given a name. After any other error f is of no use: the
// system tells of lost bytes once, and a second attempt would seem to succeed.
func (s *System) WriteUnnamed(path string, f *os.File, size int64, modes Modes) error {
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%s has %d bytes where %d were written", path, info.Size(), size)
	}
	if err != nil {
		return err
	}
	if err := s.syncOpen(f); err != nil {
		return err
	}
	if err := ignoring(f.Chmod(modes.Final), syscall.EPERM, syscall.ENOTSUP); err != nil {
		return err
	}
	if err := s.Link(f, path); err != nil {
		return err
	}
	if err := s.syncOpen(f); err != nil {
		return err
	}
	return s.SyncFolder(filepath.Dir(path))
}

func (s *System) syncOpen(f *os.File) error {
	return ignoring(s.Sync(f), syscall.ENOTSUP, syscall.ENOTTY)
}

func (s *System) write(path string, content Content, modes Modes, publish func(from, to string) error) (err error) {
	temp := path + "-tmp-" + strconv.FormatUint(uint64(rand.Uint32()), 10)
	f, err := s.Create(temp, modes.Write)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.Remove(temp) // gone already after publishing
		}
	}()
	err = copyTo(f, content)
	if err == nil {
		err = ignoring(f.Sync(), syscall.ENOTSUP, syscall.ENOTTY)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := publish(temp, path); err != nil {
		return err
	}
	// Some file systems have no modes or forbid changing them. That costs a
	// protection against accidents, not the file.
	if err := ignoring(s.Chmod(path, modes.Final), syscall.EPERM, syscall.ENOTSUP); err != nil {
		return err
	}
	return s.SyncFolder(filepath.Dir(path))
}

// SyncFolder makes the names in a folder durable, as far as the file system
// can: SMB and some FUSE file systems can't sync a folder.
func (s *System) SyncFolder(path string) error {
	return ignoring(s.SyncDir(path), syscall.ENOTSUP, syscall.ENOENT, syscall.EINVAL, syscall.ENOTTY)
}

// copyTo writes all of content.
func copyTo(f File, content Content) error {
	var n int64
	var err error
	if w, ok := content.(io.WriterTo); ok {
		n, err = w.WriteTo(f)
	} else {
		n, err = io.Copy(f, io.NewSectionReader(content, 0, content.Size()))
	}
	if err == nil && n != content.Size() {
		err = fmt.Errorf("wrote %d of %d bytes: %w", n, content.Size(), io.ErrShortWrite)
	}
	return err
}

// ignoring returns nil for the errors listed.
func ignoring(err error, harmless ...error) error {
	for _, h := range harmless {
		if errors.Is(err, h) {
			return nil
		}
	}
	return err
}
