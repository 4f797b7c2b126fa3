//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/repotest"
)

// patience is how long anything that touches a mounted folder may take.
const patience = 5 * time.Minute

// needFUSE skips the test where nothing can be mounted.
func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	f.Close()
	if _, err := exec.LookPath("fusermount3"); err != nil {
		if _, err := exec.LookPath("fusermount"); err != nil {
			t.Skip("no FUSE here: fusermount is not installed")
		}
	}
}

// mounted is a program that serves a folder.
type mounted struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	out  bytes.Buffer  // valid after done
}

// startMount starts "mount" of garner or a peer and waits until the folder is
// there. However the test ends, nothing stays mounted; and as killing the
// server makes all calls fail that wait for it, nothing hangs for long.
func startMount(t *testing.T, p *program, args ...string) *mounted {
	t.Helper()
	needFUSE(t)
	m := &mounted{t: t, dir: filepath.Join(t.TempDir(), "mnt"), done: make(chan struct{})}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.cmd = p.command(context.Background(), append(append([]string{"mount"}, args...), m.dir)...)
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.done)
		_ = m.cmd.Wait() // the exit code says it
	}()
	watchdog := time.AfterFunc(patience, m.kill)
	t.Cleanup(func() {
		watchdog.Stop()
		_ = m.cmd.Process.Signal(os.Interrupt)
		if !m.ended(10 * time.Second) {
			t.Errorf("mount did not end")
			m.kill()
		}
		_ = unix.Unmount(m.dir, unix.MNT_DETACH)
	})
	for range 300 {
		if isMounted(t, m.dir) {
			return m
		}
		if m.ended(100 * time.Millisecond) {
			t.Fatalf("mount ended: %s", m.out.String())
		}
	}
	t.Fatal("mount takes too long")
	return nil
}

func (m *mounted) kill() {
	_ = m.cmd.Process.Kill()
	_ = unix.Unmount(m.dir, unix.MNT_DETACH)
}

// ended waits for the program to end.
func (m *mounted) ended(within time.Duration) bool {
	select {
	case <-m.done:
		return true
	case <-time.After(within):
		return false
	}
}

// code waits for the program to end and returns its exit code.
func (m *mounted) code() int {
	m.t.Helper()
	if !m.ended(20 * time.Second) {
		m.t.Fatal("mount did not end")
	}
	return m.cmd.ProcessState.ExitCode()
}

// isMounted does not touch the folder itself.
func isMounted(t *testing.T, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+dir+" ")
}

// sh runs a command in the mounted folder and returns its output. A command
// that fails fails the test.
func (m *mounted) sh(command string, args ...string) string {
	m.t.Helper()
	out, err := m.try(command, args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return out
}

func (m *mounted) try(command string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", "cd \"$0\" || exit 99; " + command, m.dir}, args...)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// lines runs find and returns its lines, sorted.
func (m *mounted) lines(find string) []string {
	m.t.Helper()
	list := strings.Split(strings.TrimSuffix(m.sh(find), "\x00"), "\x00")
	slices.Sort(list)
	return list
}

func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, l := range want {
		if _, ok := slices.BinarySearch(got, l); !ok {
			t.Errorf("%s: restic has %q", what, l)
		}
	}
	for _, l := range got {
		if _, ok := slices.BinarySearch(want, l); !ok {
			t.Errorf("%s: garner has %q", what, l)
		}
	}
}

// historyRepository has snapshots of several hosts, with tags of all kinds,
// some of the same second.
func historyRepository(t *testing.T) string {
	src := makeTree(t)
	repository := newRepository(t, 2)
	g := garner(t, repository).in(src)
	backup := func(target, at string, args ...string) {
		g.ok(append([]string{"backup", "-q", "--time", at, target}, args...)...)
	}
	backup(".", "2024-03-05 06:07:08", "--host", "h1")
	backup("x/sub", "2024-03-05 06:07:08", "--host", "h1")
	backup("x/sub", "2024-03-05 06:07:08", "--host", "h2", "--tag", "a")
	backup("x/sub", "2023-01-01 00:00:00", "--host", "h2", "--tag", "a,b")
	backup("x/sub", "2023-01-01 00:00:01", "--host", "h3", "--tag", "x/y")
	backup("x/sub", "2023-01-01 00:00:02", "--host", "h3", "--tag", "x/y,z", "--tag", "..,.")
	backup("x/sub", "2023-01-01 00:00:03", "--host", "h/4", "--tag", "a b")
	backup("x/sub", "2023-01-01 00:00:03", "--host", "..")
	return repository
}

// TestMountShowsWhatResticShows compares everything that find tells of two
// mounts of one repository.
func TestMountShowsWhatResticShows(t *testing.T) {
	t.Parallel()
	repository := historyRepository(t)
	for _, args := range [][]string{
		nil,
		{"--owner-root", "--host", "h1", "--host", "h2"},
		{"--tag", "a,b", "--tag", "x/y", "--time-template", "2006/01-02_15.04.05"},
		{"--path", "/nowhere"},
		{"--path-template", "by/%u/%h-%i", "--path-template", "%t/all/%I", "--path-template", "q/%T"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := startMount(t, restic(t, repository), args...)
			g := startMount(t, garner(t, repository), args...)
			// A folder of snapshots is as old as the mount. Times before 1970
			// come out wrong in restic.
			for what, find := range map[string]string{
				"items":    `find . -printf '%P %y %m %U:%G %s %b %l\0'`,
				"times":    `find . -regex '.*[0-9][0-9].*' -not -regex '.*/20[0-9][0-9]' -not -regex './hosts/[^/]*' -not -name empty -printf '%P %T@ %A@ %C@\0'`,
				"contents": `find . -type f -printf '%P\0' | xargs -0 -r md5sum -z`,
			} {
				if strings.Contains(strings.Join(args, " "), "path-template") && what == "times" {
					continue // which folders are snapshots is different there
				}
				sameLines(t, what, g.lines(find), r.lines(find))
			}
		})
	}
}

// TestMountedTreeIsTheSource compares a snapshot with what was saved.
func TestMountedTreeIsTheSource(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", ".")
	m := startMount(t, garner(t, repository))
	snapshot := filepath.Join(m.dir, "snapshots", strings.TrimSpace(m.sh("readlink snapshots/latest")))
	repotest.Same(t, sourceManifest(t, src), repotest.Manifest(t, snapshot, false))
	if err := m.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the server is gone: %v", err)
	}
}

// TestMountOfManyFiles compares 100,000 files with diff, and lists them.
func TestMountOfManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	needFUSE(t)
	src := t.TempDir()
	const perFolder = 25_000
	for d := range 4 {
		dir := filepath.Join(src, fmt.Sprint("d", d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range perFolder {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %d", i)), fmt.Appendf(nil, "%d/%d\n", d, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", "-q", ".")
	m := startMount(t, garner(t, repository))
	start := time.Now()
	if out := m.sh(`find snapshots/latest/ -type f -size -10c -printf '%T@\n' | wc -l`); strings.TrimSpace(out) != fmt.Sprint(4*perFolder) {
		t.Errorf("find finds %s files", out)
	}
	t.Logf("find took %v", time.Since(start))
	start = time.Now()
	var wg sync.WaitGroup
	for d := range 4 {
		wg.Go(func() {
			if out, err := m.try(`diff -r snapshots/latest/d$1 "$2/d$1"`, fmt.Sprint(d), src); out != "" || err != nil {
				t.Errorf("the trees differ: %v\n%.1000s", err, out)
			}
		})
	}
	wg.Wait()
	t.Logf("diff -r took %v", time.Since(start))
}

// TestConcurrentReadersOfAMount read large files at the same time, from the
// front, from the back and all over the place.
func TestConcurrentReadersOfAMount(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(src, fmt.Sprint(i)), repotest.Random(byte(i), 20<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", "-q", ".")
	m := startMount(t, garner(t, repository))
	var wg sync.WaitGroup
	for i := range 3 {
		for _, command := range []string{
			`cmp snapshots/latest/$1 "$2/$1"`, `tail -c 3000001 snapshots/latest/$1 | cmp - "$2/$1" 0 17971519`,
			`for k in 7 90 3 150 33 61 1; do dd if=snapshots/latest/$1 bs=131000 skip=$k count=2 status=none; done | md5sum`,
		} {
			wg.Go(func() {
				out, err := m.try(command, fmt.Sprint(i), src)
				if err != nil {
					t.Errorf("%s: %v: %s", command, err, out)
				}
				if strings.HasSuffix(command, "md5sum") {
					if want, err := m.try(strings.ReplaceAll(command, "snapshots/latest", `"$2"`), fmt.Sprint(i), src); err != nil || out != want {
						t.Errorf("%s: %s, want %s, %v", command, out, want, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestMountEnds in all ways there are: the exit code is 0, the lock is gone,
// and nothing stays mounted.
func TestMountEnds(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", ".")
	locks := func() int {
		list, err := filepath.Glob(filepath.Join(repository, "locks", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	signal := func(s os.Signal) func(m *mounted) {
		return func(m *mounted) {
			if err := m.cmd.Process.Signal(s); err != nil {
				t.Error(err)
			}
		}
	}
	for _, tc := range []struct {
		name string
		args []string
		end  func(m *mounted)
	}{
		{"SIGINT", nil, signal(os.Interrupt)},
		{"SIGTERM", []string{"--no-lock"}, signal(syscall.SIGTERM)},
		{"from outside", nil, func(m *mounted) { m.sh(`cd / && { fusermount3 -u "$0" || fusermount -u "$0"; }`) }},
		{"in use", nil, func(m *mounted) {
			f, err := os.Open(filepath.Join(m.dir, "ids"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			signal(os.Interrupt)(m)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMount(t, garner(t, repository), tc.args...)
			want := 1
			if slices.Contains(tc.args, "--no-lock") {
				want = 0
			}
			if n := locks(); n != want {
				t.Errorf("%d locks while it is mounted", n)
			}
			tc.end(m)
			if code := m.code(); code != 0 {
				t.Errorf("exit code %d: %s", code, m.out.String())
			}
			if n := locks(); n != 0 {
				t.Errorf("%d locks are left", n)
			}
			if isMounted(t, m.dir) {
				t.Error("it is still mounted")
			}
			if out := m.out.String(); !strings.Contains(out, "Now serving the repository at "+m.dir) {
				t.Errorf("it said %q", out)
			}
		})
	}
}

func TestMountOptionsReachTheKernel(t *testing.T) {
	t.Parallel()
	repository := newRepository(t, 2)
	for _, tc := range []struct{ args, want, not []string }{
		{nil, []string{"ro", "nosuid", "nodev"}, []string{"allow_other", "default_permissions"}},
		{[]string{"--no-default-permissions"}, []string{"ro"}, []string{"allow_other", "default_permissions"}},
		{[]string{"--allow-other"}, []string{"ro", "allow_other", "default_permissions"}, nil},
		{[]string{"--allow-other", "--no-default-permissions"}, []string{"allow_other"}, []string{"default_permissions"}},
	} {
		if slices.Contains(tc.args, "--allow-other") && os.Geteuid() != 0 {
			continue // the system's settings may forbid it
		}
		m := startMount(t, garner(t, repository), tc.args...)
		b, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if f[1] != m.dir {
				continue
			}
			options := strings.Split(f[3], ",")
			for _, o := range tc.want {
				if !slices.Contains(options, o) {
					t.Errorf("%v: no %s in %s", tc.args, o, line)
				}
			}
			for _, o := range tc.not {
				if slices.Contains(options, o) {
					t.Errorf("%v: %s in %s", tc.args, o, line)
				}
			}
			if !strings.HasPrefix(f[0], "restic:") {
				t.Errorf("the name is %s", f[0])
			}
		}
	}
}

// TestMountOfDamage: what is damaged gives an error, the rest can be read.
func TestMountOfDamage(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for i := range 8 {
		if err := os.WriteFile(filepath.Join(src, fmt.Sprint(i)), repotest.Random(byte(i), 400_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", "-q", ".")
	packs, err := filepath.Glob(filepath.Join(repository, "data", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs {
		b, err := os.ReadFile(p)
		if err == nil && len(b) > 1_000_000 { // the pack of the content
			b[len(b)/2] ^= 1
			err = errors.Join(os.Chmod(p, 0o600), os.WriteFile(p, b, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m := startMount(t, garner(t, repository))
	bad := 0
	for i := range 8 {
		out, err := m.try(`cmp snapshots/latest/$1 "$2/$1"`, fmt.Sprint(i), src)
		if err != nil && !strings.Contains(out, "Input/output error") {
			t.Errorf("file %d: %s", i, out)
		}
		if err != nil {
			bad++
		}
	}
	if bad == 0 || bad > 2 {
		t.Errorf("%d of 8 files can't be read", bad)
	}
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if m.code() != 0 || !strings.Contains(m.out.String(), "blob data/") && !strings.Contains(m.out.String(), "data/") {
		t.Errorf("it said %s", m.out.String())
	}
}
