package restore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/internal/osmeta"
)

// prepare looks at what is in a file's place and reports whether blobs have
// to be written. A file that needs none is complete when it returns.
func (rs *restorer) prepare(f *file) bool {
	need, err := rs.prepareFile(f)
	if err != nil {
		f.skipped = true
		rs.fail(f.path, err)
	}
	return need && err == nil
}

func (rs *restorer) prepareFile(f *file) (bool, error) {
	if f.dir.err != nil {
		return false, f.dir.err
	}
	if f.dir.missing {
		return rs.prepareNew(f, nil)
	}
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return false, err
	}
	defer rs.dirs.release(f.dir)
	info, err := in.Lstat(f.node.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rs.prepareNew(f, in)
	case err != nil:
		return false, err
	case rs.leaves(f, info):
		f.skipped = true
		rs.skippedBytes(f.size)
		rs.done(f.path, Unchanged, f.size)
		return false, nil
	case !info.Mode().IsRegular() || osmeta.LinkCount(info) > 1:
		// Writing to a file with other names would change those too.
		if !rs.opts.DryRun {
			if err := in.Remove(f.node.Name); err != nil {
				return false, err
			}
		}
		return rs.prepareNew(f, in)
	}
	return rs.prepareExisting(f, in, info)
}

// leaves reports whether an existing item is to be left as it is.
func (rs *restorer) leaves(f *file, info fs.FileInfo) bool {
	switch rs.opts.Overwrite {
	case OverwriteNever:
		return true
	case OverwriteIfNewer:
		return !f.node.ModTime.After(info.ModTime())
	}
	return false
}

func (rs *restorer) prepareNew(f *file, in *osmeta.Dir) (bool, error) {
	if rs.opts.DryRun {
		rs.wrote(f.size)
		rs.done(f.path, Restored, f.size)
		return false, nil
	}
	if len(f.node.Content) > 0 {
		return true, nil
	}
	file, err := rs.startFile(f, in)
	if err != nil {
		return false, err
	}
	if err := file.Close(); err != nil {
		return false, err
	}
	rs.completeFile(f)
	return false, nil
}

// prepareExisting compares an existing file with the snapshot's, so that only
// what differs is written.
func (rs *restorer) prepareExisting(f *file, in *osmeta.Dir, info fs.FileInfo) (bool, error) {
	f.state = fileExisting
	same := info.Size() == f.size
	if rs.opts.Overwrite == OverwriteIfChanged && same && info.ModTime().Equal(f.node.ModTime) {
		rs.skippedBytes(f.size)
		f.left = 0
	} else if err := rs.comparePresent(f, in); err != nil {
		return false, err
	}
	switch {
	case rs.opts.DryRun:
		return false, rs.pretendUpdate(f, same)
	case f.left > 0:
		return true, nil
	case !same:
		file, err := rs.openExisting(f, in)
		if err != nil {
			return false, err
		}
		f.written.Store(1) // counts as updated: it is cut or made longer
		if err := file.Close(); err != nil {
			return false, err
		}
	}
	rs.completeFile(f)
	return false, nil
}

func (rs *restorer) pretendUpdate(f *file, same bool) error {
	action := Unchanged
	for i := range f.node.Content {
		if f.left > 0 && !f.present[i] {
			n, _ := rs.repo.Index().PlaintextLength(dataHandle(f.node.Content[i]))
			rs.wrote(int64(n))
			action = Updated
		}
	}
	if !same {
		action = Updated
	}
	rs.done(f.path, action, f.size)
	return nil
}

// comparePresent sets f.present for the blobs that the existing file has at
// the right place, and f.left to the number of the others.
func (rs *restorer) comparePresent(f *file, in *osmeta.Dir) error {
	f.present = make([]bool, len(f.node.Content))
	file, err := in.OpenFile(f.node.Name, os.O_RDONLY|osmeta.NoFollow, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil // it is written in full then
	}
	if err != nil {
		return err
	}
	defer file.Close()
	var buf []byte
	for i, id := range f.node.Content {
		n, _ := rs.repo.Index().PlaintextLength(dataHandle(id))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := file.ReadAt(buf[:n], f.offset(i)); err != nil {
			break // shorter, or unreadable: the rest is written
		}
		if crypto.Hash(buf[:n]) == id {
			f.present[i] = true
			f.left--
			rs.skippedBytes(int64(n))
		}
	}
	return nil
}

// startFile makes a new file. The mode is narrow until the file has its owner.
func (rs *restorer) startFile(f *file, in *osmeta.Dir) (*os.File, error) {
	file, err := in.OpenFile(f.node.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|osmeta.NoFollow, 0o600)
	if err != nil {
		return nil, err
	}
	f.state = fileStarted
	if len(f.node.Content) < 2 && !rs.opts.Sparse {
		return file, nil
	}
	if rs.opts.Sparse {
		err = file.Truncate(f.size)
	} else {
		err = osmeta.Preallocate(file, f.size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openExisting opens a file that is to be updated, and gives it the right
// length.
func (rs *restorer) openExisting(f *file, in *osmeta.Dir) (*os.File, error) {
	flags := os.O_WRONLY | osmeta.NoFollow
	file, err := in.OpenFile(f.node.Name, flags, 0)
	if errors.Is(err, fs.ErrPermission) {
		// A read-only file of the user's own; it gets its mode in the end.
		if err := in.Chmod(f.node.Name, 0o600); err != nil {
			return nil, err
		}
		file, err = in.OpenFile(f.node.Name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errIrregular
	case info.Size() != f.size:
		err = file.Truncate(f.size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openForWriting returns the file, making it if this is the first blob.
func (rs *restorer) openForWriting(f *file, in *osmeta.Dir) (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.state {
	case fileNew:
		return rs.startFile(f, in)
	case fileExisting:
		return rs.openExisting(f, in)
	}
	return in.OpenFile(f.node.Name, os.O_WRONLY|osmeta.NoFollow, 0)
}

func (rs *restorer) writeBlob(f *file, offset int64, plain []byte) error {
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return err
	}
	defer rs.dirs.release(f.dir)
	file, err := rs.openForWriting(f, in)
	if err != nil {
		return err
	}
	if rs.opts.Sparse && f.state == fileStarted {
		err = writeSparse(file, offset, plain)
	} else {
		_, err = file.WriteAt(plain, offset)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	f.written.Add(int64(len(plain)))
	rs.wrote(int64(len(plain)))
	return nil
}

// sparseUnit is the granularity of holes: the block size of common file
// systems.
const sparseUnit = 4096

// writeSparse writes plain but for the blocks that are all zero. The file has
// its full length already, and holes everywhere.
func writeSparse(file *os.File, offset int64, plain []byte) error {
	var zeros [sparseUnit]byte
	for len(plain) > 0 {
		hole := 0
		for hole < len(plain) {
			n := min(sparseUnit-int((offset+int64(hole))%sparseUnit), len(plain)-hole)
			if !bytes.Equal(plain[hole:hole+n], zeros[:n]) {
				break
			}
			hole += n
		}
		offset, plain = offset+int64(hole), plain[hole:]
		data := 0
		for data < len(plain) {
			n := min(sparseUnit-int((offset+int64(data))%sparseUnit), len(plain)-data)
			if bytes.Equal(plain[data:data+n], zeros[:n]) {
				break
			}
			data += n
		}
		if _, err := file.WriteAt(plain[:data], offset); err != nil {
			return err
		}
		offset, plain = offset+int64(data), plain[data:]
	}
	return nil
}

func (rs *restorer) finishFile(f *file) error {
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return err
	}
	defer rs.dirs.release(f.dir)
	if err := in.Apply(f.node.Name, f.node, rs.applyOptions()); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

func (rs *restorer) applyOptions() *osmeta.ApplyOptions {
	return &osmeta.ApplyOptions{Owner: rs.owner, SelectXattr: rs.opts.SelectXattr}
}
