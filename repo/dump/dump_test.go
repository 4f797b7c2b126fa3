package dump_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/dump"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

func ExampleWrite() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := backup.Run(ctx, r, source.FS(fstest.MapFS{"etc/motd": {Data: []byte("hello\n")}}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	item, err := dump.Find(ctx, r, *res.Snapshot.Tree, "/etc/motd")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := dump.Write(ctx, r, item, os.Stdout, nil); err != nil {
		fmt.Println(err)
	}
	// Output: hello
}

func write(t *testing.T, r *repo.Repo, root crypto.ID, path string, opts *dump.Options) (string, error) {
	t.Helper()
	item, err := dump.Find(t.Context(), r, root, path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = dump.Write(t.Context(), r, item, &out, opts)
	return out.String(), err
}

func TestContentComesInOrder(t *testing.T) {
	r := repotest.Open(t, mem.New())
	var root crypto.ID
	var want strings.Builder
	repotest.Build(t, r, func(b *repotest.Builder) {
		var content []crypto.ID
		for i := range 500 {
			part := strings.Repeat(fmt.Sprint(i%37, " "), 1+i*i%5000)
			want.WriteString(part)
			content = append(content, b.Data(part))
		}
		root = b.Tree(repotest.Folder("d", b.Tree(repotest.File("f", uint64(want.Len()), content...))))
	})
	got, err := write(t, r, root, "d/f", nil)
	if err != nil || got != want.String() {
		t.Errorf("%d bytes, want %d; %v", len(got), want.Len(), err)
	}
}

func TestArchivesHoldTheFolder(t *testing.T) {
	r := repotest.Open(t, mem.New())
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		x := b.Data("x")
		f := repotest.File("f", 2, x, x)
		f.Mode = fs.ModeSetuid | 0o755
		f.ModTime = time.Unix(1_700_000_000, 0)
		f.ExtendedAttributes = []tree.ExtendedAttribute{{Name: "user.a", Value: []byte("1")}, {Name: "system.posix_acl_access", Value: []byte("broken")}}
		inner := b.Tree(tree.Node{Name: "fifo", Type: tree.TypeFifo}, repotest.File("g", 1, x), tree.Node{Name: "link", Type: tree.TypeSymlink, LinkTarget: "g"})
		root = b.Tree(repotest.Folder("d", b.Tree(repotest.Folder("e", inner), f, tree.Node{Name: "fifo", Type: tree.TypeFifo, Mode: fs.ModeNamedPipe | 0o600})))
	})
	var problems []string
	out, err := write(t, r, root, "/d", &dump.Options{Problem: func(path string, _ error) { problems = append(problems, path) }})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for tr := tar.NewReader(strings.NewReader(out)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		list = append(list, fmt.Sprintf("%c %s %o %q %s %v", h.Typeflag, h.Name, h.Mode, content, h.Linkname, h.PAXRecords["SCHILY.xattr.user.a"]))
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`5 d/e/ 755 ""  `, `0 d/e/g 644 "x"  `, `2 d/e/link 0 "" g `, `0 d/f 4755 "xx"  1`, `0 d/fifo 600 ""  `}
	if got := strings.Join(list, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("tar has\n%s", got)
	}
	if strings.Join(problems, " ") != "/d/f" {
		t.Errorf("problems with %q", problems)
	}
	if out, err = write(t, r, root, "/", &dump.Options{Format: dump.Zip}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(strings.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	list = nil
	for _, f := range z.File {
		list = append(list, f.Name)
	}
	if got := strings.Join(list, " "); got != "d/ d/e/ d/e/g d/e/link d/f" {
		t.Errorf("zip has %s", got)
	}
}

func TestWhatCannotBeDumpedIsNamed(t *testing.T) {
	r := repotest.Open(t, mem.New())
	missing := crypto.Hash([]byte("missing"))
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		x := b.Data("x")
		root = b.Tree(
			repotest.Folder("bad", b.Tree(repotest.File("f", 2, x, missing))),
			repotest.Folder("lost", missing),
			repotest.File("short", 5, x),
			repotest.Folder("up", b.Tree(repotest.File("..", 1, x))),
			tree.Node{Name: "zlink", Type: tree.TypeSymlink, LinkTarget: "x"},
		)
		root = b.Tree(repotest.Folder("top", root))
	})
	for path, want := range map[string]string{
		"/top/bad": "/top/bad/f: ", "/top/bad/f": "/top/bad/f: ", "/top/lost": "", "/top": "/top/bad/f: ", "/top/up": "name",
	} {
		out, err := write(t, r, root, path, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d bytes and %v, want an error about %q", path, len(out), err, want)
		}
	}
	if _, err := write(t, r, root, "/top/short", nil); err != nil {
		t.Errorf("a file of another size than its record's is dumped as it is: %v", err)
	}
	for path, want := range map[string]error{"/nothing": repo.ErrPathNotFound, "top/x": repo.ErrPathNotFound, "top/zlink": nil, "top/short/x": nil, ".": repo.ErrPathNotFound} {
		_, err := dump.Find(t.Context(), r, root, path)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// failingWriter takes some bytes.
type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWritersThatFailEndTheDump(t *testing.T) {
	r := repotest.Open(t, mem.New())
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		var content []crypto.ID
		size := 0
		for i := range 100 {
			part := fmt.Sprint(i, strings.Repeat("x", 20_000))
			size += len(part)
			content = append(content, b.Data(part))
		}
		root = b.Tree(repotest.File("f", uint64(size), content...))
	})
	for _, path := range []string{"/", "/f"} {
		item, err := dump.Find(t.Context(), r, root, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := dump.Write(t.Context(), r, item, &failingWriter{left: 600_000}, nil); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", path, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := dump.Write(ctx, r, item, io.Discard, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", path, err)
		}
	}
}
