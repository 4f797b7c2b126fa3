//go:build linux

package main

import (
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

var statsModes = []string{"restore-size", "files-by-contents", "blobs-per-file", "raw-data"}

func TestStatsAreRestics(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		for _, mode := range statsModes {
			for _, args := range [][]string{nil, {"latest"}, {"--host", "alpha"}, {"latest", "--host", "alpha"}} {
				p.sameJSON(t, append([]string{"stats", "--mode", mode}, args...)...)
			}
		}
		p.sameJSON(t, "stats", "ffff")
		p.sameJSON(t, "stats", "--tag", "nothing", "--mode", "raw-data")
		p.sameCode(t, "stats", "--mode", "nothing")
	})
}

func TestStatsOfGoldenRepositoriesAreRestics(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"restic-0.14-v1", "restic-0.19-v2-migrated-from-v1"} {
		p := newPeers(t, repotest.Golden(t, name)).password(repotest.GoldenPassword)
		for _, mode := range statsModes {
			p.sameJSON(t, "stats", "--mode", mode)
		}
	}
}
