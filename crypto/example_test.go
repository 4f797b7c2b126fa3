package crypto_test

import (
	"errors"
	"fmt"

	"github.com/garner-backup/garner/crypto"
)

func ExampleKey() {
	key := crypto.NewKey()
	sealed := key.Seal(nil, []byte("the content of a file"))

	plain, err := key.Open(nil, sealed)
	fmt.Printf("%s %v\n", plain, err)

	sealed[20] ^= 1
	_, err = key.Open(nil, sealed)
	fmt.Println(errors.Is(err, crypto.ErrUnauthenticated))
	// Output:
	// the content of a file <nil>
	// true
}
