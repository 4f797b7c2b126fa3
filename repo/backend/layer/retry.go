package layer

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/garner-backup/garner/repo/backend"
)

// RetryOptions say how long to go on trying; nil is the default.
type RetryOptions struct {
	// MaxTime is how long an operation is repeated; zero is 15 minutes.
	MaxTime time.Duration
	// FirstWait is the mean of the first wait; zero is a second. Each
	// further one is half as long again, up to a minute.
	FirstWait time.Duration
	// Report, if set, is called before each wait.
	Report func(op Op, h backend.Handle, err error, wait time.Duration)
}

// Retry repeats operations of be that fail, with growing waits, unless the
// error is one that trying again can't mend.
func Retry(be backend.Backend, opts *RetryOptions) backend.Backend {
	r := &retry{Backend: be}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.MaxTime == 0 {
		r.opts.MaxTime = 15 * time.Minute
	}
	if r.opts.FirstWait == 0 {
		r.opts.FirstWait = time.Second
	}
	return r
}

type retry struct {
	backend.Backend
	opts RetryOptions
}

func (r *retry) Unwrap() backend.Backend { return r.Backend }

// do repeats fn until it succeeds, fails for good or time is up.
func (r *retry) do(ctx context.Context, op Op, h backend.Handle, fn func() error) error {
	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval = r.opts.FirstWait
	policy.MaxInterval = time.Minute
	var last error // what the operation said; Retry may return ctx's error instead
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = fn()
		if last != nil && (backend.IsPermanent(last) || ctx.Err() != nil) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	},
		backoff.WithBackOff(policy),
		backoff.WithMaxElapsedTime(r.opts.MaxTime),
		backoff.WithNotify(func(err error, wait time.Duration) {
			if r.opts.Report != nil {
				r.opts.Report(op, h, err, wait)
			}
		}))
	if err == nil || ctx.Err() != nil && last == nil {
		return err
	}
	return last
}

// Save repeats an attempt to store a file. An attempt that failed may have
// stored the file all the same, and the next finds the name taken: that is
// success, as the same content was to go there.
func (r *retry) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	attempt := 0
	return r.do(ctx, OpSave, h, func() error {
		attempt++
		err := r.Backend.Save(ctx, h, c)
		if attempt > 1 && errors.Is(err, backend.ErrExist) {
			return r.adopt(ctx, h, c)
		}
		return err
	})
}

// adopt accepts a file that an earlier attempt seems to have stored, if its
// length is right, and removes it for another attempt if not.
func (r *retry) adopt(ctx context.Context, h backend.Handle, c backend.Content) error {
	fi, err := r.Backend.Stat(ctx, h)
	if err != nil {
		return err
	}
	if fi.Size == c.Size() {
		return nil
	}
	if err := r.Backend.Remove(ctx, h); err != nil {
		return err
	}
	return errors.New("an earlier attempt left a part of the file")
}

func (r *retry) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) (b []byte, err error) {
	err = r.do(ctx, OpLoad, h, func() error {
		b, err = r.Backend.Load(ctx, h, offset, length, buf)
		return err
	})
	return b, err
}

func (r *retry) Stat(ctx context.Context, h backend.Handle) (fi backend.FileInfo, err error) {
	err = r.do(ctx, OpStat, h, func() error {
		fi, err = r.Backend.Stat(ctx, h)
		return err
	})
	return fi, err
}

// Remove repeats an attempt to remove a file; one that is gone after a failed
// attempt counts as removed.
func (r *retry) Remove(ctx context.Context, h backend.Handle) error {
	attempt := 0
	return r.do(ctx, OpRemove, h, func() error {
		attempt++
		err := r.Backend.Remove(ctx, h)
		if attempt > 1 && errors.Is(err, backend.ErrNotExist) {
			return nil
		}
		return err
	})
}

// List lists again after an error, and leaves out what it yielded before.
func (r *retry) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	return func(yield func(backend.FileInfo, error) bool) {
		seen := make(map[string]struct{})
		stopped := false
		err := r.do(ctx, OpList, backend.Handle{Type: t}, func() error {
			for fi, err := range r.Backend.List(ctx, t) {
				if err != nil {
					return err
				}
				if _, ok := seen[fi.Name]; ok {
					continue
				}
				seen[fi.Name] = struct{}{}
				if !yield(fi, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(backend.FileInfo{}, err)
		}
	}
}
