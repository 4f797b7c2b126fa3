package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The line that runs the generator is in this file of package chunk.
const directive = "../../planes_amd64.go"

func TestOutputIsCommitted(t *testing.T) {
	source, err := os.ReadFile(directive)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(source), "//go:generate go run ./internal/gen ")
	line, _, _ = strings.Cut(line, "\n")
	dir := t.TempDir()
	generator := filepath.Join(dir, "gen.exe")
	if out, err := exec.Command("go", "build", "-o", generator, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := exec.Command(generator, strings.Fields(line)...)
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(filepath.Dir(directive), name))
		if err != nil {
			t.Fatal(err)
		}
		// A checkout may have other ends of lines.
		if want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes: run go generate ./chunk", name)
		}
	}
}
