package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// clear makes room for an item that can't be updated in place. It reports
// what was done with what is there, and whether the item is to be made.
func (rs *restorer) clear(in *osmeta.Dir, n *tree.Node) (Action, bool, error) {
	info, err := in.Lstat(n.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Restored, true, nil
	case err != nil:
		return 0, false, err
	case rs.opts.Overwrite == OverwriteNever,
		rs.opts.Overwrite == OverwriteIfNewer && !n.ModTime.After(info.ModTime()):
		return Unchanged, false, nil
	case rs.opts.DryRun:
		return Updated, true, nil
	}
	return Updated, true, in.Remove(n.Name)
}

// restoreSpecial makes a symbolic link, a device or a fifo.
func (rs *restorer) restoreSpecial(s special) {
	path := s.dir.path + "/" + s.node.Name
	action, err := rs.replace(s.dir, s.node, func(in *osmeta.Dir) error {
		if err := makeSpecial(in, s.node); err != nil {
			return err
		}
		return rs.applyTo(in, s.node)
	})
	if err != nil {
		rs.fail(path, err)
		return
	}
	rs.done(path, action, 0)
}

func makeSpecial(in *osmeta.Dir, n *tree.Node) error {
	if n.Type == tree.TypeSymlink {
		return in.Symlink(n.LinkTarget, n.Name)
	}
	return in.Mknod(n.Name, n)
}

// restoreLink makes a further name of a file that was restored before. The
// metadata came with the first name.
func (rs *restorer) restoreLink(l hardLink) {
	path := l.dir.path + "/" + l.node.Name
	action, err := rs.replace(l.dir, l.node, func(in *osmeta.Dir) error {
		from, err := rs.dirs.acquire(l.first.dir)
		if err != nil {
			return err
		}
		defer rs.dirs.release(l.first.dir)
		return from.LinkTo(l.first.name, in, l.node.Name)
	})
	if err != nil {
		rs.fail(path, fmt.Errorf("hard link to %s: %w", l.first.dir.path+"/"+l.first.name, err))
		return
	}
	rs.done(path, action, 0)
}

// replace clears the place of an item and calls make unless nothing is to be
// made.
func (rs *restorer) replace(dir *directory, n *tree.Node, create func(in *osmeta.Dir) error) (Action, error) {
	rs.makeDir(dir)
	if dir.err != nil {
		return 0, dir.err
	}
	if dir.missing {
		return Restored, nil
	}
	in, err := rs.dirs.acquire(dir)
	if err != nil {
		return 0, err
	}
	defer rs.dirs.release(dir)
	action, wanted, err := rs.clear(in, n)
	if err != nil || !wanted || rs.opts.DryRun {
		return action, err
	}
	return action, create(in)
}

// finishDirs finishes folders, inner ones before outer ones: without rights on
// the outer one an inner one could not be reached any more.
func (rs *restorer) finishDirs(dirs []*directory) error {
	slices.SortStableFunc(dirs, func(a, b *directory) int { return cmp.Compare(b.depth, a.depth) })
	for len(dirs) > 0 {
		n := 1
		for n < len(dirs) && dirs[n].depth == dirs[0].depth {
			n++
		}
		level := dirs[:n]
		dirs = dirs[n:]
		if err := rs.each(n, func(i int) { rs.finishDir(level[i]) }); err != nil {
			return err
		}
	}
	return context.Cause(rs.ctx)
}

// finishDir removes what does not belong into a complete folder and gives it
// its metadata, last of all, as every change in it would touch its times.
func (rs *restorer) finishDir(d *directory) {
	if !d.used {
		return
	}
	rs.makeDir(d) // if there was nothing to put into it
	if d.err != nil {
		return
	}
	if rs.opts.Delete && !d.keepExtra && !d.missing {
		rs.deleteExtra(d)
	}
	if !rs.opts.DryRun && d.node != nil {
		if err := rs.finishDirMetadata(d); err != nil {
			rs.fail(d.path, fmt.Errorf("metadata: %w", err))
			return
		}
	}
	d.wanted = nil
	if !d.selected {
		return
	}
	action := Restored
	if d.existed {
		action = Updated
	}
	rs.done(d.path, action, 0)
}

func (rs *restorer) finishDirMetadata(d *directory) error {
	in, err := rs.dirs.acquire(d.parent)
	if err != nil {
		return err
	}
	defer rs.dirs.release(d.parent)
	return in.Apply(d.name, d.node, rs.apply)
}

// deleteExtra removes the entries of a folder that the snapshot does not
// have, and that are selected.
func (rs *restorer) deleteExtra(d *directory) {
	in, err := rs.dirs.acquire(d)
	if err != nil {
		rs.fail(d.shown(), err)
		return
	}
	defer rs.dirs.release(d)
	entries, err := in.ReadDir()
	if err != nil {
		rs.fail(d.shown(), err)
		return
	}
	slices.Sort(d.wanted)
	for _, e := range entries {
		if _, ok := slices.BinarySearch(d.wanted, e.Name()); ok {
			continue
		}
		path := d.path + "/" + e.Name()
		if selected, _ := rs.selects(path, e.IsDir()); !selected {
			continue
		}
		if !rs.opts.DryRun {
			if err := in.RemoveAll(e.Name()); err != nil {
				rs.fail(path, fmt.Errorf("delete: %w", err))
				continue
			}
		}
		rs.done(path, Deleted, 0)
	}
}

// verify reads the segment's files again.
func (rs *restorer) verify(files []*file) error {
	g, ctx := errgroup.WithContext(rs.ctx)
	g.SetLimit(rs.workers)
	for _, f := range files {
		if f.skipped || f.err != nil {
			continue // not restored, or reported already
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := rs.verifyFile(f); err != nil {
				rs.fail(f.path, fmt.Errorf("verify: %w", err))
			}
			rs.count.verified.Add(1)
			return nil
		})
	}
	return g.Wait()
}

func (rs *restorer) verifyFile(f *file) error {
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return err
	}
	defer rs.dirs.release(f.dir)
	file, err := in.OpenFile(f.node.Name, os.O_RDONLY|osmeta.NoFollow, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != f.size {
		return fmt.Errorf("size is %d, want %d", info.Size(), f.size)
	}
	var buf []byte
	for i, id := range f.node.Content {
		n, _ := rs.repo.Index().PlaintextLength(dataHandle(id))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(file, buf[:n]); err != nil {
			return err
		}
		if crypto.Hash(buf[:n]) != id {
			return fmt.Errorf("content at offset %d is not blob %s", f.offset(i), id.Short())
		}
	}
	return nil
}
