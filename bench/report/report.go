// Package report holds what was measured, computes with it and shows it: as
// JSON for programs, as Markdown with tables, as plots, and compared with an
// earlier report.
//
// Report is the document; Read and Report.WriteJSON are inverse. Everything
// shown is computed from its samples, so an old document can be shown anew.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/garner-backup/garner/bench/machine"
)

// format is the number of the JSON document's layout.
const format = 1

// MaxRuns is how many samples a line may have; judging more would take long.
const MaxRuns = 50

// Report is all that a run of the benchmarks found.
type Report struct {
	Format  int             `json:"format"`
	Time    time.Time       `json:"time"` // of the beginning
	Command []string        `json:"command"`
	Machine machine.Machine `json:"machine"`
	Runs    int             `json:"runs"` // asked for
	Peers   []Peer          `json:"peers"`
	Corpora []Corpus        `json:"corpora"`
	Lines   []Line          `json:"lines"`
	// Limits are how fast this machine could be at all; older reports have none.
	Limits []Limits `json:"limits,omitempty"`
	// Notes say what was left out, and why.
	Notes []string `json:"notes,omitempty"`
}

// Peer is a program that was measured.
type Peer struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Corpus is the data of a group of lines.
type Corpus struct {
	Name  string  `json:"name"` // as in Line.Group
	About string  `json:"about"`
	Scale float64 `json:"scale"`
	Seed  uint64  `json:"seed"`
	Files int     `json:"files"`
	Bytes int64   `json:"bytes"`
}

// Line is one operation on one corpus by one peer.
type Line struct {
	Group     string   `json:"group"` // a corpus or a scenario
	Operation string   `json:"operation"`
	Peer      string   `json:"peer"`
	Commands  []string `json:"commands"` // of the first run
	// Bytes is how many the operation is about, if its throughput matters.
	Bytes   int64    `json:"bytes,omitempty"`
	Samples []Sample `json:"samples"`
	// Syscalls is how many calls to the kernel one more run made, which is not
	// among the samples; 0 if nobody counted.
	Syscalls int64 `json:"syscalls,omitempty"`
}

// Limits is how fast the operations of a group could be.
type Limits struct {
	Group      string      `json:"group"`
	Primitives []Primitive `json:"primitives"`
	// Seconds are by operation; those without a sensible bound are not there.
	Seconds map[string]float64 `json:"seconds"`
}

// Primitive is something that operations consist of, on one core.
type Primitive struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Speed float64 `json:"speed"` // units per second
}

// Sample is one run. Times are in seconds, sizes in bytes.
type Sample struct {
	Wall   float64 `json:"wall"`
	User   float64 `json:"user"`
	System float64 `json:"system"`
	RSS    int64   `json:"rss"`
	// Repository is the sum of the sizes of its files after the operation, if
	// that changes it.
	Repository int64 `json:"repository,omitempty"`
}

// CPU returns user and system time together.
func (s Sample) CPU() float64 { return s.User + s.System }

// Line returns the line, which is added if there is none.
func (r *Report) Line(group, operation, peer string) *Line {
	if i := r.find(group, operation, peer); i >= 0 {
		return &r.Lines[i]
	}
	r.Lines = append(r.Lines, Line{Group: group, Operation: operation, Peer: peer})
	return &r.Lines[len(r.Lines)-1]
}

func (r *Report) find(group, operation, peer string) int {
	return slices.IndexFunc(r.Lines, func(l Line) bool { return l.Group == group && l.Operation == operation && l.Peer == peer })
}

// groups returns the groups, and operations the operations of one, in the
// order of their first line.
func (r *Report) groups() []string {
	return distinct(r.Lines, func(l Line) (string, bool) { return l.Group, true })
}

func (r *Report) operations(group string) []string {
	return distinct(r.Lines, func(l Line) (string, bool) { return l.Operation, l.Group == group })
}

func distinct(lines []Line, key func(Line) (string, bool)) []string {
	var list []string
	for _, l := range lines {
		if k, ok := key(l); ok && !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list
}

// Note adds a note, once.
func (r *Report) Note(text string, args ...any) {
	note := fmt.Sprintf(text, args...)
	if !slices.Contains(r.Notes, note) {
		r.Notes = append(r.Notes, note)
	}
}

// WriteJSON writes the document.
func (r *Report) WriteJSON(w io.Writer) error {
	r.Format = format
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(r)
}

// Read reads a document.
func Read(rd io.Reader) (*Report, error) {
	dec := json.NewDecoder(rd)
	r := new(Report)
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("not a report of benchmarks: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a report of benchmarks: something follows it")
	}
	if r.Format != format {
		return nil, fmt.Errorf("the report has format %d, and this program knows %d", r.Format, format)
	}
	return r, r.valid()
}

// ReadFile reads the document in a file.
func ReadFile(name string) (*Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// valid refuses what no run can have measured.
func (r *Report) valid() error {
	type key struct{ group, operation, peer string }
	seen := make(map[key]bool)
	peers := make(map[string]bool)
	for _, p := range r.Peers {
		if peers[p.Name] {
			return fmt.Errorf("peer %s: it is there twice", p.Name)
		}
		peers[p.Name] = true
	}
	if err := r.validLimits(); err != nil {
		return err
	}
	for _, l := range r.Lines {
		k := key{l.Group, l.Operation, l.Peer}
		where := fmt.Sprintf("line %s, %s, %s", l.Group, l.Operation, l.Peer)
		switch {
		case seen[k]:
			return fmt.Errorf("%s: it is there twice", where)
		case !peers[l.Peer]:
			return fmt.Errorf("%s: the list of peers does not have it", where)
		case len(l.Samples) == 0 || len(l.Samples) > MaxRuns:
			return fmt.Errorf("%s: it has %d samples; there must be 1 to %d", where, len(l.Samples), MaxRuns)
		case l.Bytes < 0 || l.Syscalls < 0:
			return fmt.Errorf("%s: a number is negative", where)
		}
		for _, s := range l.Samples {
			if !(s.Wall > 0) || !(s.User >= 0) || !(s.System >= 0) || math.IsInf(s.Wall+s.User+s.System, 0) || s.RSS < 0 || s.Repository < 0 {
				return fmt.Errorf("%s: a sample can't be", where)
			}
		}
		seen[k] = true
	}
	return nil
}

func (r *Report) validLimits() error {
	seen := make(map[string]bool)
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
	for _, l := range r.Limits {
		if seen[l.Group] {
			return fmt.Errorf("limits of %s: they are there twice", l.Group)
		}
		seen[l.Group] = true
		for _, p := range l.Primitives {
			if !positive(p.Speed) {
				return fmt.Errorf("limits of %s: %s can't have that speed", l.Group, p.Name)
			}
		}
		for op, s := range l.Seconds {
			if !positive(s) {
				return fmt.Errorf("limits of %s: %s can't take that time", l.Group, op)
			}
		}
	}
	return nil
}
