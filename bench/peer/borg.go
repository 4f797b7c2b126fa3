package peer

import (
	"path/filepath"
	"strconv"
	"strings"
)

// borgTool drives borg 1.x. Compression is set to zstd at level 3, which is
// what comes closest to restic's; borg's own default is lz4. Its mount needs
// Python modules that are seldom there, and it has nothing like stats and copy.
type borgTool struct{}

func (borgTool) format() string    { return "borg" }
func (borgTool) version() []string { return []string{"--version"} }

func (borgTool) environment(t Target) []string {
	return []string{"BORG_PASSPHRASE=" + Password, "BORG_BASE_DIR=" + t.Home,
		"BORG_RELOCATED_REPO_ACCESS_IS_OK=yes", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"}
}

func archive(t Target) string { return t.Repository + "::" + strconv.Itoa(t.Backups) }

func (borgTool) commands(op Op, t Target) ([][]string, error) {
	switch op {
	case Init:
		return [][]string{{"init", "--encryption", "repokey", t.Repository}}, nil
	case Attach:
		return nil, nil
	case Backup:
		return [][]string{{"create", "--compression", "zstd,3", archive(t), t.Source}}, nil
	case Snapshots:
		return [][]string{{"list", t.Repository}}, nil
	case Ls:
		return [][]string{{"list", archive(t)}}, nil
	case Find:
		return [][]string{{"list", archive(t), "sh:**/" + t.Pattern}}, nil
	case Check:
		return [][]string{{"check", "--archives-only", t.Repository}}, nil
	case CheckData:
		return [][]string{{"check", "--verify-data", t.Repository}}, nil
	case Restore:
		return [][]string{{"extract", archive(t)}}, nil
	case RestoreOne:
		return [][]string{{"extract", archive(t), strings.TrimPrefix(t.Source, "/") + "/" + t.One}}, nil
	case Prune:
		return [][]string{{"prune", "--keep-last", strconv.Itoa(t.Keep), t.Repository}, {"compact", t.Repository}}, nil
	}
	return nil, ErrUnsupported
}

func (borgTool) restored(t Target) string { return filepath.Join(t.Into, t.Source) }
