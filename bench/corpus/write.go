package corpus

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// item is one file of a corpus.
type item struct {
	name string // with slashes
	size int64
	mode os.FileMode // permission bits
	link string      // the target, of a symbolic link
	// write writes the content; nil is a file of noise.
	write func(f *os.File, it item) error
	// number tells the items of a corpus apart, and seeds their content. Two
	// items with the same number, size and writer are copies.
	number int
}

// modified returns the time of the last change of item number n: some moment
// within three years, to the nanosecond.
func modified(seed uint64, n int) time.Time {
	r := seeded(seed, "time", n)
	return time.Unix(1_600_000_000+int64(r.below(94_608_000)), int64(r.below(1_000_000_000))).UTC()
}

// write makes all folders and files below dir, in parallel.
func write(ctx context.Context, dir string, spec Spec, items []item) error {
	folders := foldersOf(items)
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(f)), 0o755); err != nil {
			return err
		}
	}
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := writeItem(dir, spec, items[i]); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, f := range slices.Backward(folders) {
		t := modified(spec.Seed, -1-i)
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(f)), t, t); err != nil {
			return err
		}
	}
	return nil
}

// foldersOf returns the folders that hold the items, parents first.
func foldersOf(items []item) []string {
	seen := map[string]bool{".": true}
	for _, it := range items {
		for d := path.Dir(it.name); !seen[d]; d = path.Dir(d) {
			seen[d] = true
		}
	}
	var list []string
	for d := range seen {
		list = append(list, d)
	}
	slices.Sort(list)
	return list
}

func writeItem(dir string, spec Spec, it item) error {
	name := filepath.Join(dir, filepath.FromSlash(it.name))
	if it.link != "" {
		return os.Symlink(it.link, name)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if it.write == nil {
		it.write = func(f *os.File, it item) error {
			_, err := io.CopyN(f, &noise{random: seeded(spec.Seed, "noise", it.number)}, it.size)
			return err
		}
	}
	if err := it.write(f, it); err != nil {
		return err
	}
	if err := f.Chmod(it.mode); err != nil && runtime.GOOS != "windows" {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	t := modified(spec.Seed, it.number)
	return os.Chtimes(name, t, t)
}

// noise is a reader of bytes that can't be compressed. Reads must be of a
// multiple of eight bytes but for the last, as io.CopyN's are.
type noise struct{ *random }

func (n *noise) Read(p []byte) (int, error) {
	n.fill(p)
	return len(p), nil
}
