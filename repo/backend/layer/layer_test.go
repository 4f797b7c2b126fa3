package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
)

func TestLayersKeepTheContract(t *testing.T) {
	for name, wrap := range map[string]func(backend.Backend) backend.Backend{
		"retry":    func(be backend.Backend) backend.Backend { return layer.Retry(be, nil) },
		"observe":  func(be backend.Backend) backend.Backend { return layer.Observe(be, func(layer.Event) {}) },
		"throttle": func(be backend.Backend) backend.Backend { return layer.Throttle(be, 1<<40, 1<<40) },
		"faulty":   func(be backend.Backend) backend.Backend { return backendtest.NewFaulty(be, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, func(*testing.T) backend.Backend { return wrap(mem.New()) })
		})
	}
}

var content = []byte("content")

func handle() backend.Handle {
	return backend.Handle{Type: backend.PackFile, Name: crypto.Hash(content).String()}
}

// firstFail lets the first n operations of a kind go wrong.
func firstFail(op layer.Op, n int, fault backendtest.Fault) backendtest.Rule {
	return func(o layer.Op, _ backend.Handle, i int) backendtest.Fault {
		if o == op && i < n {
			return fault
		}
		return backendtest.None
	}
}

func TestRetryOutlastsPassingFaults(t *testing.T) {
	for _, op := range []layer.Op{layer.OpSave, layer.OpLoad, layer.OpStat, layer.OpList, layer.OpRemove} {
		for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
			synctest.Test(t, func(t *testing.T) {
				faulty := backendtest.NewFaulty(mem.New(), firstFail(op, 5, fault))
				retries := 0
				be := layer.Retry(faulty, &layer.RetryOptions{Report: func(o layer.Op, _ backend.Handle, err error, _ time.Duration) {
					if o != op || !errors.Is(err, backendtest.ErrInjected) {
						t.Errorf("reported %v: %v", o, err)
					}
					retries++
				}})
				if err := useAll(t.Context(), be); err != nil {
					t.Errorf("%v, fault %d: %v", op, fault, err)
				}
				want := 5
				if fault == backendtest.FailLate && (op == layer.OpSave || op == layer.OpRemove) {
					want = 1 // the second attempt finds that it was done
				}
				if retries != want {
					t.Errorf("%v, fault %d: %d retries, want %d", op, fault, retries, want)
				}
			})
		}
	}
}

// useAll does each operation once and checks the results.
func useAll(ctx context.Context, be backend.Backend) error {
	h := handle()
	if err := be.Save(ctx, h, backend.Bytes(content)); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if b, err := be.Load(ctx, h, 0, -1, nil); err != nil || !bytes.Equal(b, content) {
		return fmt.Errorf("load: %q, %w", b, err)
	}
	if fi, err := be.Stat(ctx, h); err != nil || fi.Size != int64(len(content)) {
		return fmt.Errorf("stat: %v, %w", fi, err)
	}
	n := 0
	for fi, err := range be.List(ctx, backend.PackFile) {
		if err != nil || fi.Name != h.Name {
			return fmt.Errorf("list: %v, %w", fi, err)
		}
		n++
	}
	if n != 1 {
		return fmt.Errorf("list: %d files", n)
	}
	return be.Remove(ctx, h)
}

func TestRetryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := layer.Retry(backendtest.NewFaulty(mem.New(), firstFail(layer.OpSave, 1<<30, backendtest.Fail)), nil)
		start := time.Now()
		err := be.Save(t.Context(), handle(), backend.Bytes(content))
		if took := time.Since(start); !errors.Is(err, backendtest.ErrInjected) || took < 13*time.Minute || took > 16*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestRetryDoesNotRepeatWhatCannotBeMended(t *testing.T) {
	be := layer.Retry(mem.New(), &layer.RetryOptions{Report: func(op layer.Op, _ backend.Handle, err error, _ time.Duration) {
		t.Errorf("%v is repeated after %v", op, err)
	}})
	if _, err := be.Load(t.Context(), handle(), 0, -1, nil); !errors.Is(err, backend.ErrNotExist) {
		t.Error(err)
	}
	if err := be.Save(t.Context(), handle(), backend.Bytes(content)); err != nil {
		t.Error(err)
	}
	if err := be.Save(t.Context(), handle(), backend.Bytes(content)); !errors.Is(err, backend.ErrExist) {
		t.Error(err)
	}
}

func TestRetryStopsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := layer.Retry(backendtest.NewFaulty(mem.New(), firstFail(layer.OpLoad, 1<<30, backendtest.Fail)), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := be.Load(ctx, handle(), 0, -1, nil); err == nil || time.Since(start) > 11*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// An attempt that stored a part of the file must not count as success.
func TestRetryReplacesATornFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		torn := &tearing{Backend: inner}
		be := layer.Retry(torn, nil)
		if err := be.Save(t.Context(), handle(), backend.Bytes(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := inner.Load(t.Context(), handle(), 0, -1, nil); err != nil || !bytes.Equal(b, content) {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// tearing stores half of the first file and reports a failure.
type tearing struct {
	backend.Backend
	done bool
}

func (b *tearing) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if b.done {
		return b.Backend.Save(ctx, h, c)
	}
	b.done = true
	if err := b.Backend.Save(ctx, h, backend.Bytes(content[:3])); err != nil {
		return err
	}
	return backendtest.ErrInjected
}

func TestThrottleLimitsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		be := layer.Throttle(mem.New(), 100<<10, 50<<10)
		data := bytes.Repeat([]byte("x"), 1<<20)
		h := backend.Handle{Type: backend.PackFile, Name: crypto.Hash(data).String()}
		start := time.Now()
		if err := be.Save(t.Context(), h, backend.Bytes(data)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("a MiB at 100 KiB/s took %v", took)
		}
		start = time.Now()
		if _, err := be.Load(t.Context(), h, 0, -1, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 19*time.Second || took > 22*time.Second {
			t.Errorf("a MiB at 50 KiB/s took %v", took)
		}
	})
}

func TestDiscardChangesNothing(t *testing.T) {
	inner := mem.New()
	if err := inner.Save(t.Context(), handle(), backend.Bytes(content)); err != nil {
		t.Fatal(err)
	}
	be := layer.Discard(inner)
	other := backend.Handle{Type: backend.KeyFile, Name: handle().Name}
	for _, err := range []error{be.Save(t.Context(), other, backend.Bytes("x")), be.Remove(t.Context(), handle())} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := inner.Stat(t.Context(), other); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("a file was saved: %v", err)
	}
	if b, err := be.Load(t.Context(), handle(), 0, -1, nil); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestObserveTellsOfEveryOperation(t *testing.T) {
	seen := make(map[layer.Op]int64)
	be := layer.Observe(mem.New(), func(e layer.Event) {
		if e.Err != nil {
			t.Errorf("%v: %v", e.Op, e.Err)
		}
		seen[e.Op] += 1 + e.Bytes
	})
	if err := useAll(t.Context(), be); err != nil {
		t.Fatal(err)
	}
	want := map[layer.Op]int64{layer.OpSave: 8, layer.OpLoad: 8, layer.OpStat: 1, layer.OpList: 1, layer.OpRemove: 1}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", seen, want)
	}
}

func ExampleRetry() {
	flaky := backendtest.NewFaulty(mem.New(), firstFail(layer.OpSave, 1, backendtest.Fail))
	be := layer.Retry(flaky, &layer.RetryOptions{FirstWait: time.Millisecond})
	fmt.Println(be.Save(context.Background(), handle(), backend.Bytes(content)))
	// Output: <nil>
}
