package mount

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"
)

// cache holds what was loaded, up to a number of bytes, and forgets first what
// was not used for longest. Whoever asks for something that is being loaded
// waits for that one load. A failure is not kept: the next reader tries again.
type cache[K comparable, V any] struct {
	view *View
	load func(ctx context.Context, key K) (value V, size int64, err error)
	// slots bounds how many loads run at the same time, and so their memory.
	slots chan struct{}
	limit int64 // bytes

	mu    sync.Mutex
	cells map[K]*cell[K, V] // owned by mu
	used  int64             // sum of the sizes in order; owned by mu
	order *list.List        // of *cell that are loaded, last used first; owned by mu
}

// cell is a value, or its load.
type cell[K comparable, V any] struct {
	key   K
	done  chan struct{} // closed when value and err are set
	value V
	err   error
	size  int64
	elem  *list.Element // nil while it is being loaded; owned by cache.mu
}

func newCache[K comparable, V any](v *View, limit int64, atOnce int, load func(context.Context, K) (V, int64, error)) *cache[K, V] {
	return &cache[K, V]{
		view: v, load: load, limit: limit, slots: make(chan struct{}, atOnce),
		cells: make(map[K]*cell[K, V]), order: list.New(),
	}
}

// get returns a value. A reader that gives up, some time after its ctx is
// done, leaves the load to others.
func (c *cache[K, V]) get(ctx context.Context, key K) (V, error) {
	e := c.want(key)
	var none V
	select {
	case <-e.done: // at once, even if ctx is done
	default:
		select {
		case <-e.done:
		case <-ctx.Done():
			if !c.patient(e.done) {
				return none, cmp.Or(c.view.closed(), context.Cause(ctx))
			}
		}
	}
	if e.err != nil {
		return none, cmp.Or(c.view.closed(), e.err)
	}
	return e.value, nil
}

// grace is how long a reader that was interrupted still waits for what it is
// waiting for. Most signals do not mean to interrupt: programs in Go get them
// all the time.
const grace = time.Second

// patient waits a little longer and reports whether that was enough.
func (c *cache[K, V]) patient(done <-chan struct{}) bool {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-c.view.ctx.Done():
	}
	return false
}

// want returns the cell of a key, and starts its load if that is new.
func (c *cache[K, V]) want(key K) *cell[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.cells[key]; ok {
		if e.elem != nil {
			c.order.MoveToFront(e.elem)
		}
		return e
	}
	e := &cell[K, V]{key: key, done: make(chan struct{})}
	if err := c.view.background(func() { c.fill(e) }); err != nil {
		e.err = err
		close(e.done)
		return e
	}
	c.cells[key] = e // fill needs mu to take it away again
	return e
}

func (c *cache[K, V]) fill(e *cell[K, V]) {
	defer close(e.done)
	ctx := c.view.ctx
	select {
	case c.slots <- struct{}{}:
		e.value, e.size, e.err = c.load(ctx, e.key)
		<-c.slots
	case <-ctx.Done():
		e.err = context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.err != nil {
		delete(c.cells, e.key)
		return
	}
	e.elem = c.order.PushFront(e)
	c.used += e.size
	// The newest stays even if it is larger than the limit by itself: it is
	// in use, and would be loaded again for every piece.
	for c.used > c.limit && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*cell[K, V])
		delete(c.cells, old.key)
		c.used -= old.size
	}
}
