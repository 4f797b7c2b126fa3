//go:build linux

package main

import "testing"

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
			{"ls", "latest", "--sort", "extension"}, {"ls", "latest", "--reverse"},
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
		for _, what := range []string{"blobs", "packs", "index", "snapshots", "keys", "locks"} {
			p.anyOrder().sameText(t, "list", what, "--no-lock")
		}
	})
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
