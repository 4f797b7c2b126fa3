package cli

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/local"
)

// Location returns where the repository is, as the user said it.
func (a *App) Location() (string, error) {
	if a.Repo != "" && a.RepositoryFile != "" {
		return "", Usage("options --repo and --repository-file are mutually exclusive, please specify only one")
	}
	if a.Repo != "" {
		return a.Repo, nil
	}
	if a.RepositoryFile == "" {
		return "", Usage("Please specify repository location (-r or --repository-file)")
	}
	b, err := os.ReadFile(a.RepositoryFile)
	if err != nil {
		return "", fmt.Errorf("repository file: %w", err)
	}
	location := strings.TrimSpace(string(b))
	if location == "" {
		return "", Usage("repository file %s is empty", a.RepositoryFile)
	}
	return location, nil
}

// remote are the schemes of locations that restic knows and this build does
// not reach.
var remote = map[string]string{
	"sftp": "mount it, for example with sshfs", "rest": "", "s3": "", "swift": "", "b2": "", "azure": "", "gs": "",
	"rclone": "mount it with rclone mount",
}

// localPath returns the path of a repository on a disk. A location with a
// scheme that is not known is a path, unless it looks like nothing of that
// kind.
func localPath(location string) (string, error) {
	scheme, rest, found := strings.Cut(location, ":")
	if !found || scheme == "" || filepath.VolumeName(location) != "" {
		return location, nil
	}
	if scheme == "local" {
		return rest, nil
	}
	if hint, ok := remote[scheme]; ok {
		msg := fmt.Sprintf("repositories at %s: locations are not supported; use a path", scheme)
		if hint != "" {
			msg += ", or " + hint
		}
		return "", Usage("%s (%s)", msg, Redact(location))
	}
	if strings.ContainsAny(scheme, `/\.~`) {
		return location, nil
	}
	return "", Usage("invalid backend in %q: if the repository is in a local directory, you need to add a `local:` prefix", Redact(location))
}

// LocalPath returns the path of the repository if it is on a disk of this
// machine, else an empty string.
func (a *App) LocalPath() (string, error) {
	location, err := a.Location()
	if err != nil {
		return "", err
	}
	path, err := localPath(location)
	if err != nil {
		return "", nil // opening it says what is wrong with it
	}
	return path, nil
}

// Redact removes the password from a location.
func Redact(location string) string {
	scheme, rest, _ := strings.Cut(location, ":")
	u, err := url.Parse(rest)
	if err != nil || u.User == nil {
		return location
	}
	if _, has := u.User.Password(); !has {
		return location
	}
	u.User = url.UserPassword(u.User.Username(), "***")
	s, err := url.PathUnescape(u.String())
	if err != nil {
		s = u.String()
	}
	return scheme + ":" + s
}

// ExtendedOption is a setting of one kind of storage, for -o.
type ExtendedOption struct{ Name, Description string }

// localConnections is the one option of local directories.
const localConnections = "local.connections"

// ExtendedOptions returns the options that have an effect.
func ExtendedOptions() []ExtendedOption {
	return []ExtendedOption{{localConnections, fmt.Sprintf("number of files that are read and written at the same time (default: %d)", local.DefaultConnections)}}
}

// OtherStorages returns the kinds of storage whose options are accepted and
// have no effect, as this program does not know the storage.
func OtherStorages() []string {
	return []string{"sftp", "rest", "s3", "swift", "b2", "azure", "gs", "rclone", "vss"}
}

// localOptions reads the extended options for a local directory. Those for
// other places have no effect here, as in restic; unknown ones are refused.
func localOptions(list []string) (*local.Options, error) {
	opts := &local.Options{}
	seen := make(map[string]bool)
	for _, o := range list {
		key, value, _ := strings.Cut(o, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		space, name, _ := strings.Cut(key, ".")
		if seen[key] {
			return nil, Usage("option %q is given more than once", key)
		}
		seen[key] = true
		switch {
		case key == localConnections:
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 1 {
				return nil, Usage("invalid value %q of option %s: want a number above 0", value, localConnections)
			}
			opts.Connections = n
		case slices.Contains(OtherStorages(), space) && name != "":
		default:
			return nil, Usage("unknown option %q", key)
		}
	}
	return opts, nil
}

// Backend opens the place that the location names, with retries and limits.
func (a *App) Backend(location string) (backend.Backend, error) {
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	opts, err := localOptions(a.Options)
	if err != nil {
		return nil, err
	}
	var be backend.Backend
	if be, err = local.Open(path, opts); err != nil {
		return nil, err
	}
	if a.LimitUpload > 0 || a.LimitDownload > 0 {
		be = layer.Throttle(be, int64(a.LimitUpload)<<10, int64(a.LimitDownload)<<10)
	}
	return layer.Retry(be, &layer.RetryOptions{Report: a.reportRetry}), nil
}
