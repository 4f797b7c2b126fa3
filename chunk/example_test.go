package chunk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/garner-backup/garner/chunk"
)

func ExampleTable_NewReader() {
	table, err := chunk.NewTable(chunk.Params{Pol: 0x3da3358b4dc173})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := table.NewReader(bytes.NewReader(make([]byte, 1_200_000)))
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		fmt.Println(len(c))
	}
	// Output:
	// 524288
	// 524288
	// 151424
}
