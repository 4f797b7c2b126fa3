package mount

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// topLines lists all above the snapshots' content: "path/" for a folder,
// "path = ID" for a snapshot, "path -> target" for a link.
func topLines(v *View) (lines []string) {
	var list func(n *topNode)
	list = func(n *topNode) {
		for _, name := range n.names {
			switch c := n.children[name]; {
			case c.isFolder():
				lines = append(lines, c.path+"/")
				list(c)
			case c.snapshot != nil:
				lines = append(lines, c.path+" = "+c.snapshot.Username)
			default:
				lines = append(lines, c.path+" -> "+c.target)
			}
		}
	}
	list(v.current(v.ctx))
	return lines
}

func same(t *testing.T, what string, got []string, want string) {
	t.Helper()
	lines := strings.Split(strings.Trim(want, "\n"), "\n")
	if want == "" {
		lines = nil
	}
	if !slices.Equal(got, lines) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// saveSnapshots stores snapshots that differ in their user name only where
// nothing else is said: "a", "b" and so on.
func (r *testRepo) saveSnapshots(t *testing.T, list ...snapshot.Snapshot) {
	t.Helper()
	root := r.saveTree(t)
	for i := range list {
		list[i].Username = string(rune('a' + i))
		list[i].Tree = &root
		r.saveSnapshot(t, &list[i])
	}
}

func TestTemplatesArrangeSnapshots(t *testing.T) {
	r := newRepo(t)
	cet := time.FixedZone("", 3600)
	at := func(s int) time.Time { return time.Date(2024, 5, 6, 7, 8, s, 0, cet) }
	r.saveSnapshots(t,
		snapshot.Snapshot{Time: at(0), Hostname: "h1"},
		snapshot.Snapshot{Time: at(1), Hostname: "h2", Tags: []string{"x", "y/z"}},
		snapshot.Snapshot{Time: at(1).Add(time.Millisecond), Hostname: "h2", Tags: []string{"p/q"}},
		snapshot.Snapshot{Time: at(1).Add(2 * time.Millisecond), Hostname: "h2", Tags: []string{"..", ".", ""}},
	)
	for _, tc := range []struct {
		name string
		opts Options
		want string
	}{
		{"by time", Options{PathTemplates: []string{"snapshots/%T"}}, `
snapshots/
snapshots/2024-05-06T07:08:00+01:00 = a
snapshots/2024-05-06T07:08:01+01:00 = b
snapshots/2024-05-06T07:08:01+01:00-1 = c
snapshots/2024-05-06T07:08:01+01:00-2 = d
snapshots/latest -> 2024-05-06T07:08:01+01:00-2`},
		{"by host, time as folders", Options{PathTemplates: []string{"%h/%T"}, TimeTemplate: "2006/05"}, `
h1/
h1/2024/
h1/2024/00 = a
h1/latest -> 2024/00
h2/
h2/2024/
h2/2024/01 = b
h2/2024/01-1 = c
h2/2024/01-2 = d
h2/latest -> 2024/01-2`},
		{"by tag", Options{PathTemplates: []string{"t/%t/%T"}, TimeTemplate: "05"}, `
t/
t/_/
t/_/01 = d
t/_/01-1 = d
t/_/latest -> 01-1
t/__/
t/__/01 = d
t/__/latest -> 01
t/p/
t/p/q/
t/p/q/01 = c
t/p/q/latest -> 01
t/x/
t/x/01 = b
t/x/latest -> 01
t/y_z/
t/y_z/01 = b
t/y_z/latest -> 01`},
		{"nothing selected", Options{Filter: snapshot.Filter{Hosts: []string{"none"}}, PathTemplates: []string{"a/b%h/%T", "plain", "/c/%i", "d%T", "100%%/%T", "no/%x"}}, `
100%/
a/
c/`},
		{"no link without a folder of times", Options{Filter: snapshot.Filter{Hosts: []string{"h1"}}, PathTemplates: []string{"d%T", "%T/e", "%T"}, TimeTemplate: "05"}, `
00/
00/e = a
00-1 = a
d00 = a
latest -> 00-1`},
		{"percent signs", Options{Filter: snapshot.Filter{Hosts: []string{"h1"}}, PathTemplates: []string{"%%%x%u%"}}, `
%xa = a`},
		{"a name is never taken twice", Options{Filter: snapshot.Filter{Hosts: []string{"h1"}}, PathTemplates: []string{"same", "same", "same/%T", "latest", "%T"}, TimeTemplate: "05"}, `
00 = a
latest = a
same/
same/00 = a
same/latest -> 00
same-1 = a
same-2 = a`},
		{"paths stay inside", Options{Filter: snapshot.Filter{Hosts: []string{"h1"}}, PathTemplates: []string{"../../up/%T", "x/../%h"}, TimeTemplate: "../../05"}, `
00 = a
h1 = a
up/
up/latest -> ../../00`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opts.Report = func(error) {} // of names that are taken
			v := r.view(t, &tc.opts)
			same(t, tc.name, topLines(v), tc.want)
		})
	}
}

func TestDefaultTemplates(t *testing.T) {
	r := newRepo(t)
	same(t, "empty repository", topLines(r.view(t, nil)), "hosts/\nids/\nsnapshots/\ntags/")
	r.saveSnapshots(t, snapshot.Snapshot{Time: time.Date(2024, 5, 6, 7, 8, 9, 5, time.UTC), Hostname: "h"})
	var id crypto.ID
	for sn := range r.AllSnapshots(t.Context()) {
		id = sn.ID
	}
	same(t, "one snapshot", topLines(r.view(t, nil)), `
hosts/
hosts/h/
hosts/h/2024-05-06T07:08:09Z = a
hosts/h/latest -> 2024-05-06T07:08:09Z
ids/
ids/`+id.Short()+` = a
snapshots/
snapshots/2024-05-06T07:08:09Z = a
snapshots/latest -> 2024-05-06T07:08:09Z
tags/`)
	same(t, "user and ID", topLines(r.view(t, &Options{PathTemplates: []string{"%u-%I"}})), "a-"+id.String()+" = a")
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestNewSnapshotsAppear(t *testing.T) {
	r := newRepo(t)
	c := &clock{now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	file := func(content string) *snapshot.Snapshot {
		sn := r.saveFile(t, []byte(content))
		c.add(time.Second)
		return sn
	}
	first := file("first")
	var reports []string
	v := r.view(t, &Options{
		PathTemplates: []string{"%I", "s/%T"}, TimeTemplate: "2006", Now: c.Now,
		Report: func(err error) { reports = append(reports, err.Error()) },
	})
	latest := func() string {
		b, err := fs.ReadFile(v, "s/latest/f")
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	if got := latest(); got != "first" {
		t.Errorf("latest is %q", got)
	}
	id := r.saveBlobs(t, dataBlob([]byte("second")))
	root := r.saveTree(t, tree.Node{Name: "f", Type: tree.TypeFile, Size: 6, Content: id})
	second := r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: c.Now()})
	if got := latest(); got != "first" {
		t.Errorf("latest is %q before it was time to look", got)
	}
	c.add(time.Minute)
	if got := latest(); got != "second" {
		t.Errorf("latest is %q", got)
	}

	// A snapshot that is gone disappears, and another one may get its name.
	if err := r.Remove(t.Context(), backend.SnapshotFile, second.ID); err != nil {
		t.Fatal(err)
	}
	c.add(time.Minute)
	if got := latest(); got != "first" {
		t.Errorf("latest is %q after the second was removed", got)
	}
	if _, err := v.Stat(second.ID.String()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the removed snapshot: %v", err)
	}
	if len(reports) != 0 {
		t.Errorf("reported: %q", reports)
	}

	// While the storage fails, what was known stays.
	r.be.SetRule(func(op layer.Op, h backend.Handle, n int) backendtest.Fault { return backendtest.Fail })
	c.add(time.Minute)
	if _, err := v.Stat(first.ID.String()); err != nil {
		t.Errorf("the known snapshot: %v", err)
	}
	if len(reports) != 1 || !strings.Contains(reports[0], "injected") {
		t.Errorf("reported: %q", reports)
	}
	if _, err := v.Stat(first.ID.String()); err != nil || len(reports) != 1 {
		t.Errorf("a failure is followed by the next attempt at once: %v, %q", err, reports)
	}
}

// TestDamagedSnapshotsAreLeftOut and told once.
func TestDamagedSnapshotsAreLeftOut(t *testing.T) {
	r := newRepo(t)
	good := r.saveFile(t, []byte("good"))
	bad := backend.Handle{Type: backend.SnapshotFile, Name: crypto.Hash([]byte("bad")).String()}
	if err := r.be.Save(t.Context(), bad, backend.Bytes("no snapshot")); err != nil {
		t.Fatal(err)
	}
	c := &clock{now: time.Now()}
	reports := 0
	v := r.view(t, &Options{PathTemplates: []string{"%I"}, Now: c.Now, Report: func(error) { reports++ }})
	for range 3 {
		list, err := v.ReadDir(".")
		if err != nil || len(list) != 1 || list[0].Name() != good.ID.String() {
			t.Errorf("%v, %v", list, err)
		}
		c.add(time.Hour)
	}
	if reports != 1 {
		t.Errorf("%d reports", reports)
	}
}

func TestOwnersOfTheView(t *testing.T) {
	r := newRepo(t)
	root := r.saveTree(t, tree.Node{Name: "f", Type: tree.TypeFile, UID: 7, GID: 8, Content: []crypto.ID{}})
	r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: time.Now()})
	for _, ownerRoot := range []bool{false, true} {
		v := r.view(t, &Options{UID: 5, GID: 6, OwnerRoot: ownerRoot})
		for p, want := range map[string]owner{".": {uid: 5, gid: 6}, "snapshots/latest": {uid: 5, gid: 6}, "snapshots/latest/f": {uid: 7, gid: 8}} {
			if ownerRoot {
				want = owner{}
			}
			if it, err := v.resolve(t.Context(), p, true); err != nil || *it.owner != want {
				t.Errorf("%s: %+v, %v", p, it.owner, err)
			}
		}
	}
}
