package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
)

// ErrInjected is what a failing operation returns.
var ErrInjected = errors.New("injected fault")

// Fault is what goes wrong with an operation.
type Fault uint8

const (
	// None lets the operation pass.
	None Fault = iota
	// Fail returns an error and does nothing.
	Fail
	// FailLate does the operation and then returns an error: the answer was
	// lost.
	FailLate
	// Stall waits until the operation is cancelled.
	Stall
	// Short loads fewer bytes than were asked for and says ErrShortFile.
	Short
	// Flip changes a bit of what is loaded or saved.
	Flip
	// Tear saves only the first half, and reports success.
	Tear
	// Lose saves nothing, and reports success.
	Lose
)

// Rule says what goes wrong with the n-th operation of its kind, counted from
// 0.
type Rule func(op layer.Op, h backend.Handle, n int) Fault

// Faulty is a backend in which operations go wrong.
type Faulty struct {
	backend.Backend
	mu    sync.Mutex
	rule  Rule             // owned by mu
	count map[layer.Op]int // owned by mu
}

// NewFaulty wraps a backend; a nil rule lets all pass.
func NewFaulty(be backend.Backend, rule Rule) *Faulty {
	return &Faulty{Backend: be, rule: rule, count: make(map[layer.Op]int)}
}

// SetRule changes the rule and counts anew.
func (f *Faulty) SetRule(rule Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule, f.count = rule, make(map[layer.Op]int)
}

// Unwrap implements backend.Wrapper.
func (f *Faulty) Unwrap() backend.Backend { return f.Backend }

func (f *Faulty) fault(op layer.Op, h backend.Handle) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.count[op]
	f.count[op]++
	if f.rule == nil {
		return None
	}
	return f.rule(op, h, n)
}

func stall(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Save implements backend.Backend.
func (f *Faulty) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	switch f.fault(layer.OpSave, h) {
	case Fail:
		return ErrInjected
	case FailLate:
		if err := f.Backend.Save(ctx, h, c); err != nil {
			return err
		}
		return ErrInjected
	case Stall:
		return stall(ctx)
	case Flip:
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		if err != nil {
			return err
		}
		if len(b) > 0 {
			b[len(b)/2] ^= 1
		}
		return f.Backend.Save(ctx, h, backend.Bytes(b))
	case Tear:
		return f.Backend.Save(ctx, h, io.NewSectionReader(c, 0, c.Size()/2))
	case Lose:
		return nil
	}
	return f.Backend.Save(ctx, h, c)
}

// Load implements backend.Backend.
func (f *Faulty) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	fault := f.fault(layer.OpLoad, h)
	switch fault {
	case Fail, FailLate:
		return nil, ErrInjected
	case Stall:
		return nil, stall(ctx)
	case Short:
		return nil, backend.ErrShortFile
	}
	b, err := f.Backend.Load(ctx, h, offset, length, buf)
	if err == nil && fault == Flip && len(b) > 0 {
		b[len(b)/2] ^= 1
	}
	return b, err
}

// Stat implements backend.Backend.
func (f *Faulty) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	switch f.fault(layer.OpStat, h) {
	case Fail, FailLate:
		return backend.FileInfo{}, ErrInjected
	case Stall:
		return backend.FileInfo{}, stall(ctx)
	}
	return f.Backend.Stat(ctx, h)
}

// List implements backend.Backend. A failing list yields one file before the
// error.
func (f *Faulty) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	fault := f.fault(layer.OpList, backend.Handle{Type: t})
	return func(yield func(backend.FileInfo, error) bool) {
		if fault == Stall {
			yield(backend.FileInfo{}, stall(ctx))
			return
		}
		for fi, err := range f.Backend.List(ctx, t) {
			if !yield(fi, err) {
				return
			}
			if fault != None {
				yield(backend.FileInfo{}, ErrInjected)
				return
			}
		}
		if fault != None {
			yield(backend.FileInfo{}, ErrInjected)
		}
	}
}

// Remove implements backend.Backend.
func (f *Faulty) Remove(ctx context.Context, h backend.Handle) error {
	switch f.fault(layer.OpRemove, h) {
	case Fail:
		return ErrInjected
	case FailLate:
		if err := f.Backend.Remove(ctx, h); err != nil {
			return err
		}
		return ErrInjected
	case Stall:
		return stall(ctx)
	case Lose:
		return nil
	}
	return f.Backend.Remove(ctx, h)
}

// Replace implements backend.Replacer if the wrapped backend does, and else
// returns errors.ErrUnsupported.
func (f *Faulty) Replace(ctx context.Context, h backend.Handle, c backend.Content) error {
	inner, ok := backend.As[backend.Replacer](f.Backend)
	if !ok {
		return fmt.Errorf("replace %v: %w", h, errors.ErrUnsupported)
	}
	switch f.fault(layer.OpReplace, h) {
	case Fail:
		return ErrInjected
	case FailLate:
		if err := inner.Replace(ctx, h, c); err != nil {
			return err
		}
		return ErrInjected
	case Stall:
		return stall(ctx)
	case Tear:
		return inner.Replace(ctx, h, io.NewSectionReader(c, 0, c.Size()/2))
	case Lose:
		return nil
	}
	return inner.Replace(ctx, h, c)
}
