package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// served is a View that is mounted by this process. Only other processes look
// at it: this one could wait for itself.
type served struct {
	t      *testing.T
	dir    string
	cancel context.CancelFunc
	result chan error // of Serve
}

func serve(t *testing.T, v *View, opts *ServeOptions) *served {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	f.Close()
	if os.Geteuid() != 0 && !lookHelper("fusermount3", "fusermount") {
		t.Skip("no FUSE here: fusermount is not installed")
	}
	s := &served{t: t, dir: filepath.Join(t.TempDir(), "mnt"), result: make(chan error, 1)}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	ready := make(chan struct{})
	o := ServeOptions{}
	if opts != nil {
		o = *opts
	}
	o.Ready = func() { close(ready) }
	go func() { s.result <- v.Serve(ctx, s.dir, &o) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-s.result:
		case <-time.After(20 * time.Second):
			t.Error("Serve did not return")
		}
		_ = unix.Unmount(s.dir, unix.MNT_DETACH)
	})
	select {
	case <-ready:
	case err := <-s.result:
		s.result <- err
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("mounting takes too long")
	}
	return s
}

// sh runs a command in the mounted folder.
func (s *served) sh(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `cd "$0" || exit 99; `+command, s.dir)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *served) want(command, want string) {
	s.t.Helper()
	if out, err := s.sh(command); out != want || err != nil {
		s.t.Errorf("%s: %q, %v; want %q", command, out, err, want)
	}
}

// TestMountSeesNewSnapshots that were made after it started; a path that the
// kernel knows already leads to the new ones too.
func TestMountSeesNewSnapshots(t *testing.T) {
	r := newRepo(t)
	save := func(content string, at time.Time) *snapshot.Snapshot {
		ids := r.saveBlobs(t, dataBlob([]byte(content)))
		root := r.saveTree(t, tree.Node{Name: "f", Type: tree.TypeFile, Mode: 0o644, Size: uint64(len(content)), Content: ids})
		return r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: at, Hostname: "h"})
	}
	save("one", time.Unix(1_700_000_000, 0))
	s := serve(t, r.view(t, &Options{Refresh: time.Millisecond, TimeTemplate: "2006"}), nil)
	s.want("cat snapshots/latest/f; ls ids | wc -l; readlink hosts/h/latest", "one1\n2023")
	second := save("second", time.Unix(1_700_000_001, 0))
	time.Sleep(topTimeout + 100*time.Millisecond) // the kernel asks again
	s.want("cat snapshots/latest/f; ls ids | wc -l; readlink hosts/h/latest", "second2\n2023-1")
	s.want("cat snapshots/2023/f ids/"+second.ID.Short()+"/f; ls hosts/h", "onesecond2023\n2023-1\nlatest")

	// The name of the first comes to mean the second when the first is gone.
	for sn, err := range r.AllSnapshots(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if sn.ID != second.ID {
			if err := r.Remove(t.Context(), backend.SnapshotFile, sn.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(topTimeout + 100*time.Millisecond)
	s.want("cat snapshots/2023/f snapshots/latest/f; ls ids; readlink hosts/h/latest", "secondsecond"+second.ID.Short()+"\n2023")
}

// TestMountOfFailingStorage: errors while it fails, content when it works
// again.
func TestMountOfFailingStorage(t *testing.T) {
	r := newRepo(t)
	list, _ := cutContent(1, 300_000, 300_000, 300_000)
	r.saveFile(t, list...)
	s := serve(t, r.view(t, &Options{Report: func(error) {}}), nil)
	s.want("ls -l snapshots/latest/ | wc -l; wc -c <snapshots/latest/f", "2\n900000")
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.Short, backendtest.Flip} {
		r.failPacks(fault)
		if out, err := s.sh("cat snapshots/latest/f | wc -c"); !strings.Contains(out, "Input/output error") || err != nil {
			t.Errorf("fault %d: %q, %v", fault, out, err)
		}
	}
	r.be.SetRule(nil)
	s.want("cat snapshots/latest/f | wc -c", "900000")
}

// TestInterruptedReadsEnd: a reader that waits for a storage that does not
// answer can be stopped, and so can the mount.
func TestInterruptedReadsEnd(t *testing.T) {
	r := newRepo(t)
	r.saveFile(t, []byte("content"))
	s := serve(t, r.view(t, nil), nil)
	s.want("ls snapshots/latest/", "f")
	r.failPacks(backendtest.Stall)
	start := time.Now()
	out, err := s.sh("timeout -s INT 1 cat snapshots/latest/f")
	if code := (*exec.ExitError)(nil); !errors.As(err, &code) || code.ExitCode() != 124 {
		t.Errorf("%q, %v", out, err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	s.cancel()
	err = <-s.result
	s.result <- err
	if err != nil && !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
}

// TestMountShowsRealSizes of files whose nodes are wrong about it, of few and
// of many blobs.
func TestMountShowsRealSizes(t *testing.T) {
	r := newRepo(t)
	ids := r.saveBlobs(t, dataBlob([]byte("0123456789")), dataBlob([]byte("abc")))
	root := r.saveTree(t,
		tree.Node{Name: "less", Type: tree.TypeFile, Mode: 0o644, Size: 5, Content: ids},
		tree.Node{Name: "more", Type: tree.TypeFile, Mode: 0o644, Size: 50, Content: ids},
		tree.Node{Name: "nothing", Type: tree.TypeFile, Mode: 0o644, Size: 50},
	)
	r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: time.Now()})
	s := serve(t, r.view(t, nil), nil)
	s.want("cd snapshots/latest/; for f in *; do stat -c %s $f; cat $f; echo; done", "13\n0123456789abc\n13\n0123456789abc\n0")
}

// TestServeFails where nothing can be mounted.
func TestServeFails(t *testing.T) {
	v := newRepo(t).view(t, nil)
	if err := v.Serve(t.Context(), filepath.Join(t.TempDir(), "missing"), nil); err == nil {
		t.Error("a folder that does not exist was mounted on")
	}
}

// TestMountListsABigFolder of more entries than fit one answer, also when the
// kernel goes back in it.
func TestMountListsABigFolder(t *testing.T) {
	r := newRepo(t)
	id := r.saveBlobs(t, dataBlob([]byte("x")))
	var nodes []tree.Node
	for i := range 5000 {
		nodes = append(nodes, tree.Node{Name: fmt.Sprintf("%04d", i), Type: tree.TypeFile, Mode: 0o644, Size: 1, Content: id})
	}
	root := r.saveTree(t, nodes...)
	r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: time.Now()})
	loads := r.loads()
	s := serve(t, r.view(t, nil), nil)
	s.want("ls -a snapshots/latest/ | wc -l; ls -l snapshots/latest/ | grep -c ' 1 '", "5002\n5000")
	if n := loads(); n != 1 {
		t.Errorf("%d loads", n)
	}
}

func TestDeviceOfAMountpoint(t *testing.T) {
	const list = `22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw
31 1 254:0 /x /mnt/a rw,relatime shared:1 - ext4 /dev/vda rw
90 1 0:55 / /mnt/a rw,nosuid - fuse.sshfs host: rw,user_id=0
91 1 0:57 / /mnt/a ro,nosuid,nodev,relatime shared:9 - fuse.garner garner ro,user_id=0,group_id=0
92 1 0:58 / /mnt/with\040space\134 ro shared:9 - fuse.garner garner ro
`
	for dir, want := range map[string]string{"/mnt/a": "0:57", `/mnt/with space\`: "0:58", "/proc": "", "/mnt": "", "": ""} {
		if got := deviceOf(list, dir); got != want {
			t.Errorf("%q is on %q, want %q", dir, got, want)
		}
	}
}
