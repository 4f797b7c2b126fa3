package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/garner-backup/garner/repo"
)

// PrintJSON writes v as one line of JSON to stdout.
func (a *App) PrintJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "%s\n", b)
	return err
}

// exitError is how programs are told why a command failed.
type exitError struct {
	MessageType string `json:"message_type"` // "exit_error"
	Code        int    `json:"code"`
	Message     string `json:"message"`
}

// Report tells on stderr why a command failed, in the form that was asked for.
func (a *App) Report(err error, code int) {
	msg := err.Error()
	var usage *UsageError
	switch {
	case code == ExitInterrupted:
		msg = "interrupted"
	case errors.Is(err, ErrIncomplete):
		msg = "Warning: " + msg
	case !errors.As(err, &usage) || !strings.HasPrefix(msg, "unknown "):
		msg = "Fatal: " + msg
	}
	if hint := hintFor(err); hint != "" {
		msg += "\n" + hint
	}
	if a.JSON {
		b, _ := json.Marshal(exitError{"exit_error", code, msg}) // plain fields: can't fail
		fmt.Fprintf(a.Stderr, "%s\n", b)
		return
	}
	fmt.Fprintln(a.Stderr, msg)
}

// hintFor says what to do about an error.
func hintFor(err error) string {
	var locked *repo.LockedError
	var corrupt *repo.CorruptError
	switch {
	case errors.As(err, &locked):
		return "the `unlock` command can be used to remove stale locks"
	case errors.Is(err, repo.ErrLockLost):
		return "nothing was lost, but the command did not finish: run it again"
	case errors.As(err, &corrupt) && corrupt.Blob == nil:
		return "run `check` to see all of the damage"
	}
	return ""
}
