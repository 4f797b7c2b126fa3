//go:build !linux

package osmeta

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/repo/tree"
)

// Folder is an open directory whose entries are read. It is safe for
// concurrent use until Close. Entries are reached by path here.
type Folder struct {
	f    *os.File
	path string
}

// OpenFolder opens the directory at path; symbolic links are followed if
// follow is set, else a link at the end is refused.
func OpenFolder(path string, follow bool) (*Folder, error) {
	if !follow {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a directory")}
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &Folder{f, path}, nil
}

// Path returns the path that the folder was opened with.
func (d *Folder) Path() string { return d.path }

// Close closes the folder.
func (d *Folder) Close() error { return d.f.Close() }

// Names returns the names of all entries, in no particular order. It may be
// called once.
func (d *Folder) Names() ([]string, error) { return d.f.Readdirnames(-1) }

// Device returns the number of the file system that the folder is on.
func (d *Folder) Device() (uint64, error) {
	var n tree.Node
	err := Stat(d.path, true, &n)
	return n.DeviceID, err
}

// OpenFolder opens a directory in this one. A symbolic link is refused.
func (d *Folder) OpenFolder(name string) (*Folder, error) {
	return OpenFolder(filepath.Join(d.path, name), false)
}

// Lstat fills in an entry's type, mode, times, owner numbers, inode, device,
// size and links, as far as the system has them.
func (d *Folder) Lstat(name string, n *tree.Node) error {
	return Stat(filepath.Join(d.path, name), false, n)
}

// Stat fills in a path's metadata like Folder.Lstat, following symbolic links
// if follow is set.
func Stat(path string, follow bool, n *tree.Node) error {
	stat := os.Lstat
	if follow {
		stat = os.Stat
	}
	info, err := stat(path)
	if err != nil {
		return err
	}
	fillInfo(n, info)
	return nil
}

// fillInfo translates what every system tells; fillSys adds the rest.
func fillInfo(n *tree.Node, info fs.FileInfo) {
	n.Mode = info.Mode() & (fs.ModeType | fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	n.Type = typeOf(info.Mode())
	n.ModTime, n.AccessTime, n.ChangeTime = info.ModTime(), info.ModTime(), info.ModTime()
	n.Size = 0
	if n.Type == tree.TypeFile {
		n.Size = uint64(info.Size())
	}
	fillSys(n, info)
}

func typeOf(m fs.FileMode) tree.NodeType {
	switch {
	case m.IsRegular():
		return tree.TypeFile
	case m&fs.ModeDir != 0:
		return tree.TypeDir
	case m&fs.ModeSymlink != 0:
		return tree.TypeSymlink
	case m&fs.ModeCharDevice != 0:
		return tree.TypeCharDevice
	case m&fs.ModeDevice != 0:
		return tree.TypeDevice
	case m&fs.ModeNamedPipe != 0:
		return tree.TypeFifo
	case m&fs.ModeSocket != 0:
		return tree.TypeSocket
	}
	return ""
}

// Finish adds the target of a symbolic link. Extended attributes are not read
// on this system.
func (d *Folder) Finish(name string, n *tree.Node) error {
	return FinishPath(filepath.Join(d.path, name), n)
}

// FinishPath is Folder.Finish for a path.
func FinishPath(path string, n *tree.Node) error {
	if n.Type != tree.TypeSymlink {
		return nil
	}
	target, err := os.Readlink(path)
	n.LinkTarget = target
	return err
}

// File is a regular file that is being read.
type File struct{ *os.File }

// errIrregular tells of an entry that was a regular file when it was listed.
var errIrregular = errors.New("no longer a regular file")

// OpenFile opens a regular file and fills in its metadata anew.
func (d *Folder) OpenFile(name string, n *tree.Node) (*File, error) {
	return OpenFile(filepath.Join(d.path, name), n)
}

// OpenFile opens the regular file at path like Folder.OpenFile.
func OpenFile(path string, n *tree.Node) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|NoFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	fillInfo(n, info)
	return &File{f}, nil
}

// Finish adds nothing: extended attributes are not read on this system.
func (f *File) Finish(*tree.Node) error { return nil }
