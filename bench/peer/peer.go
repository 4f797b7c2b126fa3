// Package peer knows how to drive the programs that are measured: restic,
// garner, borg and kopia. For each operation it says which command lines do
// it, and where what they restore ends up. It starts nothing itself but the
// programs' version commands.
//
// Start at Parse, which reads a peer as the command line names it, and
// Peer.Commands.
package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/garner-backup/garner/bench/measure"
)

// Password opens every repository that is made.
const Password = "bench"

// Op is something that a program can do.
type Op string

// The operations. InitCopy and Attach are preparations that nobody times.
const (
	Version    Op = "version"
	Init       Op = "init"
	Attach     Op = "attach" // get to know a repository that came from elsewhere
	Backup     Op = "backup"
	Snapshots  Op = "snapshots"
	Ls         Op = "ls"
	Find       Op = "find"
	Stats      Op = "stats"
	Check      Op = "check"
	CheckData  Op = "checkdata"
	Restore    Op = "restore"
	RestoreOne Op = "restore1"
	InitCopy   Op = "initcopy" // make the repository that Copy fills
	Copy       Op = "copy"
	Prune      Op = "prune" // forget all snapshots but the last ones, and what only they need
	Mount      Op = "mount"
)

// ErrUnsupported means that a program does not have an operation.
var ErrUnsupported = errors.New("not offered")

// Target says what an operation is about.
type Target struct {
	Repository string // folder
	Home       string // folder for configuration and caches
	Source     string // folder that is backed up, absolute
	Backups    int    // how many backups are in the repository, with one that is about to be made
	Snapshot   string // the last snapshot's ID, if Peer.Latest says how to find it
	Into       string // folder to restore into
	One        string // file for RestoreOne, below Source, with slashes
	Pattern    string // for Find
	Second     string // repository for Copy
	Keep       int    // snapshots that Prune leaves
	Point      string // folder for Mount
}

// Peer is a program that is measured.
type Peer struct {
	Name    string // unique in a run
	Kind    string
	Path    string
	Version string // first line of what the program says
	tool    tool
}

// tool is how programs of one kind are driven.
type tool interface {
	// format names the format of repositories. Kinds with the same format can
	// use each other's.
	format() string
	// version returns the arguments that print the version.
	version() []string
	// commands returns the arguments of one or more runs of the program.
	commands(op Op, t Target) ([][]string, error)
	// environment returns variables besides those that all programs get.
	environment(t Target) []string
	// restored returns where the content of the source is after Restore.
	restored(t Target) string
}

func tools() map[string]tool {
	return map[string]tool{"restic": resticTool{}, "garner": resticTool{}, "borg": borgTool{}, "kopia": kopiaTool{}}
}

// Kinds returns the kinds of programs that can be driven.
func Kinds() []string {
	var list []string
	for k := range tools() {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// Parse reads KIND=PATH or KIND:NAME=PATH; without NAME the kind is the name.
func Parse(s string) (*Peer, error) {
	left, path, ok := strings.Cut(s, "=")
	kind, name, named := strings.Cut(left, ":")
	if !named {
		name = kind
	}
	if !ok || path == "" || name == "" {
		return nil, fmt.Errorf("peer %q: write KIND=PATH or KIND:NAME=PATH, as in restic=/usr/bin/restic or garner:old=/tmp/garner", s)
	}
	return New(kind, name, path)
}

// New returns the peer of a kind at a path. A path without a slash is looked
// for where the system looks for programs.
func New(kind, name, path string) (*Peer, error) {
	t, ok := tools()[kind]
	if !ok {
		return nil, fmt.Errorf("peer %s: %q is no kind of program that can be driven; there are %s", name, kind, strings.Join(Kinds(), ", "))
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("peer %q: a name, which becomes a folder's, consists of letters, digits, '.', '_' and '-'", name)
	}
	full, err := exec.LookPath(path)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", name, err)
	}
	if full, err = filepath.Abs(full); err != nil {
		return nil, err
	}
	return &Peer{Name: name, Kind: kind, Path: full, tool: t}, nil
}

// AskVersion sets p.Version to what the program says. home takes what it may
// write.
func (p *Peer) AskVersion(ctx context.Context, path, home string) error {
	cmd := exec.CommandContext(ctx, p.Path, p.tool.version()...)
	cmd.Env = p.environment(path, Target{Home: home})
	out, err := cmd.CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		return fmt.Errorf("peer %s: %s %s: %w: %s", p.Name, p.Path, strings.Join(p.tool.version(), " "), err, line)
	}
	p.Version = line
	return nil
}

// Format names the format of the program's repositories.
func (p *Peer) Format() string { return p.tool.format() }

// Commands returns the command lines that do op, to be run one after the
// other. path is the value of PATH. The error is ErrUnsupported if the program
// has no such operation.
func (p *Peer) Commands(op Op, t Target, path string) ([]measure.Command, error) {
	var lists [][]string
	var err error
	if op == Version {
		lists = [][]string{p.tool.version()}
	} else if lists, err = p.tool.commands(op, t); err != nil {
		return nil, err
	}
	var cmds []measure.Command
	for _, args := range lists {
		c := measure.Command{Args: append([]string{p.Path}, args...), Env: p.environment(path, t)}
		if p.Kind == "borg" && (op == Restore || op == RestoreOne) {
			c.Dir = t.Into // it restores into the current folder
		}
		cmds = append(cmds, c)
	}
	return cmds, nil
}

// environment returns all variables that the program sees: nothing of whoever
// runs the benchmark but PATH, so that no setting or cache of theirs counts.
func (p *Peer) environment(path string, t Target) []string {
	env := []string{"PATH=" + path, "LC_ALL=C.UTF-8", "HOME=" + t.Home, "XDG_CACHE_HOME=" + filepath.Join(t.Home, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(t.Home, "config"), "TMPDIR=" + t.Home}
	return append(env, p.tool.environment(t)...)
}

// Restored returns the folder that holds the content of the source after
// Restore or RestoreOne.
func (p *Peer) Restored(t Target) string { return p.tool.restored(t) }

// MountPoint returns the folder that holds the content of the source in what
// Mount mounts.
func (p *Peer) MountPoint(t Target) (string, error) {
	if m, ok := p.tool.(interface{ mounted(t Target) string }); ok {
		return m.mounted(t), nil
	}
	return "", fmt.Errorf("%s: mount: %w", p.Name, ErrUnsupported)
}

// Latest returns a command whose output tells the ID of the last snapshot, and
// what reads it; or false, if the program needs no IDs.
func (p *Peer) Latest(t Target, path string) (measure.Command, func(output []byte) (string, error), bool) {
	q, ok := p.tool.(interface {
		latest(t Target) []string
		parseLatest(output []byte) (string, error)
	})
	if !ok {
		return measure.Command{}, nil, false
	}
	return measure.Command{Args: append([]string{p.Path}, q.latest(t)...), Env: p.environment(path, t)}, q.parseLatest, true
}
