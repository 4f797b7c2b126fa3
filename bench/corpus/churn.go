package corpus

import (
	"context"
	"os"
)

// Churn gives percent of the files new contents of the same size: for each
// round others, and the same ones each time. It can't be undone, so it is for
// corpora of one's own.
func (c *Corpus) Churn(ctx context.Context, round, percent int) error {
	k, err := find(c.Name)
	if err != nil {
		return err
	}
	r := seeded(c.Seed, "churn", round)
	for _, it := range k.plan(c.Spec) {
		if it.link != "" || !r.chance(percent) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(c.path(it.name)); err != nil {
			return err
		}
		// Numbers of items are below the step, so no content comes back.
		it.number += (round + 1) * 10_000_000
		if err := writeItem(c.Dir, c.Spec, it); err != nil {
			return err
		}
	}
	return nil
}
