// Package backend says what garner needs of a place that stores a repository:
// six methods that save, load and list whole files by name. The drivers are
// in the packages below this one; layer wraps any of them with retries, and
// backendtest checks any of them against the contract written here.
//
// A backend knows nothing of what it stores. It does not look into files and
// does not check that a name fits the content.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// FileType is the folder of a repository that a file belongs to.
type FileType uint8

const (
	// ConfigFile is the one file named "config"; its Handle has no name.
	ConfigFile FileType = iota + 1
	KeyFile
	LockFile
	SnapshotFile
	IndexFile
	PackFile
	// ExtensionFile is a file of garner that restic does not know, in a
	// folder that restic does not look into. Nothing in a repository depends
	// on such files. A driver for a storage with fixed folders returns an
	// error that wraps errors.ErrUnsupported.
	ExtensionFile
)

// FileTypes returns the types of every repository, in the order in which it
// is made.
func FileTypes() []FileType {
	return []FileType{KeyFile, PackFile, IndexFile, SnapshotFile, LockFile, ConfigFile}
}

// String returns the name of the folder: "config", "keys", "locks",
// "snapshots", "index", "data" or "garner".
func (t FileType) String() string {
	switch t {
	case ConfigFile:
		return "config"
	case KeyFile:
		return "keys"
	case LockFile:
		return "locks"
	case SnapshotFile:
		return "snapshots"
	case IndexFile:
		return "index"
	case PackFile:
		return "data"
	case ExtensionFile:
		return "garner"
	}
	return fmt.Sprintf("invalid(%d)", uint8(t))
}

// Handle names a file.
type Handle struct {
	Type FileType
	// Name is 64 lower-case hexadecimal digits, or empty for ConfigFile.
	Name string
	// Metadata marks a pack that holds trees. It is a hint for caches and
	// does not take part in finding the file.
	Metadata bool
}

// String returns the path below the repository, "snapshots/<name>", as
// messages show it.
func (h Handle) String() string {
	if h.Type == ConfigFile {
		return "config"
	}
	return h.Type.String() + "/" + h.Name
}

// FileInfo describes a stored file.
type FileInfo struct {
	Name string // as in Handle.Name
	Size int64  // bytes
}

// Content is what Save stores: bytes of a known number that can be read more
// than once, so that a failed attempt can be repeated. *io.SectionReader is a
// Content. One that is an io.WriterTo writes all of itself at each call, from
// the start; drivers may use that to spare a copy.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Bytes is a Content in memory.
type Bytes []byte

// Size returns the number of bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }

// WriteTo implements io.WriterTo.
func (b Bytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// ReadAt implements io.ReaderAt.
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Backend stores files. All methods are safe for concurrent use and stop
// with ctx.Err() soon after ctx is done.
type Backend interface {
	// Save stores all of content under h. When it returns nil the file is
	// durable and complete, and visible under its name; a reader never sees a
	// part of it. If a file of that name exists, Save changes nothing and
	// returns an error that matches ErrExist.
	Save(ctx context.Context, h Handle, content Content) error

	// Load reads length bytes from offset on; a negative length means up to
	// the end of the file. It uses buf's capacity if that suffices, whatever
	// its length, and returns the bytes read. It returns all the bytes asked
	// for or an error: ErrNotExist if there is no such file, ErrShortFile if
	// the file ends before offset+length.
	Load(ctx context.Context, h Handle, offset int64, length int, buf []byte) ([]byte, error)

	// Stat returns name and size, or ErrNotExist.
	Stat(ctx context.Context, h Handle) (FileInfo, error)

	// List yields the files of a type, in no particular order. Files whose
	// name is not 64 lower-case hexadecimal digits are left out; a folder
	// that does not exist is empty. The sequence ends after an error.
	List(ctx context.Context, t FileType) iter.Seq2[FileInfo, error]

	// Remove deletes a file, or returns ErrNotExist.
	Remove(ctx context.Context, h Handle) error

	// Close releases what the backend holds; no method may be called after.
	Close() error
}

// The errors that callers act on. Drivers return errors that wrap one of
// these, and add what was being done with which file.
var (
	// ErrNotExist means that there is no file of that name.
	ErrNotExist = errors.New("file does not exist")
	// ErrExist means that Save found the name taken.
	ErrExist = errors.New("file exists already")
	// ErrShortFile means that a file has fewer bytes than were asked for: it
	// is truncated.
	ErrShortFile = errors.New("file is too short")
)

// PermanentError wraps an error that trying again can't mend, like missing
// permission or a full disk.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// IsPermanent reports whether trying again is useless.
func IsPermanent(err error) bool {
	var p *PermanentError
	return errors.Is(err, ErrNotExist) || errors.Is(err, ErrExist) || errors.Is(err, ErrShortFile) ||
		errors.Is(err, context.Canceled) || errors.As(err, &p)
}

// Initializer is implemented by backends that have something to prepare, like
// folders, before the first Save of a new repository. Create must succeed if
// everything is there already.
type Initializer interface {
	Create(ctx context.Context) error
}

// Connector is implemented by backends that say how many requests are useful
// at the same time.
type Connector interface {
	Connections() int // at least 1
}

// Connections returns how many requests b can serve at the same time: what
// its Connector says, else 5.
func Connections(b Backend) int {
	if c, ok := As[Connector](b); ok {
		return max(1, c.Connections())
	}
	return 5
}

// Requester is implemented by backends that say what a request costs.
type Requester interface {
	RequestCost() int // in bytes that would be transferred in the same time
}

// RequestCost returns how many bytes b could load in the time that a request
// costs apart from them: what its Requester says, else 1 MiB, as for a server
// on the net. Callers weigh it against reading what they do not need, and
// against memory.
func RequestCost(b Backend) int {
	if r, ok := As[Requester](b); ok {
		return r.RequestCost()
	}
	return 1 << 20
}

// Lister is implemented by backends that can say that their lists are
// coherent: a List that begins after a Save has returned, by whichever
// program on whichever machine, yields the file.
type Lister interface {
	ListsCoherently() bool
}

// ListsCoherently reports whether lists of b are known to be coherent. Shares
// of a network, and whatever keeps copies of lists, are not.
func ListsCoherently(b Backend) bool {
	l, ok := As[Lister](b)
	return ok && l.ListsCoherently()
}

// Spooler is implemented by backends to which a file can be written piece by
// piece before its name is known: what Spool returns needs no copy when it is
// the content of a Save, and no memory until then. An error that matches
// errors.ErrUnsupported means that the storage can't do it after all.
type Spooler interface {
	Spool() (Spool, error)
}

// Spool is content that grows by Write until it is stored. A crash leaves
// nothing of it, and so does Close, unless it was stored.
type Spool interface {
	Content
	io.WriteCloser
}

// Replacer is implemented by backends that can overwrite a file atomically;
// only the config is ever replaced.
type Replacer interface {
	Replace(ctx context.Context, h Handle, content Content) error
}

// Wrapper is implemented by backends that wrap another one.
type Wrapper interface {
	Unwrap() Backend
}

// As returns the first backend of the chain that begins with b, wrapped in
// wrapped, that implements an optional interface. Layers implement such an
// interface themselves only if they have to do something at its calls.
func As[T any](b Backend) (T, bool) {
	for b != nil {
		if t, ok := b.(T); ok {
			return t, true
		}
		w, ok := b.(Wrapper)
		if !ok {
			break
		}
		b = w.Unwrap()
	}
	var none T
	return none, false
}
