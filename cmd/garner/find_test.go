//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

func TestFindIsRestics(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		for _, args := range [][]string{
			{"nothing"}, {"small"}, {"*"}, {""}, {"/"}, {"x/s*", "*DIR"}, {"*DIR", "-i"}, {"sub/**/f*"}, {"/x/sub/deep", "link"},
			{"bad*", "-R"}, {"small", "--host", "alpha"}, {"small", "--tag", "daily"}, {"small", "-s", "latest"},
			{"*", "--oldest", "2024-01-01", "--newest", "2024-12-31 12:00"}, {"*", "--newest", "31.12.2023 23:59:59"},
			{"small", "-s", "ffff"}, {"!small"}, {"fifo", "null", "loop", "*link"},
		} {
			p.sameJSON(t, append([]string{"find"}, args...)...)
		}
		p.sameText(t, "find", "s*")
		p.sameText(t, "find", "-l", "s*", "*link", "-R")
		p.sameText(t, "find", "-l", "--human-readable", "s*")
		for _, args := range [][]string{
			{}, {"--blob", "--tree", "x"}, {"small", "--oldest", "yesterday"}, {"small", "--oldest", "2025-01-01", "--newest", "2024-01-01"},
			{"["}, {"--pack", "ffff"},
		} {
			p.sameCode(t, append([]string{"find"}, args...)...)
		}
	})
}

func TestFindObjectsIsRestics(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		var data, trees []string
		for line := range strings.Lines(p.garner.ok("list", "blobs")) {
			typ, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			if typ == "data" {
				data = append(data, id)
			} else {
				trees = append(trees, id)
			}
		}
		packs := strings.Fields(p.garner.ok("list", "packs"))
		p.sameJSON(t, append([]string{"find", "--blob"}, data...)...)
		p.sameJSON(t, append([]string{"find", "--tree", "-R"}, trees...)...)
		p.sameJSON(t, append([]string{"find", "--pack"}, packs...)...)
		p.sameText(t, "find", "--blob", data[0][:8], "--host", "alpha")
		for _, id := range trees[:5] {
			p.sameJSON(t, "find", "--tree", id[:8])
			p.sameText(t, "find", "--tree", id, "--show-pack-id")
		}
		p.sameJSON(t, "find", "--tree", trees[0], trees[1])
		for _, id := range packs[:2] {
			p.sameJSON(t, "find", "--pack", id[:8], "-s", "latest")
			p.anyOrder().sameText(t, "find", "--pack", id, "--show-pack-id")
		}
		nobody := strings.Repeat("0", 64)
		p.sameCode(t, "find", "--blob", nobody, "--show-pack-id")
		p.sameText(t, "find", "--blob", data[1], "--show-pack-id", "--json")
		p.sameJSON(t, "find", "--blob", nobody)
	})
}

func TestFindInGoldenRepositoriesIsRestics(t *testing.T) {
	t.Parallel()
	p := newPeers(t, repotest.Golden(t, "restic-0.14-v1")).password(repotest.GoldenPassword)
	p.sameJSON(t, "find", "*")
	p.sameText(t, "find", "-l", "*e*")
}
