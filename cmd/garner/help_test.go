package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// helpSections are the lists of a command's help: its subcommands and flags.
type helpSections struct {
	commands []string
	flags    map[string]helpFlag
}

// helpFlag is a flag as its help shows it.
type helpFlag struct {
	short string
	value bool   // takes one
	def   string // the default, if not nothing
}

var (
	helpCommand = regexp.MustCompile(`^  ([a-z][a-z-]*) +\S`)
	helpLine    = regexp.MustCompile(`^  +(?:-(\w), |    )--([a-z0-9-]+)(?:\[=[^]]*\])?( \S+)?(?:  +(.*))?$`)
	helpDefault = regexp.MustCompile(`\(default (.*)\)$`)
)

// readHelp reads the lists out of a help text.
func readHelp(text string) helpSections {
	h := helpSections{flags: make(map[string]helpFlag)}
	commands := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasSuffix(line, "Commands:") || line == "Additional commands:" || strings.HasSuffix(line, "Options:"):
			commands = true
			continue
		case strings.HasSuffix(line, "lags:"):
			commands = false
			continue
		}
		if m := helpLine.FindStringSubmatch(line); m != nil {
			f := helpFlag{short: m[1], value: m[3] != ""}
			if d := helpDefault.FindStringSubmatch(m[4]); d != nil {
				f.def = strings.Trim(d[1], `"[]`)
			}
			h.flags[m[2]] = f
		} else if m := helpCommand.FindStringSubmatch(line); m != nil && commands {
			h.commands = append(h.commands, m[1])
		}
	}
	return h
}

// documented reports whether docs/compatibility.md has a row about a flag, or
// about a command if flag is empty.
func documented(t *testing.T, command, flag string) bool {
	t.Helper()
	b, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if !ok || !strings.HasPrefix(line, "| ") {
			continue
		}
		words := strings.FieldsFunc(cell, func(r rune) bool { return r == '`' || r == ' ' || r == ',' })
		if slices.Contains(words, command) && (flag == "" || slices.Contains(words, "--"+flag)) {
			return true
		}
	}
	return false
}

// TestHelpHasRestics walks the help of all of restic's commands. Each flag
// must be there with the same short form, kind and default, or stand in
// docs/compatibility.md with the reason why not; and then it is refused.
func TestHelpHasRestics(t *testing.T) {
	r, g := restic(t, "nowhere"), garner(t, "nowhere")
	g.env = append(g.env, "RESTIC_CACHE_DIR=")
	seen := 0
	var walk func(path []string)
	walk = func(path []string) {
		name := strings.Join(path, " ")
		args := append([]string{"help"}, path...)
		want := readHelp(r.ok(args...))
		got := g.run(args...)
		if got.code != 0 || !strings.Contains(got.stdout, "garner "+name) {
			if !documented(t, name, "") {
				t.Errorf("garner %s: not there, and not in docs/compatibility.md", name)
			}
			return
		}
		have := readHelp(got.stdout)
		for flag, w := range want.flags {
			seen++
			compareFlags(t, g, path, flag, w, have.flags)
		}
		for _, c := range want.commands {
			if c != "help" {
				walk(append(slices.Clone(path), c))
			}
		}
	}
	walk(nil)
	if seen < 300 {
		t.Errorf("%d flags compared: the help was not understood", seen)
	}
}

// compareFlags looks at one flag of restic's.
func compareFlags(t *testing.T, g *program, path []string, flag string, want helpFlag, have map[string]helpFlag) {
	t.Helper()
	name := strings.Join(path, " ")
	h, ok := have[flag]
	if !ok {
		if !documented(t, name, flag) {
			t.Errorf("%s --%s: not there, and not in docs/compatibility.md", name, flag)
		}
		args := append(slices.Clone(path), "--"+flag)
		if want.value {
			args = append(args, "x")
		}
		if res := g.run(args...); res.code == 0 || !strings.Contains(res.stderr, flag) {
			t.Errorf("%s --%s is neither there nor refused: exit code %d, %q", name, flag, res.code, res.stderr)
		}
		return
	}
	if h.short != want.short || h.value != want.value && flag != "verbose" { // counts, or takes a value
		t.Errorf("%s --%s: short form %q, takes a value %v; restic: %q, %v", name, flag, h.short, h.value, want.short, want.value)
	}
	if h.def != want.def && !documented(t, name, flag) {
		t.Errorf("%s --%s: default %s; restic: %s", name, flag, fmt.Sprintf("%q", h.def), fmt.Sprintf("%q", want.def))
	}
}
