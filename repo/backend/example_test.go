package backend_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// A layer hides neither the abilities of what it wraps nor its errors.
func Example() {
	be := layer.Retry(mem.New(), nil)
	_, ok := backend.As[backend.Replacer](be)
	fmt.Println("can replace the config:", ok)

	_, err := be.Stat(context.Background(), backend.Handle{Type: backend.ConfigFile})
	fmt.Println(errors.Is(err, backend.ErrNotExist), backend.IsPermanent(err))
	// Output:
	// can replace the config: true
	// true true
}
