//go:build linux

package main

import (
	"encoding/json"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// snapshotIDs returns the IDs of all snapshots, oldest first.
func (p *program) snapshotIDs() (ids []string) {
	p.t.Helper()
	var list []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(p.ok("snapshots", "--json")), &list); err != nil {
		p.t.Fatal(err)
	}
	for _, sn := range list {
		ids = append(ids, sn.ID)
	}
	return ids
}

func TestDiffIsRestics(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		ids := p.garner.snapshotIDs()
		for i, a := range ids {
			for _, b := range ids[:i+1] {
				p.sameJSON(t, "diff", a, b)
				p.sameJSON(t, "diff", "--metadata", b, a[:8])
			}
		}
		p.sameText(t, "diff", ids[0], ids[1], "--metadata")
		p.sameText(t, "diff", ids[2], ids[0])
		p.sameText(t, "diff", ids[2], ids[0], "-q")
		p.sameJSON(t, "diff", ids[0]+":x/sub", ids[1]+":x/sub")
		p.sameJSON(t, "diff", ids[0]+":/x/sub/", ids[3])
		p.sameJSON(t, "diff", ids[0]+":x", ids[3]+":x", "--metadata")
		for _, args := range [][]string{
			{"diff"}, {"diff", ids[0]}, {"diff", ids[0], "ffff"}, {"diff", ids[0] + ":x/small", ids[1]},
			{"diff", ids[0] + ":nothing", ids[1]}, {"diff", ids[0], ids[1], ids[2]},
		} {
			p.sameCode(t, args...)
		}
	})
}

func TestDiffOfGoldenRepositoriesIsRestics(t *testing.T) {
	t.Parallel()
	p := newPeers(t, repotest.Golden(t, "restic-0.14-v2")).password(repotest.GoldenPassword)
	ids := p.garner.snapshotIDs()
	p.sameJSON(t, "diff", ids[0], ids[1])
	p.sameJSON(t, "diff", ids[2], ids[0], "--metadata")
}
