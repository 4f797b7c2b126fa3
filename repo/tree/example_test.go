package tree_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/tree"
)

func ExampleEncoder() {
	when := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	var blob bytes.Buffer
	e := tree.NewEncoder(&blob)
	for _, name := range []string{"b\xff", "a"} {
		err := e.Add(&tree.Node{
			Name: name, Type: tree.TypeFile, Mode: 0o644,
			ModTime: when, AccessTime: when, ChangeTime: when,
			Content: []crypto.ID{},
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	if err := e.Close(); err != nil {
		fmt.Println(err)
	}
	fmt.Print(blob.String())
	// Output:
	// name "a" follows "b\xff": not in order
	// {"nodes":[{"name":"b\\xff","type":"file","mode":420,"mtime":"2024-01-02T03:04:05Z","atime":"2024-01-02T03:04:05Z","ctime":"2024-01-02T03:04:05Z","uid":0,"gid":0,"content":[]}]}
}

func ExampleDecoder() {
	d := tree.NewDecoder([]byte(`{"nodes":[{"name":"a","type":"file","size":13},{"name":"b","type":"dir"}]}`))
	var n tree.Node
	for {
		err := d.Next(&n)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n.Name, n.Type, n.Size)
	}
	// Output:
	// a file 13
	// b dir 0
}

// trees is where an example's trees are; a repository has the same method.
type trees map[crypto.ID][]byte

func (t trees) LoadTree(_ context.Context, id crypto.ID) (*tree.Decoder, error) {
	blob, ok := t[id]
	if !ok {
		return nil, fmt.Errorf("no tree %s", id.Short())
	}
	return tree.NewDecoder(blob), nil
}

func (t trees) save(nodes ...tree.Node) crypto.ID {
	blob, err := tree.Encode(nodes)
	if err != nil {
		panic(err)
	}
	id := crypto.Hash(blob)
	t[id] = blob
	return id
}

func ExampleWalk() {
	t := make(trees)
	home := t.save(tree.Node{Name: "letter.txt", Type: tree.TypeFile})
	root := t.save(tree.Node{Name: "etc", Type: tree.TypeDir}, tree.Node{Name: "home", Type: tree.TypeDir, Subtree: home})
	err := tree.Walk(context.Background(), t, root, func(path string, n *tree.Node, err error) error {
		if err != nil {
			fmt.Println(path, err)
			return nil // go on with the rest
		}
		fmt.Println(path)
		return nil
	})
	fmt.Println(err)
	// Output:
	// /etc
	// /etc directory without a tree
	// /home
	// /home/letter.txt
	// <nil>
}

func ExampleDiff() {
	t := make(trees)
	old := t.save(tree.Node{Name: "a"}, tree.Node{Name: "b", Size: 1})
	now := t.save(tree.Node{Name: "b", Size: 2}, tree.Node{Name: "c"})
	err := tree.Diff(context.Background(), t, old, now, func(path string, a, b *tree.Node, err error) error {
		switch {
		case err != nil:
			return err
		case a == nil:
			fmt.Println("+", path)
		case b == nil:
			fmt.Println("-", path)
		default:
			fmt.Println("M", path)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// - /a
	// M /b
	// + /c
	// <nil>
}
