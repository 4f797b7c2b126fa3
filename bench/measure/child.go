package measure

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

// childArg is the first argument of the process in between.
const childArg = "measure-child"

// Child is the process in between, if args, those of a program without its
// name, ask for that: it runs a program, writes what it took to a file and
// returns true. Call it first in main and in TestMain.
func Child(args []string) bool {
	if len(args) < 3 || args[0] != childArg {
		return false
	}
	o := runChild(args[2:])
	b, err := json.Marshal(o)
	if err != nil {
		return true // no outcome: the parent reports that
	}
	_ = os.WriteFile(args[1], b, 0o600) // the same
	return true
}

func runChild(args []string) outcome {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = output(1), output(2)
	// A terminal sends its signals to both processes, and whoever ends only
	// this one means the program.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, endSignals()...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{Err: err.Error()}
	}
	go func() {
		for s := range signals {
			if s != os.Interrupt {
				_ = cmd.Process.Signal(s) // it may have ended meanwhile
			}
		}
	}()
	err := cmd.Wait()
	wall := time.Since(start)
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return outcome{Err: err.Error()}
	}
	st := cmd.ProcessState
	return outcome{Usage: Usage{Wall: wall, User: st.UserTime(), System: st.SystemTime(), RSS: peakRSS(st)}, Code: st.ExitCode()}
}

// output returns the file that is open under the number.
func output(fd uintptr) *os.File {
	return os.NewFile(fd, [...]string{1: "stdout", 2: "stderr"}[fd])
}

// countCalls reads the summary that strace -c wrote: the last line holds the
// total, and in front of the word "total" the errors if there were any.
func countCalls(name string) (int64, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, errors.New("strace left no summary")
		}
		return 0, err
	}
	return parseCalls(string(b))
}
