package layer

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/garner-backup/garner/repo/backend"
)

// Throttle limits how many bytes per second are stored and loaded, all
// requests together. Zero is no limit.
func Throttle(be backend.Backend, upload, download int64) backend.Backend {
	return &throttle{be, limiter(upload), limiter(download)}
}

func limiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	// A burst of a tenth of a second keeps the flow even.
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(max(bytesPerSecond/10, 1024)))
}

type throttle struct {
	backend.Backend
	up, down *rate.Limiter // nil: no limit
}

func (t *throttle) Unwrap() backend.Backend { return t.Backend }

// wait takes n bytes from the limit, in pieces that it can give.
func wait(ctx context.Context, l *rate.Limiter, n int64) error {
	for l != nil && n > 0 {
		piece := min(n, int64(l.Burst()))
		if err := l.WaitN(ctx, int(piece)); err != nil {
			return err
		}
		n -= piece
	}
	return nil
}

func (t *throttle) Save(ctx context.Context, h backend.Handle, c backend.Content) error {
	if err := wait(ctx, t.up, c.Size()); err != nil {
		return err
	}
	return t.Backend.Save(ctx, h, c)
}

// Load waits after the bytes have come: how many there are is not known
// before.
func (t *throttle) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	b, err := t.Backend.Load(ctx, h, offset, length, buf)
	if err != nil {
		return nil, err
	}
	return b, wait(ctx, t.down, int64(len(b)))
}
