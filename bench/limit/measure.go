package limit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Config says what to measure with.
type Config struct {
	Tree *Tree
	// Scratch is a folder, which must exist, for files that stay in it: the
	// caller removes them when nothing is measured any more. It is on the
	// file system that programs work on.
	Scratch string
}

// budget is for how long a primitive is repeated. The fastest pass counts.
const budget = 60 * time.Millisecond

// Measure measures all primitives but Derive, on one core, in one to three
// seconds. What can't be measured is missing in the speeds, and the errors say
// why, one for each; a cancelled context is among them.
func Measure(ctx context.Context, c Config) (Speeds, []error) {
	s := make(Speeds)
	var errs []error
	try := func(p Primitive, pass pass) {
		speed, err := fastest(ctx, pass)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p, err))
			return
		}
		s[p] = speed
	}
	large := filepath.Join(c.Scratch, "large")
	try(Stat, statPass(c.Tree))
	try(Open, openPass(c.Tree))
	try(Fill, fillPass(large))
	try(Read, readPass(large))
	try(Write, writePass(c.Scratch))
	try(Create, createPass(filepath.Join(c.Scratch, "small")))
	m, err := takeSample(c.Tree)
	if err != nil {
		return s, append(errs, fmt.Errorf("chunks: %w", err))
	}
	for p, pass := range m.passes() {
		try(p, pass)
	}
	return s, errs
}

// pass does a primitive a number of times and returns how many units that was,
// and how long it took.
type pass func() (units int64, took time.Duration, err error)

var errNothing = errors.New("the corpus has nothing to measure it on")

// fastest repeats a pass until the time is up, and returns units per second.
func fastest(ctx context.Context, run pass) (float64, error) {
	best := 0.0
	for begin := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, took, err := run()
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errNothing
		}
		best = max(best, float64(n)/max(took, 1).Seconds())
		if time.Since(begin) >= budget {
			return best, nil
		}
	}
}

// timed makes a pass of what can be timed as a whole.
func timed(run func() (int64, error)) pass {
	return func() (int64, time.Duration, error) {
		begin := time.Now()
		n, err := run()
		return n, time.Since(begin), err
	}
}
