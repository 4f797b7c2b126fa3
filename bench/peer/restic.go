package peer

import (
	"path/filepath"
	"strconv"
)

// resticTool drives restic and what has its command line: garner.
type resticTool struct{}

func (resticTool) format() string    { return "restic" }
func (resticTool) version() []string { return []string{"version"} }

func (resticTool) environment(t Target) []string {
	return []string{"RESTIC_PASSWORD=" + Password, "RESTIC_FROM_PASSWORD=" + Password, "RESTIC_CACHE_DIR=" + filepath.Join(t.Home, "cache")}
}

func (resticTool) commands(op Op, t Target) ([][]string, error) {
	in := func(repository string, args ...string) ([][]string, error) {
		return [][]string{append([]string{"-r", repository}, args...)}, nil
	}
	switch op {
	case Init:
		return in(t.Repository, "init")
	case Attach:
		return nil, nil
	case Backup:
		return in(t.Repository, "backup", t.Source)
	case Snapshots:
		return in(t.Repository, "snapshots")
	case Ls:
		return in(t.Repository, "ls", "latest")
	case Find:
		return in(t.Repository, "find", t.Pattern)
	case Stats:
		return in(t.Repository, "stats", "--mode", "raw-data")
	case Check:
		return in(t.Repository, "check")
	case CheckData:
		return in(t.Repository, "check", "--read-data")
	case Restore:
		return in(t.Repository, "restore", "latest", "--target", t.Into)
	case RestoreOne:
		return in(t.Repository, "restore", "latest", "--target", t.Into, "--include", t.Source+"/"+t.One)
	case InitCopy:
		return in(t.Second, "init", "--from-repo", t.Repository, "--copy-chunker-params")
	case Copy:
		return in(t.Second, "copy", "--from-repo", t.Repository)
	case Prune:
		return in(t.Repository, "forget", "--keep-last", strconv.Itoa(t.Keep), "--prune")
	case Mount:
		return in(t.Repository, "mount", t.Point)
	}
	return nil, ErrUnsupported
}

func (resticTool) restored(t Target) string { return filepath.Join(t.Into, t.Source) }

func (resticTool) mounted(t Target) string {
	return filepath.Join(t.Point, "snapshots", "latest", t.Source)
}
