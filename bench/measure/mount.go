package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Mounted describes a program that mounts something and runs until it is
// unmounted.
type Mounted struct {
	Command Command
	// Point is the folder where it mounts, which is empty.
	Point string
	// Unmount ends it.
	Unmount Command
	// Read is which folder below Point to read, found when it is there: all of
	// its files are read once.
	Read func() (string, error)
}

// MountResult is what reading took.
type MountResult struct {
	Files int
	Bytes int64
}

// RunMounted starts the program, waits until something is mounted, reads all
// files and unmounts. The wall time is from the start until all is read.
func (r *Runner) RunMounted(ctx context.Context, m Mounted) (Usage, MountResult, error) {
	start := time.Now()
	p, err := r.start(ctx, m.Command)
	if err != nil {
		return Usage{}, MountResult{}, err
	}
	res, err := readMounted(ctx, p, m)
	wall := time.Since(start)
	if err != nil {
		_ = p.cmd.Cancel() // it may have ended by itself, and wait says how
	}
	unmounted := unmount(m.Unmount)
	usage, waited := p.wait(ctx)
	usage.Wall = wall
	if err != nil {
		return usage, res, errors.Join(err, waited)
	}
	return usage, res, errors.Join(unmounted, waited)
}

func readMounted(ctx context.Context, p *process, m Mounted) (MountResult, error) {
	var res MountResult
	deadline := time.Now().Add(2 * time.Minute)
	for {
		entries, err := os.ReadDir(m.Point)
		if err == nil && len(entries) > 0 {
			break
		}
		if time.Now().After(deadline) {
			return res, fmt.Errorf("nothing was mounted at %s", m.Point)
		}
		select {
		case err := <-p.done:
			p.done <- err
			return res, fmt.Errorf("the program ended before it mounted: %w", errors.Join(err, errors.New(tail(p.r.stderr()))))
		case <-ctx.Done():
			return res, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	dir, err := m.Read()
	if err != nil {
		return res, err
	}
	buf := make([]byte, 1<<20)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := readFile(name, buf)
		res.Files++
		res.Bytes += n
		return err
	})
	return res, err
}

func readFile(name string, buf []byte) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// Without ReaderFrom, which would read in pieces of its own.
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, buf)
}

// unmount tries for a while: the kernel may be busy with the last file.
func unmount(c Command) error {
	var out []byte
	var err error
	for range 20 {
		cmd := exec.Command(c.Args[0], c.Args[1:]...)
		cmd.Env, cmd.Dir = c.Env, c.Dir
		if out, err = cmd.CombinedOutput(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s: %w: %s", c, err, out)
}
