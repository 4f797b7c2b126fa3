package repotest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// MakeTree fills dir with items of every kind: odd names, all types, hard
// links, attributes, an access list, a sparse file, files of no, one and
// several chunks. Devices need root and are left out without.
func MakeTree(t testing.TB, dir string) {
	t.Helper()
	for name, content := range map[string][]byte{
		"empty": nil, "small": []byte("hello restic\n"), "zeros": make([]byte, 1_700_000),
		"chunks": Random(1, 5<<20), "text": bytes.Repeat([]byte("a line of text\n"), 100_000),
		"sub/deep/er/file": []byte("deep"), "sub/other": []byte("other"),
		"bad\xff\xfename": []byte("1"), "new\nline\ttab": []byte("2"), `quote"back\slash`: []byte("3"),
		"<html>&amp;": []byte("4"), "ümläut 名前 🙂": []byte("5"), "nbsp\u00a0x\u2028y": []byte("6"), " blank ": []byte("7"),
		"-dash": []byte("8"), "*?[glob]": []byte("9"), "mode000": []byte("x"), "suid": []byte("x"), "readonly": []byte("x"),
	} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, content, 0o644))
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Symlink("small", in("link")))
	must(t, os.Symlink("bad\xfftarget", in("badlink")))
	must(t, os.Symlink("/nowhere/at/all", in("dangling")))
	must(t, os.Link(in("small"), in("hard1")))
	must(t, os.Link(in("small"), in("sub/hard2")))
	must(t, os.Mkdir(in("emptydir"), 0o700))
	must(t, os.Mkdir(in("sticky"), 0o755))
	must(t, unix.Mkfifo(in("fifo"), 0o640))
	makeSocket(t, in("socket"))
	ignore(t, "device", unix.Mknod(in("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	ignore(t, "device", unix.Mknod(in("loop"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 300))))
	ignore(t, "attribute", unix.Lsetxattr(in("small"), "user.comment", []byte("a\x00b"), 0))
	ignore(t, "attribute", unix.Lsetxattr(in("sub"), "user.empty", nil, 0))
	ignore(t, "attribute", unix.Lsetxattr(in("text"), "user.z", []byte("1"), 0))
	ignore(t, "attribute", unix.Lsetxattr(in("text"), "user.a", []byte("2"), 0))
	ignore(t, "owner", os.Lchown(in("sub/other"), 1234, 4321))
	ignore(t, "owner", os.Lchown(in("link"), 1234, 4321))
	makeSparse(t, in("sparse"))
	must(t, os.Chmod(in("mode000"), 0))
	must(t, os.Chmod(in("suid"), os.ModeSetuid|0o755))
	must(t, os.Chmod(in("readonly"), 0o400))
	must(t, os.Chmod(in("sticky"), os.ModeSticky|0o777))
	setTimes(t, dir)
}

// ignore lets a step of MakeTree fail for lack of rights or of support by the
// file system.
func ignore(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("%s: %v", what, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeSocket(t testing.TB, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Logf("no socket: %v", err) // the path may be too long for one
		return
	}
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

func makeSparse(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	_, err = f.WriteAt([]byte("start"), 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 3<<20)
	must(t, err)
	must(t, f.Truncate(4<<20))
	must(t, f.Close())
}

// setTimes gives items times in the past, with nanoseconds, in summer and in
// winter, before 1970 and after 2038.
func setTimes(t testing.TB, dir string) {
	t.Helper()
	for name, at := range map[string]time.Time{
		"small": time.Unix(1_700_000_000, 123456789), "text": time.Unix(1_720_000_000, 1), "link": time.Unix(1_650_000_000, 5000),
		"empty": time.Unix(-5, 999), "chunks": time.Unix(1<<32, 0), "emptydir": time.Unix(1_600_000_000, 0), "sub/deep": time.Unix(1_500_000_000, 42),
	} {
		ts := []unix.Timespec{{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}, {Sec: at.Unix(), Nsec: int64(at.Nanosecond())}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}
