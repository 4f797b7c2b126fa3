package repo_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateEdges = flag.Bool("update", false, "write the imports as they are into ARCHITECTURE.md")

const module = "github.com/garner-backup/garner/"

type listedPackage struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	GoFiles    []string
}

// packages returns the module's own packages by path below the module.
func packages(t *testing.T) map[string]listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string]listedPackage)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

// own returns the packages of the module that p imports.
func (p listedPackage) own() []string {
	var list []string
	for _, i := range p.Imports {
		if rest, ok := strings.CutPrefix(i, module); ok {
			list = append(list, rest)
		}
	}
	slices.Sort(list)
	return list
}

var edgeBlock = regexp.MustCompile("(?s)```edges\n(.*?)```")

// TestLayersImportsAreAsWritten compares the imports with the list in
// ARCHITECTURE.md. go test ./repo -run Layers -update writes the list anew;
// what it shows in the diff is then a decision.
func TestLayersImportsAreAsWritten(t *testing.T) {
	var lines []string
	for name, p := range packages(t) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s -> %s", name, strings.Join(p.own(), " "))))
	}
	slices.Sort(lines)
	edges := strings.Join(lines, "\n") + "\n"
	const file = "../ARCHITECTURE.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if *updateEdges {
		doc = edgeBlock.ReplaceAllLiteral(doc, []byte("```edges\n"+edges+"```"))
		if err := os.WriteFile(file, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	m := edgeBlock.FindSubmatch(doc)
	if m == nil {
		t.Fatal("ARCHITECTURE.md has no list of edges")
	}
	written := strings.Split(strings.TrimSpace(string(m[1])), "\n")
	for _, l := range lines {
		if !slices.Contains(written, l) {
			t.Errorf("not in ARCHITECTURE.md: %s", l)
		}
	}
	for _, l := range written {
		if !slices.Contains(lines, l) {
			t.Errorf("in ARCHITECTURE.md, but not so: %s", l)
		}
	}
}

// floor returns how high up a package is. Imports go to lower floors, or stay
// on the same one within what the maps allow.
func floor(name string) int {
	switch {
	case name == "chunk" || name == "crypto" || strings.HasPrefix(name, "crypto/"):
		return 0
	case name == "index":
		return 1
	case name == "repo/backend" || name == "repo/tree" || name == "repo/snapshot" || name == "repo/pattern":
		return 2
	case strings.HasPrefix(name, "repo/internal/"):
		return 3
	case name == "repo/pack" || strings.HasPrefix(name, "repo/backend/"):
		return 4
	case name == "repo":
		return 5
	case name == "repo/source" || name == "repo/foldercache":
		return 6
	case strings.HasPrefix(name, "repo/"):
		return 7 // verbs
	}
	return 8 // programs
}

func TestLayersImportsGoDown(t *testing.T) {
	sameFloor := map[[2]string]bool{
		{"repo/repair", "repo/check"}:                      true,
		{"repo/backend/backendtest", "repo/backend/layer"}: true,
	}
	for name, p := range packages(t) {
		for _, dep := range p.own() {
			up := floor(dep) > floor(name)
			aside := floor(dep) == floor(name) && floor(name) >= 4 && floor(name) < 8 && !sameFloor[[2]string{name, dep}]
			if up || aside {
				t.Errorf("%s imports %s", name, dep)
			}
			if dep == "repo/backend/open" && floor(name) < 8 {
				t.Errorf("%s imports %s: only programs know all drivers", name, dep)
			}
		}
	}
}

// below are packages that must not end, print, ask or look around.
func TestLayersLibraryLeavesTheProcessAlone(t *testing.T) {
	forbidden := regexp.MustCompile(`\b(os\.(Exit|Getenv|LookupEnv|Stdin|Stdout|Stderr)|log\.\w+|fmt\.Print\w*)\b|^func init\(`)
	for name, p := range packages(t) {
		if strings.HasPrefix(name, "cmd/") || name == "bench" || strings.HasSuffix(name, "test") {
			continue
		}
		for _, file := range p.GoFiles {
			b, err := os.ReadFile(path.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(b), "\n") {
				if code, _, _ := strings.Cut(line, "//"); forbidden.MatchString(code) {
					t.Errorf("%s/%s:%d: %s", name, file, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
}

func TestLayersPackagesSayWhatTheyAre(t *testing.T) {
	for name, p := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, p.Name) {
			t.Errorf("%s: the name says nothing", name)
		}
		found := false
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), path.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			found = found || f.Doc != nil
		}
		if !found && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", name)
		}
	}
}
