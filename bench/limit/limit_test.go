package limit_test

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/limit"
	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
)

// speeds take a second for a hundred units of each primitive, and two for a key.
func speeds() limit.Speeds {
	s := make(limit.Speeds)
	for _, p := range limit.Primitives() {
		s[p] = 100
	}
	s[limit.Derive] = 0.5
	return s
}

func work() limit.Work {
	return limit.Work{
		Corpus:  &limit.Files{Entries: 300, Files: 200, Content: 1000, Large: 400},
		Changed: &limit.Files{Entries: 2, Files: 2, Content: 20, Large: 10},
		First:   &limit.Stored{Data: 800, Trees: 100, StoredData: 500, StoredTrees: 50},
		All:     &limit.Stored{Data: 820, Trees: 110, StoredData: 510, StoredTrees: 55},
		Cores:   2,
	}
}

func TestSeconds(t *testing.T) {
	// What follows 2 is units, of which two cores do 200 a second.
	want := map[string]float64{
		"snapshots": 2,
		"restore1":  2,
		"backup2":   2 + 300.0/200,
		"backup1":   2 + (300+200+1000+400+1100+800+3*550)/200.0,
		"backup3":   2 + (300+2+20+10+30+20+3*15)/200.0,
		"ls":        2 + (2*50+2*100)/200.0,
		"find":      2 + (2*50+2*100)/200.0,
		"stats":     2 + (2*50+2*100)/200.0,
		"prune":     2 + (2*50+2*100)/200.0,
		"check":     2 + (2*55+2*110)/200.0,
		"checkdata": 2 + (3*565+2*930)/200.0,
		"copy":      2 + (5*565+2*930)/200.0,
		"mount":     2 + (2*550+2*900)/200.0,
		"restore":   2 + (200+1000+2*550+2*900)/200.0,
	}
	for op, seconds := range want {
		got, ok := limit.Seconds(op, work(), speeds())
		if !ok || math.Abs(got-seconds) > 1e-9 {
			t.Errorf("%s: %g s (%v), want %g s", op, got, ok, seconds)
		}
	}
	if n := len(limit.Formulas(work())); n != len(want) {
		t.Errorf("there are %d formulas, and %d are tested", n, len(want))
	}
}

func TestSecondsAreUnknownIfAPartIs(t *testing.T) {
	slow := speeds()
	delete(slow, limit.Hash)
	early := work()
	early.All = nil
	for name, test := range map[string]struct {
		op string
		w  limit.Work
		s  limit.Speeds
	}{
		"no formula":   {"version", work(), speeds()},
		"no speed":     {"backup1", work(), slow},
		"no amount":    {"check", early, speeds()},
		"no speeds":    {"snapshots", work(), nil},
		"nothing done": {"backup1", limit.Work{}, speeds()},
	} {
		if s, ok := limit.Seconds(test.op, test.w, test.s); ok {
			t.Errorf("%s: %g s", name, s)
		}
	}
	if _, ok := limit.Seconds("backup2", work(), slow); !ok {
		t.Error("backup2 does not hash, but has no limit without its speed")
	}
}

func TestMeasure(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is measured there")
	}
	c, err := corpus.Make(t.Context(), filepath.Join(t.TempDir(), "files"), corpus.Spec{Name: "src", Scale: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := limit.Look(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if f := tree.All(); f.Files == 0 || f.Entries <= f.Files || f.Content == 0 || f.Content > c.Bytes {
		t.Errorf("looks like %+v; the corpus has %d files, %d bytes", f, c.Files, c.Bytes)
	}
	s, errs := limit.Measure(t.Context(), limit.Config{Tree: tree, Scratch: t.TempDir()})
	if len(errs) > 0 {
		t.Error(errs)
	}
	for _, p := range limit.Primitives() {
		if p != limit.Derive && !(s[p] > 0) {
			t.Errorf("%s: %g %s a second", p, s[p], p.Unit())
		}
	}
}

// What can't be measured is missing, and there is a reason for each.
func TestMeasureOfNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is measured there")
	}
	tree, err := limit.Look(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, errs := limit.Measure(t.Context(), limit.Config{Tree: tree, Scratch: t.TempDir()})
	if len(errs) == 0 || s[limit.Hash] != 0 || s[limit.Open] != 0 || s[limit.Write] == 0 {
		t.Errorf("speeds %v, errors %v", s, errs)
	}
}

func TestSinceFindsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"same", "longer", "touched"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := limit.Look(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "longer"), make([]byte, chunk.DefaultMinSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	old := before.All()
	if err := os.Chtimes(filepath.Join(dir, "touched"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	after, err := limit.Look(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got := after.Since(before)
	if got.Files != 2 || got.Large == 0 || got.Large >= got.Content || old.Large != 0 {
		t.Errorf("changed %+v", got)
	}
}

func TestRepository(t *testing.T) {
	dir := t.TempDir()
	be, err := local.Open(filepath.Join(dir, "repository"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	if _, err := repo.Init(t.Context(), be, "secret", nil); err != nil {
		t.Fatal(err)
	}
	if speed, err := limit.MeasureDerive(t.Context(), filepath.Join(dir, "repository"), "secret"); err != nil || !(speed > 0) {
		t.Errorf("%g keys a second (%v)", speed, err)
	}
	if s, err := limit.Ask(t.Context(), filepath.Join(dir, "repository"), "secret"); err != nil || *s != (limit.Stored{}) {
		t.Errorf("an empty repository has %+v (%v)", s, err)
	}
	if _, err := limit.MeasureDerive(t.Context(), dir, "secret"); err == nil {
		t.Error("derived a key where there is none")
	}
}
