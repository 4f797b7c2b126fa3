package limit

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/crypto"
)

// MeasureDerive returns how many keys a second the password gives with the cost
// that the first key of a repository has.
func MeasureDerive(ctx context.Context, dir, password string) (float64, error) {
	names, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		return 0, errors.New("the repository has no key")
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		return 0, err
	}
	kf, err := crypto.ParseKeyFile(b)
	if err != nil {
		return 0, err
	}
	one := func() (int64, error) {
		_, err := kf.Derive(password)
		return 1, err
	}
	first, err := fastest(ctx, timed(one))
	if err != nil {
		return 0, err
	}
	second, err := fastest(ctx, timed(one))
	return max(first, second), err
}
