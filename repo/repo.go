// Package repo opens a repository in the restic format and gives access to
// what is in it: keys, locks, blobs, indexes and snapshots. It stores and
// loads; what is done with a repository as a whole (backup, restore, check)
// is in the packages below this one.
//
// Start at [Init] and [Open]. Reading blobs needs [Repo.LoadIndex] first;
// writing them happens inside [Repo.Write], which makes everything durable in
// the right order; anything that changes a repository runs under
// [Repo.WithLock].
//
// The order in which files appear is the heart of crash safety: packs before
// the index that lists them, indexes before the snapshot that needs them. On
// the way out it is reversed. A crash between two steps leaves files that
// nobody refers to, and never a reference to a file that is not there.
package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
)

// The sizes that packs may aim for, in bytes.
const (
	DefaultPackSize = 16 << 20
	MinPackSize     = 4 << 20
	MaxPackSize     = 128 << 20
)

// Options say how a repository is used. The zero value and nil are the
// defaults.
type Options struct {
	// KeyHint is the beginning of the ID of the key to try first.
	KeyHint string
	// KeyCache, if not nil, spares deriving keys from passwords again.
	KeyCache KeyCache
	// Compression applies to new blobs.
	Compression Compression
	// PackSize is the size in bytes at which a pack is finished; zero is
	// DefaultPackSize.
	PackSize int
	// Verify says how new blobs are verified, in memory, before they are
	// stored. It finds damage by faulty memory or encoders.
	Verify Verification
	// TempDir takes temporary files for large objects; empty is the system's.
	TempDir string
	// Identity goes into locks and keys; nil is this process.
	Identity *Identity
}

// Identity tells other users of the repository who holds a lock or has made
// a key.
type Identity struct {
	Hostname string
	Username string
	PID      int
	UID, GID uint32
}

// currentIdentity describes this process. What the system does not tell
// stays empty: it is for people to read.
func currentIdentity() Identity {
	id := Identity{PID: os.Getpid()}
	id.Hostname, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		id.Username = u.Username
		if n, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			id.UID = uint32(n)
		}
		if n, err := strconv.ParseUint(u.Gid, 10, 32); err == nil {
			id.GID = uint32(n)
		}
	}
	return id
}

// Repo is an opened repository. Its methods are safe for concurrent use.
type Repo struct {
	be       backend.Backend
	key      *crypto.Key
	keyID    crypto.ID
	config   Config
	opts     Options
	identity Identity
	comp     *compressor
	scratch  scratchPool
	sample   sampler
	trees    *sync.Pool // of *[]byte, for trees being read

	index *index.Table // empty until LoadIndex

	lockMu sync.Mutex
	held   *heldLock // nil: this Repo holds no lock

	timing lockTiming
	now    func() time.Time
}

func newRepo(be backend.Backend, opts *Options) (*Repo, error) {
	r := &Repo{be: be, index: index.NewTable(), timing: defaultLockTiming(), now: time.Now, scratch: newScratchPool(), trees: newTreePool()}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.PackSize == 0 {
		r.opts.PackSize = DefaultPackSize
	}
	if r.opts.PackSize < MinPackSize || r.opts.PackSize > MaxPackSize {
		return nil, fmt.Errorf("pack size of %d bytes is not between %d and %d MiB", r.opts.PackSize, MinPackSize>>20, MaxPackSize>>20)
	}
	if r.opts.Identity != nil {
		r.identity = *r.opts.Identity
	} else {
		r.identity = currentIdentity()
	}
	r.comp = newCompressor(r.opts.Compression)
	return r, nil
}

// InitOptions say what a new repository is like; nil is the default.
type InitOptions struct {
	// Version of the format; zero is StableVersion.
	Version int
	// Polynomial of the chunker; zero chooses one at random. Two
	// repositories with the same polynomial cut files alike, so copies
	// between them find each other's blobs.
	Polynomial chunk.Pol
	// Options for the Repo that Init returns.
	Options *Options
}

// Init makes a repository: folders, then a key for password, then the config,
// whose presence makes it one. It returns [ErrRepositoryExists] if there is a
// config, a key or a snapshot already, and changes nothing then.
func Init(ctx context.Context, be backend.Backend, password string, opts *InitOptions) (*Repo, error) {
	if opts == nil {
		opts = &InitOptions{}
	}
	r, err := newRepo(be, opts.Options)
	if err != nil {
		return nil, err
	}
	r.config, err = newConfig(opts)
	if err != nil {
		return nil, err
	}
	if err := ensureVacant(ctx, be); err != nil {
		return nil, err
	}
	if init, ok := backend.As[backend.Initializer](be); ok {
		if err := init.Create(ctx); err != nil {
			return nil, fmt.Errorf("create repository: %w", err)
		}
	}
	r.key = crypto.NewKey()
	if r.keyID, err = r.AddKey(ctx, password, "", ""); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(r.config)
	if err != nil {
		return nil, err
	}
	sealed := r.key.Seal(nil, plain)
	if err := be.Save(ctx, backend.Handle{Type: backend.ConfigFile}, backend.Bytes(sealed)); err != nil {
		return nil, fmt.Errorf("save config: %w", err)
	}
	return r, nil
}

func newConfig(opts *InitOptions) (Config, error) {
	c := Config{Version: opts.Version, ID: crypto.RandomID(), ChunkerPolynomial: opts.Polynomial}
	if c.Version == 0 {
		c.Version = StableVersion
	}
	if c.Version < MinVersion || c.Version > MaxVersion {
		return c, fmt.Errorf("repository version %d is not supported, use %d to %d", c.Version, MinVersion, MaxVersion)
	}
	if c.ChunkerPolynomial == 0 {
		var err error
		if c.ChunkerPolynomial, err = chunk.RandomPol(); err != nil {
			return c, fmt.Errorf("chunker polynomial: %w", err)
		}
	}
	return c, nil
}

// ensureVacant refuses a location that holds a repository or what may be the
// rest of one: its keys are worth more than the convenience.
func ensureVacant(ctx context.Context, be backend.Backend) error {
	_, err := be.Stat(ctx, backend.Handle{Type: backend.ConfigFile})
	if err == nil {
		return fmt.Errorf("%w: config file found", ErrRepositoryExists)
	}
	if !errors.Is(err, backend.ErrNotExist) {
		return err
	}
	for _, t := range []backend.FileType{backend.KeyFile, backend.SnapshotFile} {
		for fi, err := range be.List(ctx, t) {
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: no config, but the file %v/%s", ErrRepositoryExists, t, fi.Name)
		}
	}
	return nil
}

// Open finds a key that password opens, and reads the config. The errors to
// act on are [ErrNoRepository] and [ErrWrongPassword]; a config that the key
// does not open is a [*CorruptError].
func Open(ctx context.Context, be backend.Backend, password string, opts *Options) (*Repo, error) {
	r, err := newRepo(be, opts)
	if err != nil {
		return nil, err
	}
	config := backend.Handle{Type: backend.ConfigFile}
	fi, err := be.Stat(ctx, config)
	if errors.Is(err, backend.ErrNotExist) {
		return nil, ErrNoRepository
	}
	if err != nil {
		return nil, err
	}
	if fi.Size == 0 {
		return nil, &CorruptError{Handle: config, Err: errors.New("file is empty")}
	}
	if err := r.findKey(ctx, password); err != nil {
		return nil, err
	}
	return r, r.loadConfig(ctx)
}

func (r *Repo) loadConfig(ctx context.Context) error {
	h := backend.Handle{Type: backend.ConfigFile}
	sealed, err := r.be.Load(ctx, h, 0, -1, nil)
	if err != nil {
		return fmt.Errorf("load config: %w", err)
	}
	plain, err := r.key.Open(nil, sealed)
	if err != nil {
		return &CorruptError{Handle: h, Err: err}
	}
	if r.config, err = decodeConfig(plain); err != nil {
		return &CorruptError{Handle: h, Err: err}
	}
	return nil
}

// Config returns the repository's config.
func (r *Repo) Config() Config { return r.config }

// KeyID returns the ID of the key file that opened the repository.
func (r *Repo) KeyID() crypto.ID { return r.keyID }

// MasterKey returns the key that seals everything in the repository. Whoever
// has it needs no password.
func (r *Repo) MasterKey() *crypto.Key { return r.key }

// Backend returns where the repository is stored.
func (r *Repo) Backend() backend.Backend { return r.be }

// Index returns the table of all blobs. It is empty before LoadIndex.
func (r *Repo) Index() *index.Table { return r.index }

// SealLocal seals what this machine keeps about the repository outside of it.
func (r *Repo) SealLocal(plain []byte) []byte { return r.key.Seal(nil, plain) }

// OpenLocal opens what SealLocal has sealed, with this repository's key.
func (r *Repo) OpenLocal(sealed []byte) ([]byte, error) { return r.key.Open(nil, sealed) }
