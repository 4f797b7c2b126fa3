// Package dump writes what a snapshot holds to a stream: the content of a
// file as it is, or a folder as a tar or zip archive.
//
// Start with [Find], which looks up a path, and [Write]. Content is loaded
// ahead of the writer, several blobs at a time; memory is that of these blobs.
package dump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/tree"
)

// Format is that of an archive.
type Format uint8

const (
	Tar Format = iota // with extended attributes and access lists
	Zip
)

func (f Format) String() string {
	if f == Zip {
		return "zip"
	}
	return "tar"
}

// ParseFormat is the inverse of String.
func ParseFormat(s string) (Format, error) {
	for _, f := range []Format{Tar, Zip} {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown archive format %q, want tar or zip", s)
}

// Item is a file or folder of a snapshot.
type Item struct {
	Path string     // absolute and clean
	File *tree.Node // nil: a folder
	Tree crypto.ID  // of the folder
}

// Find returns the item at a path below a tree. Everything but files and
// folders is an error; a missing path matches [repo.ErrPathNotFound].
func Find(ctx context.Context, r *repo.Repo, root crypto.ID, p string) (*Item, error) {
	p = path.Clean(p)
	item := &Item{Path: "/", Tree: root}
	names := strings.Split(strings.Trim(p, "/"), "/")
	if p == "/" {
		names = nil
	}
	for i, name := range names {
		n, err := lookup(ctx, r, item.Tree, name)
		item.Path = path.Join(item.Path, name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item.Path, err)
		}
		last := i == len(names)-1
		switch {
		case n.Type == tree.TypeDir:
			item.Tree = n.Subtree
		case !last:
			return nil, fmt.Errorf("%q should be a folder, but is of type %q", item.Path, n.Type)
		case n.Type == tree.TypeFile:
			item.File = n
		default:
			return nil, fmt.Errorf("%q should be a file or a folder, but is of type %q", item.Path, n.Type)
		}
	}
	return item, nil
}

func lookup(ctx context.Context, r *repo.Repo, id crypto.ID, name string) (*tree.Node, error) {
	nodes, err := r.LoadTree(ctx, id)
	if err != nil {
		return nil, err
	}
	defer nodes.Close()
	n := new(tree.Node)
	for {
		switch err := nodes.Next(n); {
		case errors.Is(err, io.EOF):
			return nil, repo.ErrPathNotFound
		case err != nil:
			return nil, err
		case n.Name == name:
			return n, nil
		}
	}
}

// Options say how Write works; nil is the default.
type Options struct {
	Format Format // of a folder's archive; zero is Tar
	// Problem is told of attributes that the archive can't express, and that
	// are left out.
	Problem func(path string, err error)
}

// bufferSize is that of the output: archives write many small pieces.
const bufferSize = 256 << 10

// Write writes a file's content, or an archive of a folder. In an archive,
// paths begin at the snapshot's root, without a slash. As in restic, only
// files, folders and symlinks are in it, each name of a file with its
// content; what else is directly in the dumped folder is there as an empty
// file.
func Write(ctx context.Context, r *repo.Repo, item *Item, w io.Writer, opts *Options) error {
	if opts == nil {
		opts = &Options{}
	}
	out := bufio.NewWriterSize(w, bufferSize)
	var s sink
	switch {
	case item.File != nil:
		s = plainSink{out}
	case opts.Format == Zip:
		s = newZipSink(out)
	default:
		s = newTarSink(out, opts.Problem)
	}
	if err := stream(ctx, r, item, s); err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	return out.Flush()
}

// sink takes items in order, each followed by its content.
type sink interface {
	item(path string, n *tree.Node) (io.Writer, error) // where its content goes
	close() error
}

// plainSink writes content only.
type plainSink struct{ w io.Writer }

func (s plainSink) item(string, *tree.Node) (io.Writer, error) { return s.w, nil }
func (s plainSink) close() error                               { return nil }
