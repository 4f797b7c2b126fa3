package report_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/bench/machine"
	"github.com/garner-backup/garner/bench/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample returns a report of two peers; the second takes factor times as long.
func sample(factor float64) *report.Report {
	r := &report.Report{
		Format: 1, Time: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Runs: 5, Command: []string{"go", "run", "./bench", "--corpus", "src"},
		Machine: machine.Machine{OS: "linux", Arch: "amd64", Kernel: "6.1", CPU: "Model|7", Flags: []string{"aes", "sha_ni"}, Cores: 2, Memory: 24 << 30, FileSystem: "ext4", Load: "0.10"},
		Peers: []report.Peer{
			{Name: "restic", Kind: "restic", Path: "/usr/bin/restic", Version: "restic 0.19.1"},
			{Name: "new", Kind: "garner", Path: "/tmp/garner", Version: "garner 1.0"},
		},
		Corpora: []report.Corpus{{Name: "src", About: "Text files", Scale: 0.5, Seed: 7, Files: 20000, Bytes: 200 << 20}},
		Notes:   []string{"new: find: not offered"},
	}
	add := func(group, op, peer string, walls []float64, bytes, repository, calls int64) {
		l := r.Line(group, op, peer)
		l.Commands, l.Bytes, l.Syscalls = []string{"/usr/bin/" + peer + " " + op}, bytes, calls
		for _, w := range walls {
			l.Samples = append(l.Samples, report.Sample{Wall: w, User: w * 0.75, System: w / 4, RSS: int64(w * 10 * (1 << 20)), Repository: repository})
		}
	}
	slow := []float64{10, 11.5, 10.5, 10.2, 10.8}
	fast := make([]float64, len(slow))
	for i, w := range slow {
		fast[i] = w * factor
	}
	r.Limits = []report.Limits{{
		Group:      "src",
		Primitives: []report.Primitive{{Name: "open", Unit: "files", Speed: 123456.7}, {Name: "hash", Unit: "bytes", Speed: 2000 << 20}, {Name: "derive", Unit: "keys", Speed: 2.5}},
		Seconds:    map[string]float64{"backup1": 4, "ls": 0.41},
	}}
	add("src", "backup1", "restic", slow, 200<<20, 50<<20, 1000)
	add("src", "backup1", "new", fast, 200<<20, 49<<20, 900)
	add("src", "ls", "restic", []float64{0.5, 0.61, 0.55, 0.7, 0.52}, 0, 0, 0)
	add("src", "ls", "new", []float64{0.51, 0.6, 0.56, 0.69, 0.5}, 0, 0, 0)
	add("src", "find", "restic", []float64{0.5, 0.6}, 0, 0, 0)
	add("heavy", "prune", "restic", slow, 0, 0, 0)
	add("heavy", "prune", "new", fast, 0, 0, 0)
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s:\n%s", file, got)
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := sample(0.5).WriteMarkdown(&b, map[string]string{"src": "src.svg"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.md", b.Bytes())
}

func TestCompare(t *testing.T) {
	before, after := sample(0.8), sample(0.5)
	after.Machine.Kernel = "6.2"
	after.Corpora[0].Scale = 1
	after.Peers[1].Version = "garner 1.1"
	after.Lines[6].Samples = after.Lines[6].Samples[:2]
	after.Line("src", "stats", "new").Samples = []report.Sample{{Wall: 1}}
	var b bytes.Buffer
	if err := report.Compare(&b, before, after); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", b.Bytes())
}

func TestJSONRoundTrip(t *testing.T) {
	want := sample(0.5)
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	got, err := report.Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, wrote %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	line := `{"group":"src","operation":"ls","peer":"a","samples":[{"wall":1}]}`
	for name, doc := range map[string]string{
		"nothing":         ``,
		"no JSON":         `hello`,
		"other documents": `{"format": 99}`,
		"two documents":   `{"format": 1} {}`,
		"a line twice":    `{"format":1,"peers":[{"name":"a"}],"lines":[` + line + `,` + line + `]}`,
		"unknown peer":    `{"format":1,"lines":[` + line + `]}`,
		"a peer twice":    `{"format":1,"peers":[{"name":"a"},{"name":"a"}]}`,
		"no samples":      `{"format":1,"peers":[{"name":"a"}],"lines":[{"group":"src","peer":"a"}]}`,
		"no time":         `{"format":1,"peers":[{"name":"a"}],"lines":[{"group":"src","peer":"a","samples":[{"wall":0}]}]}`,
		"limits twice":    `{"format":1,"limits":[{"group":"a"},{"group":"a"}]}`,
		"no limit":        `{"format":1,"limits":[{"group":"a","seconds":{"ls":0}}]}`,
		"no speed":        `{"format":1,"limits":[{"group":"a","primitives":[{"name":"hash","speed":-1}]}]}`,
		"negative":        `{"format":1,"peers":[{"name":"a"}],"lines":[{"group":"src","peer":"a","samples":[{"wall":1,"rss":-1}]}]}`,
	} {
		if _, err := report.Read(strings.NewReader(doc)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := report.Read(strings.NewReader(`{"format":1,"peers":[{"name":"a"}],"lines":[` + line + `]}`)); err != nil {
		t.Error(err)
	}
}

// FuzzRead looks for documents that Read takes and nobody can show.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := sample(0.5).WriteJSON(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":1,"peers":[{"name":"a"}],"lines":[{"group":"src","peer":"a","samples":[{"wall":1e-300}]}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, err := report.Read(bytes.NewReader(doc))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := r.WriteMarkdown(&first, nil); err != nil {
			t.Fatal(err)
		}
		if err := report.Compare(&first, r, r); err != nil {
			t.Fatal(err)
		}
		first.Reset()
		if err := r.WriteJSON(&first); err != nil {
			t.Fatal(err)
		}
		again, err := report.Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.WriteJSON(&second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s\nbecame\n%s", first.Bytes(), second.Bytes())
		}
	})
}

func ExampleReport_Line() {
	r := new(report.Report)
	l := r.Line("src", "backup1", "garner")
	l.Samples = append(l.Samples, report.Sample{Wall: 1.5, User: 2, System: 0.25})
	fmt.Println(len(r.Lines), r.Line("src", "backup1", "garner").Samples[0].CPU())
	// Output: 1 2.25
}
