package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// kopiaTool drives kopia. Compression is set to zstd for all sources, since
// kopia's default is none, and maintenance is left to Prune. It has no find,
// no stats of this kind, and no copy.
type kopiaTool struct{}

func (kopiaTool) format() string    { return "kopia" }
func (kopiaTool) version() []string { return []string{"--version"} }

func (kopiaTool) environment(t Target) []string {
	return []string{"KOPIA_PASSWORD=" + Password, "KOPIA_CONFIG_PATH=" + filepath.Join(t.Home, "repository.config"),
		"KOPIA_CACHE_DIRECTORY=" + filepath.Join(t.Home, "cache"), "KOPIA_LOG_DIR=" + filepath.Join(t.Home, "log"),
		"KOPIA_CHECK_FOR_UPDATES=false", "KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=true", "KOPIA_USE_KEYRING=false"}
}

func (kopiaTool) commands(op Op, t Target) ([][]string, error) {
	switch op {
	case Init:
		return [][]string{{"repository", "create", "filesystem", "--path", t.Repository}}, nil
	case Attach:
		return [][]string{
			{"repository", "connect", "filesystem", "--path", t.Repository},
			{"policy", "set", "--global", "--compression", "zstd"},
		}, nil
	case Backup:
		return [][]string{{"--no-auto-maintenance", "snapshot", "create", t.Source}}, nil
	case Snapshots:
		return [][]string{{"snapshot", "list", "--all"}}, nil
	case Ls:
		return [][]string{{"list", "--long", "--recursive", t.Snapshot}}, nil
	case Check:
		return [][]string{{"snapshot", "verify"}}, nil
	case CheckData:
		return [][]string{{"snapshot", "verify", "--verify-files-percent=100"}}, nil
	case Restore:
		return [][]string{{"snapshot", "restore", t.Snapshot, filepath.Join(t.Into, "files")}}, nil
	case RestoreOne:
		return [][]string{{"snapshot", "restore", t.Snapshot + "/" + t.One, filepath.Join(t.Into, "files", filepath.FromSlash(t.One))}}, nil
	case Prune:
		keep := []string{"policy", "set", t.Source, "--keep-latest", strconv.Itoa(t.Keep)}
		for _, span := range []string{"hourly", "daily", "weekly", "monthly", "annual"} {
			keep = append(keep, "--keep-"+span, "0")
		}
		return [][]string{keep, {"snapshot", "expire", t.Source, "--delete"}, {"maintenance", "run", "--full", "--safety=none"}}, nil
	}
	return nil, ErrUnsupported
}

func (kopiaTool) restored(t Target) string { return filepath.Join(t.Into, "files") }

func (kopiaTool) latest(t Target) []string { return []string{"snapshot", "list", "--json", t.Source} }

// parseLatest reads the list of snapshots, oldest first.
func (kopiaTool) parseLatest(output []byte) (string, error) {
	var list []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(output, &list); err != nil {
		return "", fmt.Errorf("the list of snapshots: %w", err)
	}
	if len(list) == 0 || list[len(list)-1].ID == "" {
		return "", errors.New("the list of snapshots names none")
	}
	return list[len(list)-1].ID, nil
}
