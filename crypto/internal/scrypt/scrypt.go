// Package scrypt computes scrypt (RFC 7914) with assembly that mixes several
// of its p independent lanes at once, in two threads, in about the memory that
// one lane takes: a lane stores only some of its blocks and computes the
// others again from those. Where there is no assembly, it is
// golang.org/x/crypto/scrypt.
package scrypt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/pbkdf2"
	"golang.org/x/crypto/scrypt"
)

// Key derives a key of keyLen bytes. It returns what
// golang.org/x/crypto/scrypt.Key returns for the same arguments, also when
// they are out of range.
func Key(password, salt []byte, n, r, p, keyLen int) ([]byte, error) {
	list := kernels()
	if len(list) == 0 || !suits(n, r, p) {
		return scrypt.Key(password, salt, n, r, p, keyLen)
	}
	return derive(list[0], newPlan(n, r, p, runtime.GOMAXPROCS(0)), password, salt, keyLen)
}

// suits reports whether the parameters are valid and worth the effort. With
// fewer blocks than this, the buffers would take more memory than one lane.
func suits(n, r, p int) bool {
	return n >= 1<<8 && n <= 1<<31 && n&(n-1) == 0 &&
		r > 0 && p > 0 && uint64(r)*uint64(p) < 1<<30 && r <= 1<<40/n
}

// derive is scrypt as planned.
func derive(k kernel, pl plan, password, salt []byte, keyLen int) ([]byte, error) {
	data := pbkdf2.Key(password, salt, 1, pl.p*pl.size(), sha256.New)
	if err := pl.run(k, data); err != nil {
		return nil, err
	}
	return pbkdf2.Key(password, data, 1, keyLen, sha256.New), nil
}

// run replaces each lane's block of data by what ROMix makes of it.
func (pl plan) run(k kernel, data []byte) error {
	var next atomic.Int64
	take := func() []byte {
		if i := int(next.Add(1)); i <= pl.p {
			return data[(i-1)*pl.size():][:pl.size()]
		}
		return nil
	}
	errs := make([]error, pl.threads)
	var wg sync.WaitGroup
	for t := range errs {
		wg.Go(func() { errs[t] = pl.thread(k, pl.slotsOf(t), take) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// thread computes as many lanes at once as there are slots, at most width,
// until take returns no more.
func (pl plan) thread(k kernel, slots int, take func() []byte) error {
	arena, err := allocate(pl.arena(slots))
	if err != nil {
		return fmt.Errorf("allocate %d bytes: %w", pl.arena(slots), err)
	}
	defer arena.free()
	lanes := make([]*lane, width) // nil where there is nothing to do
	busy := 0
	for slot := range slots {
		if data := take(); data != nil {
			lanes[slot] = newLane(pl, arena.bytes, slot)
			lanes[slot].start(data)
			busy++
		}
	}
	s := new(step)
	for busy > 0 {
		for i, l := range lanes {
			if l != nil {
				s[from][i], s[with][i], s[to][i] = l.next()
			} else {
				s[from][i], s[with][i], s[to][i] = pl.zeros(), pl.zeros(), pl.scratch()
			}
		}
		k.mix(&arena.bytes[0], s, pl.r)
		for i, l := range lanes {
			if l == nil || !l.settle(k.fetch) {
				continue
			}
			if data := take(); data != nil {
				l.start(data)
			} else {
				lanes[i] = nil
				busy--
			}
		}
	}
	return nil
}
