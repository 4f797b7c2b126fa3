//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// TestReadingCommandsPrintWhatResticPrints compares the documents of the
// commands that look at snapshots.
func TestReadingCommandsPrintWhatResticPrints(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, repository string) {
		p := newPeers(t, repository)
		for _, args := range [][]string{
			{"ls", "latest"}, {"ls", "latest", "/x/sub"}, {"ls", "latest", "/x"}, {"ls", "latest", "/x", "--recursive"},
			{"ls", "latest", "--host", "alpha"}, {"ls", "latest:x/sub", "--host", "alpha"},
			{"ls", "latest", "--sort", "size"}, {"ls", "latest", "--sort", "mtime", "--reverse"},
			{"ls", "latest", "--sort", "extension"}, {"ls", "latest", "--reverse"}, {"ls", "latest", "-s", "atime"}, {"ls", "latest", "-s", "ctime"},
			{"ls", "latest", "/x/sub/", "/x/small", "/nothing", "--host", "alpha"}, {"ls", "latest", "/"}, {"ls", "latest:/x", "/sub", "--recursive", "--host", "alpha"},
			{"snapshots"}, {"snapshots", "--latest", "1"}, {"snapshots", "latest"}, {"snapshots", "none"}, {"snapshots", "latest:x"}, {"snapshots", "--tag", "daily"},
			{"key", "list"},
		} {
			p.sameJSON(t, args...)
		}
		// restic prints groups in no particular order.
		for _, args := range [][]string{
			{"snapshots", "--group-by", "host"}, {"snapshots", "--group-by", "host,tags", "--latest", "1"},
			{"snapshots", "--group-by", "tags,paths"},
		} {
			p.anyOrder().sameJSON(t, args...)
		}
		for _, args := range [][]string{
			{"ls", "latest", "--ncdu"}, {"ls", "latest"}, {"ls", "latest", "-l"}, {"ls", "latest", "-l", "--human-readable"},
			{"ls", "latest", "--ncdu", "/x/sub", "--recursive", "--host", "alpha"}, {"ls", "latest", "--ncdu", "/x/sub", "/x/nothing", "--host", "alpha"}, {"ls", "latest", "-l", "-s", "time", "--reverse"},
			{"ls", "latest", "/x/sub", "--host", "alpha", "--recursive"},
			{"cat", "config"}, {"cat", "masterkey", "ignored"},
		} {
			p.sameText(t, args...)
		}
		for _, id := range p.sameJSON(t, "snapshots")[0].([]any) {
			id := id.(map[string]any)["id"].(string)
			p.sameText(t, "cat", "snapshot", id[:8])
			p.sameText(t, "cat", "tree", id+":x")
		}
		for _, typ := range []string{"index", "key", "pack"} {
			list := typ + "s"
			if typ == "index" {
				list = typ
			}
			for i, id := range strings.Fields(p.garner.ok("list", list, "--no-lock")) {
				if i < 2 {
					p.sameText(t, "cat", typ, id)
				}
			}
		}
		for i, line := range strings.Split(p.garner.ok("list", "blobs"), "\n") {
			if _, id, ok := strings.Cut(line, " "); ok && i%15 == 0 {
				p.sameText(t, "cat", "blob", id)
			}
		}
		for _, what := range []string{"blobs", "packs", "index", "snapshots", "keys", "locks"} {
			p.anyOrder().sameText(t, "list", what, "--no-lock")
		}
	})
}

func TestReadingGoldenRepositoriesPrintsWhatResticPrints(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"restic-0.14-v1", "restic-0.19-v2"} {
		p := newPeers(t, repotest.Golden(t, name)).password(repotest.GoldenPassword)
		p.sameJSON(t, "ls", "latest")
		p.sameJSON(t, "snapshots")
		p.sameText(t, "ls", "latest", "--ncdu")
		p.sameText(t, "ls", "latest", "-l", "--sort", "size")
	}
}

// TestBackupsPrintTheSameSummary compares documents whose times and IDs differ.
func TestBackupsPrintTheSameSummary(t *testing.T) {
	t.Parallel()
	p := newPeers(t, newRepository(t, 2)).in(makeTree(t)).
		ignoring("snapshot_id", "total_duration", "backup_start", "backup_end")
	p.restic.ok("backup", ".")
	p.sameJSON(t, "backup", "-q", ".")
	p.sameJSON(t, "backup", "-q", "--force", ".")
}

func TestWrongArgumentsFailAlike(t *testing.T) {
	t.Parallel()
	p := newPeers(t, newRepository(t, 2))
	for _, args := range [][]string{
		{"ls"}, {"ls", "latest"}, {"ls", "ffff"}, {"ls", "latest", "relative"}, {"ls", "latest", "--sort", "nothing"},
		{"ls", "latest", "--ncdu", "--json"}, {"ls", "latest", "--ncdu", "--sort", "size"},
		{"cat"}, {"cat", "nothing"}, {"cat", "tree"}, {"cat", "snapshot", "latest"}, {"cat", "blob", "12"},
		{"list"}, {"list", "nothing"}, {"list", "blobs", "x"},
		{"snapshots", "--group-by", "nothing"}, {"snapshots", "--latest", "x"}, {"snapshots", "--nothing"},
	} {
		p.sameCode(t, args...)
	}
}
