package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/bench/measure"
	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/report"
	"github.com/garner-backup/garner/bench/scenario"
)

func TestMain(m *testing.M) {
	if measure.Child(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}

// fake has restic's command line. A snapshot is a file with the checksum of
// the source; it writes down what it is told, with how many snapshots there are.
const fake = `#!/bin/sh
repo=$2; op=$3
case $op in
init) mkdir -p "$repo" ;;
backup) n=$(ls "$repo" | wc -l); find "$4" -type f -exec cksum {} + | cksum >"$repo/snapshot$n" ;;
forget) ls -t "$repo" | tail -n +$(($5 + 1)) | while read -r f; do rm "$repo/$f"; done ;;
esac
echo "$(basename "$(dirname "$(dirname "$repo")")") $op $(ls "$repo" | wc -l) $(cat "$repo"/* | sort -u | wc -l)" >>%s
`

func TestHeavyPrunesCopiesOfOneRepository(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	program, calls := filepath.Join(dir, "fake"), filepath.Join(dir, "calls")
	if err := os.WriteFile(program, fmt.Appendf(nil, fake, calls), 0o755); err != nil {
		t.Fatal(err)
	}
	c := &scenario.Config{Scenarios: []string{"heavy"}, Scale: 0.001, Runs: 2, Heavy: 7, CorpusDir: filepath.Join(dir, "corpora"), RunDir: filepath.Join(dir, "run"), Path: os.Getenv("PATH")}
	for _, name := range []string{"a", "b"} {
		p, err := peer.New("restic", name, program)
		if err != nil {
			t.Fatal(err)
		}
		c.Peers = append(c.Peers, p)
	}
	rep := new(report.Report)
	if err := scenario.Run(t.Context(), c, rep); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(b)), "\n")
	want := []string{"built init 0 0"}
	for i := range 7 { // each with other files
		want = append(want, fmt.Sprintf("built backup %d %[1]d", i+1))
	}
	for run := range 2 {
		for range c.Peers {
			want = append(want, fmt.Sprintf("run-%d forget 5 5", run), fmt.Sprintf("run-%d check 5 5", run))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls, snapshots and distinct ones:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"a", "b"} {
		if l := rep.Line("heavy", "prune", name); len(l.Samples) != 2 || l.Samples[0].Repository == 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if left, err := os.ReadDir(c.RunDir); err != nil || len(left) > 3 {
		t.Errorf("left %v (%v)", left, err)
	}
}

func TestRunKnowsWhatThereIs(t *testing.T) {
	for want, c := range map[string]*scenario.Config{
		"no scenario is called":  {Scenarios: []string{"dance"}},
		"no corpus is called":    {Corpora: []string{"dance"}},
		"no operation is called": {Operations: []string{"dance"}},
	} {
		c.RunDir, c.CorpusDir = t.TempDir(), t.TempDir()
		if err := scenario.Run(t.Context(), c, new(report.Report)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func ExampleNames() {
	fmt.Println(scenario.Names())
	// Output: [heavy snapshots blobs]
}
