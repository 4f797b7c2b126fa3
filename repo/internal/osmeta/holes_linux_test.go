package osmeta

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/garner-backup/garner/repo/tree"
)

// TestHolesAreRead compares what is read of sparse files with what is there.
func TestHolesAreRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	told := 0
	for i := range 40 {
		path := filepath.Join(t.TempDir(), "sparse")
		size := minSparse + r.Int64N(8<<20)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for range i % 7 {
			piece := make([]byte, 1+r.IntN(300_000))
			for j := range piece {
				piece[j] = byte(r.Uint32())
			}
			if _, err := f.WriteAt(piece, r.Int64N(size)); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var n tree.Node
		file, err := OpenFile(path, &n)
		if err != nil {
			t.Fatal(err)
		}
		if file.holes != nil {
			told++
		}
		var got bytes.Buffer
		buf := make([]byte, 1+r.IntN(700_000))
		for {
			for i := range buf {
				buf[i] = 0xaa // a hole must overwrite what is there
			}
			m, err := file.Read(buf)
			got.Write(buf[:m])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("file %d: %d bytes were read of %d, or others", i, got.Len(), len(want))
		}
	}
	if told == 0 {
		t.Skip("the file system has no holes")
	}
}

// TestASparseFileThatIsCutOff ends where it ends by then.
func TestASparseFileThatIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(4 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("data"), 3<<20); err != nil {
		t.Fatal(err)
	}
	var n tree.Node
	file, err := OpenFile(path, &n)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buf := make([]byte, 1<<20)
	if _, err := io.ReadFull(file, buf); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(2 << 20); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(file)
	if err != nil || len(rest) > 3<<20 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}
