package backendtest_test

import (
	"context"
	"fmt"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// The second file that is saved arrives with half of its bytes.
func ExampleNewFaulty() {
	be := backendtest.NewFaulty(mem.New(), func(op layer.Op, _ backend.Handle, n int) backendtest.Fault {
		if op == layer.OpSave && n == 1 {
			return backendtest.Tear
		}
		return backendtest.None
	})
	ctx := context.Background()
	for _, name := range []string{"0", "1"} {
		h := backend.Handle{Type: backend.PackFile, Name: fmt.Sprintf("%064s", name)}
		if err := be.Save(ctx, h, backend.Bytes("12345678")); err != nil {
			fmt.Println(err)
		}
		fi, err := be.Stat(ctx, h)
		fmt.Println(fi.Size, err)
	}
	// Output:
	// 8 <nil>
	// 4 <nil>
}
