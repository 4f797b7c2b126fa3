// Package cli is what all commands of garner share: global flags and their
// environment variables, passwords, repository locations, exit codes and the
// two forms of messages. It is the only place that reads the environment.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/garner-backup/garner/cmd/garner/internal/keyring"
	"github.com/garner-backup/garner/repo"
)

// App is a run of the program. Tests run several in one process.
type App struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	// StdinFD and StdoutFD are the descriptors behind Stdin and Stdout, or -1.
	StdinFD, StdoutFD int
	// CalledRestic says that the program was started under the name restic,
	// perhaps by a wrapper that looks at the version.
	CalledRestic bool

	Globals

	// Where the password comes from if no flag says it, for another
	// repository than the one that the command works on; see SourceFlags.
	passwordEnv, passwordPrompt string

	features map[string]bool // by name; set by Finish
}

// Globals are the values of the global flags.
type Globals struct {
	Repo               string
	RepositoryFile     string
	PasswordFile       string
	PasswordCommand    string
	KeyHint            string
	Quiet              bool
	Verbose            int
	NoLock             bool
	RetryLock          time.Duration
	JSON               bool
	CacheDir           string
	NoCache            bool
	CleanupCache       bool
	CACerts            []string
	TLSClientCert      string
	InsecureNoPassword bool
	InsecureTLS        bool
	Compression        string
	NoExtraVerify      bool
	ExtraVerify        string
	LimitUpload        int
	LimitDownload      int
	PackSize           uint
	Options            []string
	HTTPUserAgent      string
	StuckTimeout       time.Duration
	KeyCache           time.Duration
}

// AddFlags defines the global flags, with defaults from the environment.
func (a *App) AddFlags(f *pflag.FlagSet) {
	env := a.Getenv
	g := &a.Globals
	f.StringVarP(&g.Repo, "repo", "r", "", "`repository` to work on (default: $RESTIC_REPOSITORY)")
	f.StringVar(&g.RepositoryFile, "repository-file", "", "`file` to read the repository location from (default: $RESTIC_REPOSITORY_FILE)")
	f.StringVarP(&g.PasswordFile, "password-file", "p", "", "`file` to read the repository password from (default: $RESTIC_PASSWORD_FILE)")
	f.StringVar(&g.PasswordCommand, "password-command", "", "shell `command` to obtain the repository password from (default: $RESTIC_PASSWORD_COMMAND)")
	f.StringVar(&g.KeyHint, "key-hint", env("RESTIC_KEY_HINT"), "`key` ID of the key to try first (default: $RESTIC_KEY_HINT)")
	f.BoolVarP(&g.Quiet, "quiet", "q", false, "do not output comprehensive progress report")
	f.CountVarP(&g.Verbose, "verbose", "v", "be verbose (specify multiple times or a level using --verbose=n, max level/times is 2)")
	f.BoolVar(&g.NoLock, "no-lock", false, "do not lock the repository, this allows some operations on read-only repositories")
	f.DurationVar(&g.RetryLock, "retry-lock", 0, "retry to lock the repository if it is already locked, takes a value like 5m or 2h (default: no retries)")
	f.BoolVar(&g.JSON, "json", false, "set output mode to JSON for commands that support it")
	f.StringVar(&g.CacheDir, "cache-dir", env("RESTIC_CACHE_DIR"), "set the cache `directory` (default: $RESTIC_CACHE_DIR; of local repositories only how folders looked is kept)")
	f.BoolVar(&g.NoCache, "no-cache", false, "do not use a local cache")
	f.BoolVar(&g.CleanupCache, "cleanup-cache", false, "auto remove old cache directories")
	f.StringSliceVar(&g.CACerts, "cacert", split(env("RESTIC_CACERT")), "`file` to load root certificates from, for repositories behind TLS (default: $RESTIC_CACERT)")
	f.StringVar(&g.TLSClientCert, "tls-client-cert", env("RESTIC_TLS_CLIENT_CERT"), "path to a `file` containing PEM encoded TLS client certificate and private key (default: $RESTIC_TLS_CLIENT_CERT)")
	f.BoolVar(&g.InsecureNoPassword, "insecure-no-password", false, "use an empty password for the repository, must be passed to every command (insecure)")
	f.BoolVar(&g.InsecureTLS, "insecure-tls", false, "skip TLS certificate verification when connecting to the repository (insecure)")
	f.StringVar(&g.Compression, "compression", "auto", "compression mode (only available for repository format version 2), one of (auto|off|fastest|better|max) (default: $RESTIC_COMPRESSION)")
	f.BoolVar(&g.NoExtraVerify, "no-extra-verify", false, "skip additional verification of data before upload (see documentation)")
	f.StringVar(&g.ExtraVerify, "extra-verify", "sampled", "how to verify new data before upload: decrypt all and read back a `part`, read back all, or nothing, one of (sampled|all|none)")
	f.IntVar(&g.LimitUpload, "limit-upload", 0, "limits uploads to a maximum `rate` in KiB/s. (default: unlimited)")
	f.IntVar(&g.LimitDownload, "limit-download", 0, "limits downloads to a maximum `rate` in KiB/s. (default: unlimited)")
	f.UintVar(&g.PackSize, "pack-size", 0, "set target pack `size` in MiB, created pack files may be larger (default: $RESTIC_PACK_SIZE)")
	f.StringSliceVarP(&g.Options, "option", "o", nil, "set extended option (`key=value`, can be specified multiple times)")
	f.StringVar(&g.HTTPUserAgent, "http-user-agent", env("RESTIC_HTTP_USER_AGENT"), "set a http user agent for outgoing http requests")
	f.DurationVar(&g.KeyCache, "key-cache", 0, "keep the key that the password gives in the kernel's keyring for this `duration`, for the next commands of the same user; Linux only (default: $GARNER_KEY_CACHE, or not at all)")
	f.DurationVar(&g.StuckTimeout, "stuck-request-timeout", 5*time.Minute, "`duration` after which to retry stuck requests")
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// Finish fills in what the environment says where no flag was given, and
// refuses combinations that make no sense.
func (a *App) Finish(f *pflag.FlagSet) error {
	if err := a.setFeatures(a.Getenv("RESTIC_FEATURES")); err != nil {
		return err
	}
	g := &a.Globals
	if g.Quiet && g.Verbose > 0 {
		return Usage("--quiet and --verbose cannot be specified at the same time")
	}
	g.Verbose = min(g.Verbose, 2)
	for _, v := range []struct {
		value *string
		env   string
	}{
		{&g.Repo, "RESTIC_REPOSITORY"}, {&g.RepositoryFile, "RESTIC_REPOSITORY_FILE"},
		{&g.PasswordFile, "RESTIC_PASSWORD_FILE"}, {&g.PasswordCommand, "RESTIC_PASSWORD_COMMAND"},
	} {
		if *v.value == "" {
			*v.value = a.Getenv(v.env)
		}
	}
	if v := a.Getenv("RESTIC_COMPRESSION"); v != "" && !f.Changed("compression") {
		g.Compression = v
	}
	if _, err := repo.ParseCompression(g.Compression); err != nil {
		return Usage("%v", err)
	}
	if v, err := repo.ParseVerification(g.ExtraVerify); err != nil {
		return Usage("%v", err)
	} else if g.NoExtraVerify && f.Changed("extra-verify") && v != repo.VerifyNone {
		return Usage("--no-extra-verify contradicts --extra-verify %s", g.ExtraVerify)
	}
	if v := a.Getenv("RESTIC_PACK_SIZE"); v != "" && !f.Changed("pack-size") {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return Usage("invalid value %q of $RESTIC_PACK_SIZE: want a number of MiB", v)
		}
		g.PackSize = uint(n)
	}
	if n := g.PackSize << 20; n != 0 && (n < repo.MinPackSize || n > repo.MaxPackSize) {
		return Usage("pack size of %d MiB is not between %d and %d MiB", g.PackSize, repo.MinPackSize>>20, repo.MaxPackSize>>20)
	}
	if v := a.Getenv("GARNER_KEY_CACHE"); v != "" && !f.Changed("key-cache") {
		d, err := time.ParseDuration(v)
		if err != nil {
			return Usage("invalid value %q of $GARNER_KEY_CACHE: want a duration like 15m", v)
		}
		g.KeyCache = d
	}
	if g.KeyCache != 0 && g.KeyCache < time.Second {
		return Usage("--key-cache: %v is less than a second", g.KeyCache)
	}
	if g.KeyCache != 0 && !keyring.Supported {
		return Usage("--key-cache needs the keyring of the Linux kernel")
	}
	if g.LimitUpload < 0 || g.LimitDownload < 0 {
		return Usage("a limit for uploads or downloads can't be negative")
	}
	return nil
}

// Level is how much is told: 0 for --quiet, 1 by default, 2 and 3 for one and
// two -v.
func (a *App) Level() int {
	if a.Quiet {
		return 0
	}
	return 1 + a.Verbose
}

// Printf writes a message for people to stdout unless --quiet or --json is
// set.
func (a *App) Printf(format string, args ...any) {
	if !a.Quiet && !a.JSON {
		fmt.Fprintf(a.Stdout, format, args...)
	}
}

// Text returns an App that writes messages for people also with --json: for
// commands that have none for programs.
func (a *App) Text() *App {
	text := *a
	text.JSON = false
	return &text
}

// Verbosef is Printf for -v.
func (a *App) Verbosef(format string, args ...any) {
	if a.Verbose > 0 {
		a.Printf(format, args...)
	}
}

// Warnf writes a message for people to stderr, also with --quiet.
func (a *App) Warnf(format string, args ...any) {
	fmt.Fprintf(a.Stderr, format, args...)
}

// UsageError is a command line that makes no sense.
type UsageError struct{ Msg string }

func (e *UsageError) Error() string { return e.Msg }

// Usage returns a UsageError.
func Usage(format string, args ...any) error {
	return &UsageError{Msg: fmt.Sprintf(format, args...)}
}

// ErrIncomplete means that a command did its work but for some items, which
// it has reported.
var ErrIncomplete = errors.New("at least one source file could not be read")

// ErrNotRemoved means that a command could not remove some snapshots, which
// it has reported.
var ErrNotRemoved = errors.New("failed to remove one or more snapshots")

// The exit codes, which are restic's.
const (
	ExitOK            = 0
	ExitFailure       = 1
	ExitIncomplete    = 3
	ExitNoRepository  = 10
	ExitLocked        = 11
	ExitWrongPassword = 12
	ExitInterrupted   = 130
)

// ExitCode returns the exit code for the error of a command. interrupted says
// that a signal asked the program to stop.
func ExitCode(err error, interrupted bool) int {
	var locked *repo.LockedError
	var invalid *repo.InvalidLockError
	switch {
	case err == nil:
		return ExitOK
	case interrupted && errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, ErrIncomplete), errors.Is(err, ErrNotRemoved):
		return ExitIncomplete
	case errors.Is(err, repo.ErrNoRepository):
		return ExitNoRepository
	case errors.As(err, &locked), errors.As(err, &invalid):
		return ExitLocked
	case errors.Is(err, repo.ErrWrongPassword):
		return ExitWrongPassword
	}
	return ExitFailure
}
