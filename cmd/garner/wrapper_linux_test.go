package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// asRestic returns a folder in which garner has the name restic.
func asRestic(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "restic")); err != nil {
		t.Skip(err)
	}
	return dir
}

func TestVersionUnderTheNameOfRestic(t *testing.T) {
	run := func(args ...string) string {
		out, err := exec.Command(filepath.Join(asRestic(t), "restic"), args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if out := run("version"); !strings.HasPrefix(out, "restic 0.19.1 compiled with go") || strings.Count(out, "\n") != 1 {
		t.Errorf("version: %q", out)
	}
	if out := run("version", "--json"); !strings.Contains(out, `"version":"0.19.1"`) {
		t.Errorf("version --json: %q", out)
	}
}

// backupninja is what is needed of a folder in which the package of that name
// is unpacked.
type backupninja struct{ root, dir, bin string }

func newBackupninja(t *testing.T) *backupninja {
	t.Helper()
	root := os.Getenv("GARNER_BACKUPNINJA")
	if root == "" {
		if os.Getenv("GARNER_REQUIRE_PEERS") != "" {
			t.Fatal("no backupninja: set $GARNER_BACKUPNINJA to the folder in which .ci/peers has unpacked it")
		}
		t.Skip("no backupninja: see .ci/peers")
	}
	if os.Geteuid() != 0 {
		t.Skip("backupninja runs as root only")
	}
	b := &backupninja{root: root, dir: t.TempDir(), bin: asRestic(t)}
	if err := os.Mkdir(filepath.Join(b.dir, "jobs"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("loglevel = 5\nreportemail = root\nreportsuccess = no\nreportwarning = no\nlogfile = %[1]s/log\nconfigdirectory = %[1]s/jobs\n"+
		"scriptdirectory = %[2]s/usr/share/backupninja\nlibdirectory = %[2]s/usr/lib/backupninja\nusecolors = no\nvservers = no\nwhen = manual\nadmingroup = root\n", b.dir, root)
	if err := os.WriteFile(filepath.Join(b.dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a job and returns what was logged.
func (b *backupninja) run(t *testing.T, job string) string {
	t.Helper()
	path := filepath.Join(b.dir, "jobs", "10.restic")
	if err := os.WriteFile(path, []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(b.root, "usr/sbin/backupninja"), "-f", filepath.Join(b.dir, "conf"), "-d", "--now", "--run", path)
	cmd.Env = append(os.Environ(), "PATH="+b.bin+":"+os.Getenv("PATH"), "HOME="+b.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		t.Errorf("backupninja: %v", err)
	}
	return out.String()
}

// TestBackupninjaDrivesGarner lets a wrapper that was written for restic run
// all it can with garner in restic's place: snapshots, init, backup, forget,
// prune and check. The real restic looks at what became of it.
func TestBackupninjaDrivesGarner(t *testing.T) {
	b := newBackupninja(t)
	src, repository := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	repotest.MakeTree(t, src)
	if err := os.WriteFile(filepath.Join(src, "left.out"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := fmt.Sprintf(`when = manual
[general]
run_backup = yes
run_forget = yes
run_check = yes
run_prune = yes
repository = %s
password = secret
cleanup_cache = yes
limit_upload = 100000
option = local.connections=3
[backup]
init = yes
include = %s
exclude = *.out
exclude_caches = yes
exclude_if_present = .nobackup
hostname = web1
tag = daily
one_file_system = yes
[forget]
keep_last = 2
group_by = host
compact = yes
prune = yes
[check]
read_data = yes
`, repository, src)
	for round := range 4 {
		if err := os.WriteFile(filepath.Join(src, "changing"), repotest.Random(byte(round), 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
		out := b.run(t, job)
		for _, step := range []string{"backup", "forget", "prune", "check"} {
			if !strings.Contains(out, "Restic "+step+" successful.") {
				t.Fatalf("round %d: no success of %s in\n%s", round, step, out)
			}
		}
		if first := strings.Contains(out, "Repository has been initialized."); first != (round == 0) {
			t.Errorf("round %d: initialized %v", round, first)
		}
	}
	r := restic(t, repository)
	r.ok("check", "--read-data")
	var list []struct {
		Hostname string
		Tags     []string
	}
	if err := json.Unmarshal([]byte(r.ok("snapshots", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Hostname != "web1" || fmt.Sprint(list[0].Tags) != "[daily]" {
		t.Errorf("snapshots: %+v", list)
	}
	if out := r.ok("ls", "latest"); strings.Contains(out, "left.out") || !strings.Contains(out, "changing") {
		t.Errorf("wrong files:\n%s", out)
	}
}
