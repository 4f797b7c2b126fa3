package restore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/restore"
	"github.com/garner-backup/garner/repo/tree"
)

func withMode(n node, mode fs.FileMode) node {
	n.Mode = mode
	return n
}

// defaultACL is what setfacl -d -m u:1234:rwx makes, in the kernel's form.
func defaultACL() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 7, ^uint32(0)}, {2, 7, 1234}, {4, 5, ^uint32(0)}, {16, 7, ^uint32(0)}, {32, 5, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func xattrs(t testing.TB, path string) []string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
}

// metadata is a folder with files whose modes differ, enough of them that
// files of several blobs are closed in between.
func metadata() node {
	d := folder("d")
	for i := range 100 {
		content := fmt.Sprintf("%04d", i)
		if i%2 == 1 {
			content = strings.Repeat(content, 600)
		}
		mode := []fs.FileMode{0o644, 0o600, 0o444, 0o755, fs.ModeSetuid | 0o755, fs.ModeSetgid | 0o550, 0o666, 0o400}[i%8]
		d.entries = append(d.entries, withMode(file(content[:4], content), mode))
	}
	d.entries = append(d.entries, withMode(file("empty", ""), 0o404))
	return d
}

// checkMetadata expects what metadata has, and nothing else.
func checkMetadata(t *testing.T, target string, d node, gid uint32) {
	t.Helper()
	for _, n := range d.entries {
		path := filepath.Join(target, d.Name, n.Name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode() != n.Mode || !info.ModTime().Equal(when) || st.Gid != gid || info.Size() != int64(len(n.content)) {
			t.Errorf("%s: mode %v instead of %v, time %v, group %d, %d bytes", n.Name, info.Mode(), n.Mode, info.ModTime(), st.Gid, info.Size())
		}
		if x := xattrs(t, path); len(x) > 0 && !strings.HasPrefix(x[0], "security.") {
			t.Errorf("%s has attributes %q", n.Name, x)
		}
		if os.Geteuid() == 0 && read(t, path) != n.content {
			t.Errorf("%s: wrong content", n.Name)
		}
	}
}

// TestNewFilesHaveTheirOwnMetadataOnly restores into folders from which new
// items inherit a group or an access list.
func TestNewFilesHaveTheirOwnMetadataOnly(t *testing.T) {
	d := metadata()
	for name, inherit := range map[string]func(target string) error{
		"nothing": func(string) error { return nil },
		"default ACL": func(target string) error {
			return unix.Setxattr(target, "system.posix_acl_default", defaultACL(), 0)
		},
		"set-group-ID": func(target string) error {
			if err := os.Chown(target, -1, 4321); err != nil {
				return err
			}
			return os.Chmod(target, fs.ModeSetgid|0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, options := range []restore.Options{{}, {Sparse: true, Verify: true}} {
				target := t.TempDir()
				if err := inherit(target); err != nil {
					t.Skip(err)
				}
				r := openRepo(t)
				run(t, r, save(t, r, d), target, options).clean(t)
				checkMetadata(t, target, d, uint32(os.Getgid()))
				if x := xattrs(t, filepath.Join(target, "d")); len(x) > 0 && !strings.HasPrefix(x[0], "security.") {
					t.Errorf("the folder has attributes %q", x)
				}
			}
		})
	}
}

func TestNewFilesGetAttributes(t *testing.T) {
	d := folder("d")
	for i := range 6 {
		f := withMode(file(fmt.Sprint(i), strings.Repeat("x", i*500)), 0o444)
		if i%2 == 0 {
			f.ExtendedAttributes = []tree.ExtendedAttribute{{Name: "user.a", Value: []byte("1")}, {Name: "user.b", Value: []byte("2")}}
		}
		d.entries = append(d.entries, f)
	}
	r := openRepo(t)
	target := t.TempDir()
	if err := unix.Setxattr(target, "user.test", nil, 0); err != nil {
		t.Skip(err)
	}
	notB := func(name string) bool { return name != "user.b" }
	run(t, r, save(t, r, d), target, restore.Options{SelectXattr: notB}).clean(t)
	for i, f := range d.entries {
		path := filepath.Join(target, "d", f.Name)
		if x := strings.Join(xattrs(t, path), " "); strings.Contains(x, "user.a") != (i%2 == 0) || strings.Contains(x, "user.b") {
			t.Errorf("%s has attributes %q", f.Name, x)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o444 {
			t.Errorf("%s: mode %v, %v", f.Name, info.Mode(), err)
		}
	}
}

// TestUnprivilegedUserRestores runs tests of metadata again as a user who may
// not give files away.
func TestUnprivilegedUserRestores(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests are run by such a user")
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	if err := errors.Join(os.WriteFile(program, self, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o755),
		os.Chown(filepath.Join(dir, "tmp"), 65534, 65534), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "NewFiles|OverwriteModes|Unprivileged|OnlyDiffering|Appears", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOwnersAreRestored gives files to others, so that setuid bits must come
// after the change of owner.
func TestOwnersAreRestored(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	d := folder("d")
	for i, mode := range []fs.FileMode{0o640, fs.ModeSetuid | 0o755, 0o600, fs.ModeSetgid | 0o755, 0o444} {
		for _, size := range []int{0, 5, 5000} {
			f := withMode(file(fmt.Sprintf("%d-%d", i, size), strings.Repeat("y", size)), mode)
			f.UID, f.GID = uint32(1000+i%2), uint32(2000+i%3)
			d.entries = append(d.entries, f)
		}
	}
	r := openRepo(t)
	target := t.TempDir()
	run(t, r, save(t, r, d), target, restore.Options{}).clean(t)
	for _, f := range d.entries {
		info, err := os.Stat(filepath.Join(target, "d", f.Name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != f.UID || st.Gid != f.GID || info.Mode() != f.Mode {
			t.Errorf("%s: owner %d:%d, mode %v, want %d:%d, %v", f.Name, st.Uid, st.Gid, info.Mode(), f.UID, f.GID, f.Mode)
		}
	}
}
