package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// cutContent cuts content that only seed determines.
func cutContent(seed byte, sizes ...int) (list [][]byte, whole []byte) {
	for i, n := range sizes {
		list = append(list, repotest.Random(seed+byte(i), n))
		whole = append(whole, list[i]...)
	}
	return list, whole
}

func TestFilesReadLikeBytes(t *testing.T) {
	r := newRepo(t)
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 3000), 0, 12).Draw(rt, "sizes")
		list, whole := cutContent(byte(rapid.IntRange(0, 200).Draw(rt, "seed")), sizes...)
		if len(list) > 2 && rapid.Bool().Draw(rt, "repeat") {
			list = append(list, list[0]) // a blob that is there twice
			whole = append(whole, list[0]...)
		}
		sn := r.saveFile(t, list...)
		v := r.view(t, &Options{PathTemplates: []string{"%I"}, BlobCache: rapid.Int64Range(1, 5000).Draw(rt, "cache")})
		defer v.Close()
		opened, err := v.Open(sn.ID.String() + "/f")
		if err != nil {
			rt.Fatal(err)
		}
		defer opened.Close()
		f := opened.(*openFile)
		want := bytes.NewReader(whole)
		rt.Repeat(map[string]func(*rapid.T){
			"ReadAt": func(rt *rapid.T) {
				off := rapid.Int64Range(0, int64(len(whole))+10).Draw(rt, "offset")
				n := rapid.IntRange(0, 5000).Draw(rt, "length")
				a, b := make([]byte, n), make([]byte, n)
				na, ea := f.ReadAt(a, off)
				nb, eb := want.ReadAt(b, off)
				if na != nb || !bytes.Equal(a[:na], b[:nb]) || n > 0 && ea != eb {
					rt.Fatalf("ReadAt(%d, %d): %d bytes, %v; want %d, %v", n, off, na, ea, nb, eb)
				}
			},
			"Seek and read": func(rt *rapid.T) {
				off := rapid.Int64Range(-20, int64(len(whole))+20).Draw(rt, "offset")
				whence := rapid.IntRange(0, 3).Draw(rt, "whence")
				pa, ea := f.Seek(off, whence)
				pb, eb := want.Seek(off, whence)
				if pa != pb || (ea == nil) != (eb == nil) {
					rt.Fatalf("Seek(%d, %d): %d, %v; want %d, %v", off, whence, pa, ea, pb, eb)
				}
				n := rapid.IntRange(0, 2000).Draw(rt, "length")
				a, b := make([]byte, n), make([]byte, n)
				na, ea := io.ReadFull(f, a)
				nb, eb := io.ReadFull(want, b)
				if na != nb || ea != eb || !bytes.Equal(a, b) {
					rt.Fatalf("read: %d bytes, %v; want %d, %v", na, ea, nb, eb)
				}
			},
			"WriteTo": func(rt *rapid.T) {
				var a, b bytes.Buffer
				_, ea := f.WriteTo(&a)
				_, eb := want.WriteTo(&b)
				if ea != nil || eb != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
					rt.Fatalf("WriteTo: %d bytes, %v; want %d, %v", a.Len(), ea, b.Len(), eb)
				}
			},
		})
	})
}

func TestFilesPassIotest(t *testing.T) {
	r := newRepo(t)
	list, whole := cutContent(1, 700, 1, 1300, 50)
	r.saveFile(t, list...)
	v := r.view(t, nil)
	f, err := v.Open("snapshots/latest/f")
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(f, whole); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

// TestConcurrentReaders read one file and one another's blobs with a cache
// that holds little of it.
func TestConcurrentReaders(t *testing.T) {
	r := newRepo(t)
	var sizes []int
	for i := range 60 {
		sizes = append(sizes, 1000+37*i)
	}
	list, whole := cutContent(1, sizes...)
	r.saveFile(t, list...)
	v := r.view(t, &Options{BlobCache: 20_000})
	f, err := v.Open("snapshots/latest/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			if g%2 == 0 {
				own, err := v.Open("snapshots/latest/f")
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(own)
				if err != nil || !bytes.Equal(b, whole) {
					t.Errorf("sequential: %d bytes, %v", len(b), err)
				}
			}
			for range 200 {
				off := rng.IntN(len(whole))
				b := make([]byte, min(rng.IntN(4000), len(whole)-off))
				if n, err := f.(io.ReaderAt).ReadAt(b, int64(off)); n != len(b) || err != nil || !bytes.Equal(b, whole[off:off+n]) {
					t.Errorf("at %d: %d of %d bytes, %v", off, n, len(b), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if used := v.blobs.used; used > 20_000 {
		t.Errorf("the cache holds %d bytes", used)
	}
}

// TestBlobsAreLoadedAheadInSequence: never at the start or at random places,
// no blob twice, and no more than the cache can hold.
func TestBlobsAreLoadedAheadInSequence(t *testing.T) {
	r := newRepo(t)
	const size = startAhead + 1000
	list, whole := cutContent(1, slices16(size)...)
	r.saveFile(t, list...)
	loads := r.loads()
	v := r.view(t, &Options{BlobCache: 24 * size})
	if _, err := v.Stat("snapshots/latest/f"); err != nil {
		t.Fatal(err)
	}
	open := func() io.ReaderAt {
		f, err := v.Open("snapshots/latest/f")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f.(io.ReaderAt)
	}
	read := func(f io.ReaderAt, off int) int {
		t.Helper()
		b := make([]byte, 10)
		if _, err := f.ReadAt(b, int64(off)); err != nil || !bytes.Equal(b, whole[off:off+10]) {
			t.Errorf("at %d: %v", off, err)
		}
		waitLoads(v)
		return loads()
	}
	loads()
	f := open()
	for _, step := range []struct{ off, want int }{
		{0, 1},              // only what was asked for
		{100, 0},            //
		{startAhead + 1, 2}, // goes on: blobs 1 and 2
		{size, 3},           // blob 1: the window grows up to blob 5
		{2 * size, 3},       // blob 2: up to 8, which is a quarter of the cache
		{size + 500, 0},     // overtaken
		{3 * size, 1},       // blob 3
		{14 * size, 1},      // somewhere else
		{12 * size, 1},      // backwards
		{13 * size, 2},      // blob 13, and 15 ahead; 14 is there
	} {
		if got := read(f, step.off); got != step.want {
			t.Errorf("reading at %d took %d loads, want %d", step.off, got, step.want)
		}
	}
	if got := read(open(), startAhead+1); got != 0 {
		t.Errorf("another reader took %d loads of what is in the cache", got)
	}
}

func slices16(size int) (list []int) {
	for range 16 {
		list = append(list, size)
	}
	return list
}

// waitLoads waits until nothing is being loaded.
func waitLoads(v *View) {
	for {
		v.blobs.mu.Lock()
		busy := len(v.blobs.cells) > v.blobs.order.Len()
		v.blobs.mu.Unlock()
		if !busy {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestReadersOfABlobShareItsLoad, and one that gives up does not spoil it.
func TestReadersOfABlobShareItsLoad(t *testing.T) {
	r := newRepo(t)
	sn := r.saveFile(t, []byte("content"))
	v := r.view(t, nil)
	it, err := v.resolve(t.Context(), "ids/"+sn.ID.Short()+"/f", true)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	var mu sync.Mutex
	count := 0
	r.be.SetRule(func(op layer.Op, h backend.Handle, n int) backendtest.Fault {
		if op == layer.OpLoad {
			mu.Lock()
			count++
			mu.Unlock()
			<-release
		}
		return backendtest.None
	})
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = impatient
			}
			b, err := v.newReader(it.content()).slice(ctx, 0, 100)
			if i == 0 {
				close(gone)
			}
			switch {
			case i == 0 && !errors.Is(err, context.Canceled):
				t.Errorf("the reader that gave up: %q, %v", b, err)
			case i > 0 && string(b) != "content":
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	cancel()
	<-gone
	close(release)
	wg.Wait()
	if count != 1 {
		t.Errorf("%d loads", count)
	}
}

// TestFailedReadsAreErrors and are tried again by the next reader.
func TestFailedReadsAreErrors(t *testing.T) {
	r := newRepo(t)
	list, whole := cutContent(1, 5000, 6000, 7000)
	r.saveFile(t, list...)
	var mu sync.Mutex
	reports := 0
	v := r.view(t, &Options{Report: func(error) { mu.Lock(); reports++; mu.Unlock() }})
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.Short, backendtest.Flip} {
		r.failPacks(fault)
		if _, err := v.ReadDir("snapshots/latest"); err == nil {
			t.Errorf("fault %d: the folder can be listed", fault)
		}
	}
	r.be.SetRule(nil)
	f, err := v.Open("snapshots/latest/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.Short, backendtest.Flip} {
		r.failPacks(fault)
		b, err := io.ReadAll(f)
		if err == nil || len(b) != 0 {
			t.Errorf("fault %d: %d bytes, %v", fault, len(b), err)
		}
		corrupt := (*repo.CorruptError)(nil)
		if errors.As(err, &corrupt) != (fault == backendtest.Flip) {
			t.Errorf("fault %d: %v", fault, err)
		}
	}
	if reports < 6 {
		t.Errorf("%d reports", reports)
	}
	r.be.SetRule(nil)
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("after the faults: %d bytes, %v", len(b), err)
	}
}

// TestMissingBlobsFailWhereTheyAre: what is before them can be read.
func TestMissingBlobsFailWhereTheyAre(t *testing.T) {
	r := newRepo(t)
	ids := r.saveBlobs(t, dataBlob([]byte("there")))
	ids = append(ids, crypto.Hash([]byte("not there")))
	root := r.saveTree(t, tree.Node{Name: "f", Type: tree.TypeFile, Size: 14, Content: ids})
	r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: time.Now()})
	v := r.view(t, nil)
	b, err := fs.ReadFile(v, "snapshots/latest/f")
	missing := (*repo.MissingBlobError)(nil)
	if string(b) != "there" || !errors.As(err, &missing) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestCloseEndsLoads(t *testing.T) {
	r := newRepo(t)
	r.saveFile(t, []byte("content"))
	v := r.view(t, nil)
	f, err := v.Open("snapshots/latest/f")
	if err != nil {
		t.Fatal(err)
	}
	r.failPacks(backendtest.Stall)
	result := make(chan error)
	go func() {
		_, err := io.ReadAll(f)
		result <- err
	}()
	time.Sleep(5 * time.Millisecond)
	v.Close()
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Errorf("the read that was under way: %v", err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	if _, err := v.Open("snapshots/latest/f"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("open after Close: %v", err)
	}
}

// TestBigFolderTakesOneLoad lists 100,000 entries with all that stat tells.
func TestBigFolderTakesOneLoad(t *testing.T) {
	r := newRepo(t)
	const n = 100_000
	b := []byte(tree.Header)
	id := r.saveBlobs(t, dataBlob([]byte("x")))
	for i := range n {
		node := tree.Node{Name: fmt.Sprintf("file%06d", i), Type: tree.TypeFile, Mode: 0o644, Size: 1, Content: id, ModTime: time.Unix(int64(i), 0)}
		var err error
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = tree.AppendNode(b, &node); err != nil {
			t.Fatal(err)
		}
	}
	root := r.saveBlobs(t, treeBlob(append(b, tree.Trailer...)))[0]
	r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root, Time: time.Now()})
	loads := r.loads()
	v := r.view(t, nil)
	for range 2 {
		list, err := v.ReadDir("snapshots/latest")
		if err != nil || len(list) != n {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		for i, e := range list {
			info, err := e.Info()
			if err != nil || info.ModTime().Unix() != int64(i) || info.Size() != 1 {
				t.Fatalf("%s: %v, %v", e.Name(), info, err)
			}
		}
	}
	if got := loads(); got != 1 {
		t.Errorf("%d loads", got)
	}
	// The tree that is in use stays, but not more than the limit besides.
	small := r.view(t, &Options{TreeCache: 1000})
	for range 3 {
		if list, err := small.ReadDir("snapshots/latest"); err != nil || len(list) != n {
			t.Fatalf("%d entries, %v", len(list), err)
		}
	}
	if small.trees.order.Len() != 1 {
		t.Errorf("%d trees in the cache", small.trees.order.Len())
	}
}
