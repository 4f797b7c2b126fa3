package restore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
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
	rs.makeDir(f.dir)
	if f.dir.err != nil {
		return false, f.dir.err
	}
	if f.dir.missing {
		return rs.prepareNew(f)
	}
	if f.dir.fresh() {
		// Making the file will tell if there is something after all.
		f.unseen = true
		return rs.prepareNew(f)
	}
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return false, err
	}
	defer rs.dirs.release(f.dir)
	info, err := in.Lstat(f.node.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rs.prepareNew(f)
	case err != nil:
		return false, err
	case rs.leaves(f, info):
		f.skipped = true
		rs.skippedBytes(f.size)
		rs.done(f.path, Unchanged, f.size)
		return false, nil
	case !writable(info):
		if !rs.opts.DryRun {
			if err := in.Remove(f.node.Name); err != nil {
				return false, err
			}
		}
		return rs.prepareNew(f)
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

// writable reports whether an existing item can become a file by writing to
// it. Writing to a file with other names would change those too.
func writable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && osmeta.LinkCount(info) <= 1
}

func (rs *restorer) prepareNew(f *file) (bool, error) {
	if rs.opts.DryRun {
		rs.wrote(f.size)
		rs.done(f.path, Restored, f.size)
		return false, nil
	}
	if len(f.node.Content) > 0 {
		return true, nil
	}
	done, err := rs.writeWhole(f, nil)
	if done {
		return false, nil
	}
	if err == nil {
		_, err = rs.open(f)
	}
	if err == nil {
		f.written.Store(1) // counts as updated: it may have been cut
		rs.files.release(f)
	}
	if err != nil && err != errLeft {
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
		if _, err := rs.open(f); err != nil {
			return false, err
		}
		f.written.Store(1) // counts as updated: it is cut or made longer
		rs.files.release(f)
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

// startFile makes a new file.
func (rs *restorer) startFile(f *file, in *osmeta.Dir) (*osmeta.OutFile, error) {
	file, err := in.Create(f.node, rs.apply)
	if err != nil {
		return nil, err
	}
	f.state = fileStarted
	switch {
	case rs.opts.Sparse:
		err = file.Truncate(f.size)
	case len(f.node.Content) > 1:
		err = file.Preallocate(f.size)
		f.zeros = file.Reserved()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openExisting opens a file that is to be updated, and gives it the right
// length.
func (rs *restorer) openExisting(f *file, in *osmeta.Dir) (*osmeta.OutFile, error) {
	file, err := in.OpenForUpdate(f.node.Name)
	if errors.Is(err, fs.ErrPermission) {
		// A read-only file of the user's own; it gets its mode in the end.
		if err := in.Chmod(f.node.Name, 0o600); err != nil {
			return nil, err
		}
		file, err = in.OpenForUpdate(f.node.Name)
	}
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err == nil && size != f.size {
		err = file.Truncate(f.size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// writeWhole makes a new file with all its content and its metadata. Where
// something is found in its place, it is not done without an error.
func (rs *restorer) writeWhole(f *file, plain []byte) (done bool, err error) {
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return false, err
	}
	defer rs.dirs.release(f.dir)
	file, err := in.Create(f.node, rs.apply)
	if err != nil {
		if f.unseen && errors.Is(err, fs.ErrExist) {
			err = nil
		}
		return false, err
	}
	f.state, f.left = fileStarted, 0
	if _, err = file.WriteAt(plain, 0); err != nil {
		file.Close()
	} else {
		rs.wrote(int64(len(plain)))
		err = in.Finish(file, f.node, rs.apply)
	}
	if err != nil {
		f.err = err
		rs.fail(f.path, err)
	} else {
		rs.done(f.path, Restored, f.size)
	}
	return true, nil
}

func (rs *restorer) writeBlob(f *file, offset int64, plain []byte) error {
	file, err := rs.open(f)
	if err != nil {
		return err
	}
	switch {
	case f.zeros && isZero(plain):
		// The space is reserved, and reads as zeros.
	case rs.opts.Sparse && f.state == fileStarted:
		err = writeSparse(file, offset, plain)
	default:
		_, err = file.WriteAt(plain, offset)
	}
	rs.files.release(f)
	if err != nil {
		return err
	}
	f.written.Add(int64(len(plain)))
	rs.wrote(int64(len(plain)))
	return nil
}

// isZero reports whether p is all zeros.
func isZero(p []byte) bool {
	// Comparing p with itself, one byte on, takes one pass without another buffer.
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// sparseUnit is the granularity of holes: the block size of common file
// systems.
const sparseUnit = 4096

// writeSparse writes plain but for the blocks that are all zero. The file has
// its full length already, and holes everywhere.
func writeSparse(file io.WriterAt, offset int64, plain []byte) error {
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

// finishFile gives a file its metadata, and closes it in any case. The first
// error of the file is returned.
func (rs *restorer) finishFile(f *file) error {
	file := rs.files.claim(f)
	if f.err != nil || f.skipped {
		if file != nil {
			file.Close()
		}
		return f.err
	}
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		if file != nil {
			file.Close()
		}
		return err
	}
	defer rs.dirs.release(f.dir)
	if file == nil {
		return rs.applyTo(in, f.node)
	}
	return in.Finish(file, f.node, rs.apply)
}

func (rs *restorer) applyTo(in *osmeta.Dir, n *tree.Node) error {
	if err := in.Apply(n.Name, n, rs.apply); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}
