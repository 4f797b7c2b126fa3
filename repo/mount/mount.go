// Package mount shows a repository as a read-only file system.
//
// [New] makes a [View] of an opened repository: folders by ID, host, tag and
// time, with a folder for each snapshot in them. A View is an [io/fs.FS], and
// [View.Serve] mounts it through FUSE where the system has that (Linux, macOS
// with macFUSE, FreeBSD). Snapshots that are made while a View is used appear
// in it.
//
// Nothing is loaded before somebody looks at it: a folder's tree when the
// folder is opened, a blob when a byte of it is read. What was loaded stays in
// two caches of bounded size. A file that is read from front to back has its
// next blobs loaded ahead, in parallel.
//
// The package writes nothing: the caller holds the lock that keeps others from
// removing what is shown.
package mount

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// DefaultTimeTemplate is how times are written in names: seconds and the
// offset from UTC.
const DefaultTimeTemplate = time.RFC3339

// DefaultPathTemplates returns the templates that a View has if there are no
// others.
func DefaultPathTemplates() []string {
	return []string{"ids/%i", "snapshots/%T", "hosts/%h/%T", "tags/%t/%T"}
}

const (
	defaultRefresh   = time.Minute
	defaultTreeCache = 64 << 20
	defaultBlobCache = 64 << 20
)

// Options say what a View shows. Nil and the zero value are the defaults.
type Options struct {
	// Filter selects the snapshots; the zero Filter takes all.
	Filter snapshot.Filter
	// PathTemplates say where snapshots appear; nil means
	// DefaultPathTemplates. In a template %i stands for the short ID of the
	// snapshot, %I for the ID, %u for the user, %h for the host, %T for the
	// time and %t for a tag: a snapshot with several tags appears several
	// times, one without does not. If names are equal, the younger snapshots
	// get "-1", "-2" and so on. Where a template ends in "/%T", the folder
	// has a link "latest" to the youngest snapshot.
	PathTemplates []string
	// TimeTemplate is the layout of %T, as time.Format takes it, in the time
	// zone of the snapshot. Empty means DefaultTimeTemplate.
	TimeTemplate string

	// UID and GID own what is in no snapshot: the folders above.
	UID, GID uint32
	// OwnerRoot lets user and group 0 own everything.
	OwnerRoot bool

	// Refresh is the time after which the snapshots are listed again, when
	// somebody looks at a folder above them. Zero means a minute; a negative
	// value, never.
	Refresh time.Duration
	// TreeCache and BlobCache bound the memory for folders and for content
	// that are not in use, in bytes. Zero means 64 MiB each.
	TreeCache, BlobCache int64

	// Report is told of what goes wrong, if it is not nil: what could not be
	// loaded, and what is in a tree and can't be shown. It is called from
	// several goroutines at the same time.
	Report func(error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// View is a repository as a file system. Its methods are safe for concurrent
// use.
type View struct {
	repo  *repo.Repo
	opts  Options
	start time.Time

	ctx    context.Context // of New, until Close; loads that several readers wait for run in it
	cancel context.CancelFunc
	loads  sync.WaitGroup
	mu     sync.Mutex // held to begin a load and to close, so that no load begins after

	trees *cache[crypto.ID, *listing]
	blobs *cache[crypto.ID, []byte]
	top   snapshots
}

// New lists the snapshots of a repository and reads its index. The View works
// until ctx is done or it is closed.
func New(ctx context.Context, r *repo.Repo, opts *Options) (*View, error) {
	v := &View{repo: r}
	if opts != nil {
		v.opts = *opts
	}
	v.opts.applyDefaults()
	v.start = v.opts.Now()
	v.ctx, v.cancel = context.WithCancel(ctx)
	// A request waits for the network more than for the processor.
	atOnce := max(runtime.GOMAXPROCS(0), backend.Connections(r.Backend()))
	v.trees = newCache(v, v.opts.TreeCache, atOnce, v.loadListing)
	v.blobs = newCache(v, v.opts.BlobCache, atOnce, v.loadBlob)
	if err := v.loadTop(ctx); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func (o *Options) applyDefaults() {
	if len(o.PathTemplates) == 0 {
		o.PathTemplates = DefaultPathTemplates()
	}
	if o.TimeTemplate == "" {
		o.TimeTemplate = DefaultTimeTemplate
	}
	if o.OwnerRoot {
		o.UID, o.GID = 0, 0
	}
	if o.Refresh == 0 {
		o.Refresh = defaultRefresh
	}
	if o.TreeCache <= 0 {
		o.TreeCache = defaultTreeCache
	}
	if o.BlobCache <= 0 {
		o.BlobCache = defaultBlobCache
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Close ends all loads and waits for them. What is still read from the View
// fails with os.ErrClosed. The repository stays open.
func (v *View) Close() error {
	v.mu.Lock()
	v.cancel()
	v.mu.Unlock()
	v.loads.Wait()
	return nil
}

// background runs fn in a goroutine, unless the View is at its end.
func (v *View) background(fn func()) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.closed(); err != nil {
		return err
	}
	v.loads.Go(fn)
	return nil
}

// closed is the error of a View that is at its end, or nil.
func (v *View) closed() error {
	if v.ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(v.ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return os.ErrClosed
}

func (v *View) loadBlob(ctx context.Context, id crypto.ID) ([]byte, int64, error) {
	b, err := v.repo.LoadBlob(ctx, dataHandle(id), nil)
	if err != nil && ctx.Err() == nil {
		v.opts.Report(err)
	}
	return b, int64(cap(b)), err
}

func dataHandle(id crypto.ID) index.BlobHandle {
	return index.BlobHandle{Type: index.DataBlob, ID: id}
}
