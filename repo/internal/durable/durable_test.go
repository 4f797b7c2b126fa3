package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/internal/durable"
)

var modes = durable.Modes{Write: 0o600, Final: 0o400}

var errStep = errors.New("step failed")

// recorder is the operating system, which notes each step and fails one of
// them, before or after doing it.
type recorder struct {
	steps  []string
	failAt string
	after  bool // the step is done, and fails all the same
}

func (r *recorder) step(name string, do func() error) error {
	r.steps = append(r.steps, name)
	if name == r.failAt && !r.after {
		return errStep
	}
	if err := do(); err != nil {
		return err
	}
	if name == r.failAt {
		return errStep
	}
	return nil
}

type recordedFile struct {
	durable.File
	r *recorder
}

func (f *recordedFile) Write(p []byte) (n int, err error) {
	err = f.r.step("write", func() (err error) { n, err = f.File.Write(p); return err })
	return n, err
}
func (f *recordedFile) Sync() error  { return f.r.step("sync file", f.File.Sync) }
func (f *recordedFile) Close() error { return f.r.step("close", f.File.Close) }

func (r *recorder) system() *durable.System {
	sys := durable.OS()
	wrapped := *sys
	wrapped.Create = func(path string, perm fs.FileMode) (f durable.File, err error) {
		err = r.step("create", func() (err error) { f, err = sys.Create(path, perm); return err })
		if err != nil {
			if f != nil {
				f.Close()
				os.Remove(path)
			}
			return nil, err
		}
		return &recordedFile{f, r}, nil
	}
	wrapped.Sync = func(f *os.File) error {
		return r.step("sync open", func() error { return sys.Sync(f) })
	}
	wrapped.Link = func(f *os.File, to string) error {
		return r.step("link", func() error { return sys.Link(f, to) })
	}
	wrapped.Publish = func(from, to string) error {
		return r.step("publish", func() error { return sys.Publish(from, to) })
	}
	wrapped.Replace = func(from, to string) error {
		return r.step("replace", func() error { return sys.Replace(from, to) })
	}
	wrapped.Chmod = func(path string, mode fs.FileMode) error {
		return r.step("chmod", func() error { return sys.Chmod(path, mode) })
	}
	wrapped.SyncDir = func(path string) error {
		return r.step("sync folder", func() error { return sys.SyncDir(path) })
	}
	return &wrapped
}

func TestStepsComeInOrder(t *testing.T) {
	r := &recorder{}
	path := filepath.Join(t.TempDir(), "file")
	if err := r.system().Write(path, backend.Bytes("content"), modes); err != nil {
		t.Fatal(err)
	}
	want := []string{"create", "write", "sync file", "close", "publish", "chmod", "sync folder"}
	if !slices.Equal(r.steps, want) {
		t.Errorf("%v, want %v", r.steps, want)
	}
	info, err := os.Stat(path)
	if err != nil || (runtime.GOOS != "windows" && info.Mode() != 0o400) {
		t.Errorf("%v, %v", info, err)
	}
}

// TestAFailedStepLeavesAllOrNothing fails each step in both ways. The file is
// then complete or absent, and no temporary file is left.
func TestAFailedStepLeavesAllOrNothing(t *testing.T) {
	for _, step := range []string{"create", "write", "sync file", "close", "publish", "chmod", "sync folder"} {
		for _, after := range []bool{false, true} {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			r := &recorder{failAt: step, after: after}
			if err := r.system().Write(path, backend.Bytes("content"), modes); !errors.Is(err, errStep) {
				t.Errorf("%s: %v", step, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.Contains(e.Name(), "-tmp-") {
					t.Errorf("%s, after %v: %s is left", step, after, e.Name())
				}
			}
			if b, err := os.ReadFile(path); err == nil && string(b) != "content" {
				t.Errorf("%s, after %v: the file has %q", step, after, b)
			}
		}
	}
}

func TestWriteKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	sys := durable.OS()
	if err := sys.Write(path, backend.Bytes("first"), modes); err != nil {
		t.Fatal(err)
	}
	if err := sys.Write(path, backend.Bytes("second"), modes); !errors.Is(err, fs.ErrExist) {
		t.Errorf("err = %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "first" {
		t.Errorf("the file has %q", b)
	}
	if err := sys.Overwrite(path, backend.Bytes("third"), modes); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "third" {
		t.Errorf("the file has %q", b)
	}
}

func TestWriteWithoutAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "file")
	if err := durable.OS().Write(path, backend.Bytes("x"), modes); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

// short claims more than it has.
type short struct{ io.ReaderAt }

func (short) Size() int64 { return 100 }

// TestUnnamedFilesAreStoredWithoutACopy fails each step of giving a file its
// name, before and after doing it.
func TestUnnamedFilesAreStoredWithoutACopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "target")
	filled := func() *os.File {
		f, err := durable.Unnamed(dir, 0o600)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("content"); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, failAt := range []string{"sync open", "link", "sync folder"} {
		for _, after := range []bool{false, true} {
			r := &recorder{failAt: failAt, after: after}
			f := filled()
			if err := r.system().WriteUnnamed(path, f, 7, modes); !errors.Is(err, errStep) {
				t.Errorf("%s fails: %v", failAt, err)
			}
			f.Close()
			b, err := os.ReadFile(path)
			if (err != nil || string(b) != "content") && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s fails: the file is %q, %v", failAt, b, err)
			}
			_ = os.Remove(path)
		}
	}
	r := new(recorder)
	f := filled()
	defer f.Close()
	if err := r.system().WriteUnnamed(path, f, 7, modes); err != nil {
		t.Fatal(err)
	}
	if got, want := r.steps, []string{"sync open", "link", "sync open", "sync folder"}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != modes.Final || info.Size() != 7 {
		t.Errorf("%v, %v", info, err)
	}
	if err := durable.OS().WriteUnnamed(path, filled(), 7, modes); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := durable.OS().WriteUnnamed(filepath.Join(dir, "no", "such"), filled(), 7, modes); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := durable.OS().WriteUnnamed(filepath.Join(dir, "short"), filled(), 8, modes); err == nil {
		t.Error("a file that is too short was stored")
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%d files are left", len(names))
	}
}

func TestContentThatIsTooShortIsAnError(t *testing.T) {
	dir := t.TempDir()
	err := durable.OS().Write(filepath.Join(dir, "file"), short{strings.NewReader("abc")}, modes)
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("err = %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
}
