// Package measure runs a program and says what that took: wall time, processor
// time and memory.
//
// The program is not a child of the process that measures but of a small one
// in between, which is this same executable started anew: Linux counts the
// memory of the process that starts a program into the program's peak, so a
// harness that has read large files would hide what its programs need. Child
// is what main and TestMain call to be that small process.
package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Command is a program with its arguments, environment and folder.
type Command struct {
	Args []string
	Env  []string // all of it
	Dir  string   // empty is the folder of this process
}

// String returns the command as one types it.
func (c Command) String() string {
	var words []string
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$&;|<>()*?[]#~`") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Usage is what a program took.
type Usage struct {
	Wall   time.Duration `json:"wall"`
	User   time.Duration `json:"user"`
	System time.Duration `json:"system"`
	// RSS is the peak of the resident memory in bytes, or 0 where the system
	// does not tell.
	RSS int64 `json:"rss"`
	// Syscalls is how many calls to the kernel there were, if they were counted.
	Syscalls int64 `json:"syscalls,omitempty"`
}

// Add returns what two programs took that ran one after the other.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.Wall + v.Wall, u.User + v.User, u.System + v.System, max(u.RSS, v.RSS), u.Syscalls + v.Syscalls}
}

// FailedError means that a program ran, and failed.
type FailedError struct {
	Command Command
	Code    int    // exit code, or -1 if a signal ended it
	Stderr  string // its last lines
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("exit code %d: %s\n%s", e.Code, e.Command, e.Stderr)
}

// Runner runs programs.
type Runner struct {
	// Scratch is a folder for what programs print.
	Scratch string
	// Strace is the path of strace, if calls to the kernel are to be counted.
	// That makes programs several times slower.
	Strace string
}

// outcome is what the process in between reports.
type outcome struct {
	Usage Usage  `json:"usage"`
	Code  int    `json:"code"`
	Err   string `json:"err,omitempty"` // why it could not be started
}

// Stdout returns the file with what the last program printed.
func (r *Runner) Stdout() string { return filepath.Join(r.Scratch, "stdout") }

func (r *Runner) stderr() string  { return filepath.Join(r.Scratch, "stderr") }
func (r *Runner) outcome() string { return filepath.Join(r.Scratch, "outcome.json") }
func (r *Runner) calls() string   { return filepath.Join(r.Scratch, "calls") }

// Run runs the command and waits for it. If ctx is done, the program is asked
// to end, and killed if it does not.
func (r *Runner) Run(ctx context.Context, c Command) (Usage, error) {
	p, err := r.start(ctx, c)
	if err != nil {
		return Usage{}, err
	}
	return p.wait(ctx)
}

// process is a running command.
type process struct {
	r    *Runner
	c    Command
	cmd  *exec.Cmd
	out  io.Closer
	errs io.Closer
	done chan error
}

func (r *Runner) start(ctx context.Context, c Command) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(r.outcome()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	args := c.Args
	if r.Strace != "" {
		args = append([]string{r.Strace, "-f", "-c", "-o", r.calls(), "--"}, args...)
	}
	p := &process{r: r, c: c, done: make(chan error, 1)}
	p.cmd = exec.CommandContext(ctx, self, append([]string{childArg, r.outcome()}, args...)...)
	p.cmd.Env, p.cmd.Dir = c.Env, c.Dir
	p.cmd.WaitDelay = 20 * time.Second
	askToEnd(p.cmd)
	stdout, err := os.Create(r.Stdout())
	if err != nil {
		return nil, err
	}
	stderr, err := os.Create(r.stderr())
	if err != nil {
		return nil, errors.Join(err, stdout.Close())
	}
	p.cmd.Stdout, p.cmd.Stderr, p.out, p.errs = stdout, stderr, stdout, stderr
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, stdout.Close(), stderr.Close())
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p, nil
}

func (p *process) wait(ctx context.Context) (Usage, error) {
	waited := <-p.done
	if err := errors.Join(p.out.Close(), p.errs.Close()); err != nil {
		return Usage{}, err
	}
	if err := ctx.Err(); err != nil {
		return Usage{}, err
	}
	b, err := os.ReadFile(p.r.outcome())
	if err != nil {
		return Usage{}, fmt.Errorf("%s: the process that measures left nothing: %w", p.c, errors.Join(waited, err))
	}
	var o outcome
	if err := json.Unmarshal(b, &o); err != nil {
		return Usage{}, fmt.Errorf("%s: %w", p.c, err)
	}
	switch {
	case o.Err != "":
		return Usage{}, fmt.Errorf("%s: %s", p.c, o.Err)
	case o.Code != 0:
		return o.Usage, &FailedError{p.c, o.Code, tail(p.r.stderr())}
	}
	if p.r.Strace != "" {
		o.Usage.Syscalls, err = countCalls(p.r.calls())
	}
	return o.Usage, err
}

// tail returns the last lines of a file.
func tail(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	const most = 2000
	if len(b) > most {
		b = append([]byte("..."), b[len(b)-most:]...)
	}
	return string(b)
}
