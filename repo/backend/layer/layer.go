// Package layer wraps backends: [Retry] repeats what failed for a passing
// reason, [Observe] tells of every operation, [Discard] stores nothing.
//
// A layer implements backend.Wrapper, so backend.As finds the abilities of
// what it wraps. Where an ability would bypass the layer, the layer implements
// it itself.
package layer

import (
	"context"
	"iter"
	"time"

	"github.com/garner-backup/garner/repo/backend"
)

// Op is an operation of a backend.
type Op string

// The operations.
const (
	OpSave    Op = "save"
	OpLoad    Op = "load"
	OpStat    Op = "stat"
	OpList    Op = "list"
	OpRemove  Op = "remove"
	OpReplace Op = "replace"
)

// Event is one operation that has ended.
type Event struct {
	Op     Op
	Handle backend.Handle // for OpList, only the type
	Bytes  int64          // stored or loaded
	Took   time.Duration
	Err    error
}

// Observe calls fn after each operation of be, from whatever goroutine did it.
func Observe(be backend.Backend, fn func(Event)) backend.Backend { return &observer{be, fn} }

type observer struct {
	backend.Backend
	fn func(Event)
}

func (o *observer) Unwrap() backend.Backend { return o.Backend }

func (o *observer) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	start := time.Now()
	err := o.Backend.Save(ctx, h, c)
	o.fn(Event{OpSave, h, c.Size(), time.Since(start), err})
	return err
}

func (o *observer) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	start := time.Now()
	b, err := o.Backend.Load(ctx, h, offset, length, buf)
	o.fn(Event{OpLoad, h, int64(len(b)), time.Since(start), err})
	return b, err
}

func (o *observer) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	start := time.Now()
	fi, err := o.Backend.Stat(ctx, h)
	o.fn(Event{OpStat, h, 0, time.Since(start), err})
	return fi, err
}

func (o *observer) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	return func(yield func(backend.FileInfo, error) bool) {
		start := time.Now()
		var last error
		for fi, err := range o.Backend.List(ctx, t) {
			last = err
			if !yield(fi, err) {
				break
			}
		}
		o.fn(Event{OpList, backend.Handle{Type: t}, 0, time.Since(start), last})
	}
}

func (o *observer) Remove(ctx context.Context, h backend.Handle) error {
	start := time.Now()
	err := o.Backend.Remove(ctx, h)
	o.fn(Event{OpRemove, h, 0, time.Since(start), err})
	return err
}

// Discard returns a view of be that reads as be does and claims to store and
// remove, without doing so: for dry runs.
func Discard(be backend.Backend) backend.Backend { return &discard{be} }

type discard struct{ backend.Backend }

func (d *discard) Save(ctx context.Context, _ backend.Handle, _ backend.Content) error {
	return ctx.Err()
}

func (d *discard) Remove(ctx context.Context, _ backend.Handle) error { return ctx.Err() }

func (d *discard) Replace(ctx context.Context, _ backend.Handle, _ backend.Content) error {
	return ctx.Err()
}

func (d *discard) Create(ctx context.Context) error { return ctx.Err() }

func (d *discard) Connections() int { return backend.Connections(d.Backend) }
