package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestOutputIsCommitted(t *testing.T) {
	dir := t.TempDir()
	generator := filepath.Join(dir, "gen.exe")
	if out, err := exec.Command("go", "build", "-o", generator, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	files := []string{"mix_amd64.s", "mix_amd64.go"}
	run := exec.Command(generator, "-out", files[0], "-stubs", files[1], "-pkg", "scrypt")
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	for _, name := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		// A checkout may have other ends of lines.
		if want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes: run go generate ./crypto/internal/scrypt", name)
		}
	}
}
