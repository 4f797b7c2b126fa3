package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/term"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/pattern"
)

// errEmptyPassword refuses what would protect nothing.
var errEmptyPassword = Usage("an empty password is not allowed by default. Pass the flag `--insecure-no-password` to garner to disable this check")

// Source says where a password comes from.
type Source struct {
	File, Command string
	Env           string // the value, not the name
	NoPassword    bool
}

// passwordSource is where the repository's password comes from.
func (a *App) passwordSource() Source {
	env := cmp.Or(a.passwordEnv, "RESTIC_PASSWORD")
	return Source{File: a.PasswordFile, Command: a.PasswordCommand, Env: a.Getenv(env), NoPassword: a.InsecureNoPassword}
}

// read returns the password, or false if the user has to be asked.
func (s Source) read(ctx context.Context, stderr io.Writer) (string, bool, error) {
	if s.NoPassword {
		if s.File != "" || s.Command != "" || s.Env != "" {
			return "", false, Usage("--insecure-no-password must not be specified together with providing a password via a cli option or environment variable")
		}
		return "", true, nil
	}
	if s.File != "" && s.Command != "" {
		return "", false, Usage("password file and password command are mutually exclusive options")
	}
	var password string
	var err error
	switch {
	case s.Command != "":
		password, err = runPasswordCommand(ctx, s.Command, stderr)
	case s.File != "":
		password, err = readPasswordFile(s.File)
	case s.Env != "":
		return s.Env, true, nil
	default:
		return "", false, nil
	}
	if err == nil && password == "" {
		err = errEmptyPassword
	}
	return password, true, err
}

func readPasswordFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", Usage("%s does not exist", path)
	}
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	text, err := pattern.DecodeText(b)
	if err != nil {
		return "", fmt.Errorf("password file %s: %w", path, err)
	}
	return strings.TrimSpace(text), nil
}

func runPasswordCommand(ctx context.Context, command string, stderr io.Writer) (string, error) {
	words, err := SplitWords(command)
	if err != nil {
		return "", Usage("password command: %v", err)
	}
	if len(words) == 0 {
		return "", Usage("password command is empty")
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("password command %q: %w", words[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// SplitWords splits a command line as a shell does: at white space, but not
// within quotes; a backslash takes the next character as it is, within double
// quotes only a quote or another backslash.
func SplitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	in := false // a word has begun, perhaps an empty one in quotes
	quote := rune(0)
	escaped := false
	for _, c := range s {
		switch {
		case escaped:
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%c without its counterpart in %q", quote, s)
	}
	if escaped {
		return nil, fmt.Errorf("nothing follows the backslash at the end of %q", s)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// onTerminal reports whether a user can be asked.
func (a *App) onTerminal() bool { return a.StdinFD >= 0 && term.IsTerminal(a.StdinFD) }

// ask returns one line that the user types without being seen, or, if the
// input is no terminal, the first line of the input.
func (a *App) ask(prompt string) (string, error) {
	if !a.onTerminal() {
		line, err := readLine(a.Stdin)
		if err != nil {
			return "", fmt.Errorf("no password given, and none can be read from the standard input: %w", err)
		}
		return line, nil
	}
	fmt.Fprint(a.Stderr, prompt)
	b, err := term.ReadPassword(a.StdinFD)
	fmt.Fprintln(a.Stderr)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(b), nil
}

// readLine reads no more than one line, as the next one may be the password of
// another repository.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return "", err
		}
		if err != nil || b[0] == '\n' {
			return strings.TrimRight(string(line), "\r"), nil
		}
		line = append(line, b[0])
	}
}

// passwordTries is how often a user on a terminal may mistype.
const passwordTries = 3

// withPassword calls open with the repository's password. On a terminal a
// wrong one may be corrected.
func (a *App) withPassword(ctx context.Context, open func(password string) error) error {
	password, given, err := a.passwordSource().read(ctx, a.Stderr)
	if err != nil {
		return err
	}
	if given {
		return open(password)
	}
	prompt := cmp.Or(a.passwordPrompt, "enter password for repository: ")
	for try := 1; ; try++ {
		password, err := a.ask(prompt)
		if err != nil {
			return err
		}
		if password == "" {
			return errEmptyPassword
		}
		err = open(password)
		if !errors.Is(err, repo.ErrWrongPassword) || try == passwordTries || !a.onTerminal() {
			return err
		}
		a.Warnf("%v, try again\n", err)
	}
}

// NewPassword returns a password for a key that is to be made. A user is asked
// twice.
func (a *App) NewPassword(ctx context.Context, s Source, prompt string) (string, error) {
	password, given, err := s.read(ctx, a.Stderr)
	if err != nil || given {
		return password, err
	}
	password, err = a.ask(prompt)
	if err != nil {
		return "", err
	}
	if a.onTerminal() {
		again, err := a.ask("enter password again: ")
		if err != nil {
			return "", err
		}
		if password != again {
			return "", Usage("passwords do not match")
		}
	}
	if password == "" {
		return "", errEmptyPassword
	}
	return password, nil
}

// RepositoryPassword is NewPassword for a new repository.
func (a *App) RepositoryPassword(ctx context.Context) (string, error) {
	return a.NewPassword(ctx, a.passwordSource(), "enter password for new repository: ")
}
