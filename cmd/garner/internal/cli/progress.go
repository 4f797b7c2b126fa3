package cli

import (
	"strconv"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/ui"
)

// maxFPS is how often a state is shown per second at most.
const maxFPS = 60

// Progress starts to show progress: lines for people, or with --json what
// emit prints. By default that is ten times a second on a terminal and with
// --json, and else only on demand; $RESTIC_PROGRESS_FPS says how often.
func (a *App) Progress(lines func() []string, emit func()) *ui.Progress {
	opts := ui.ProgressOptions{Out: a.Stdout, Terminal: -1, Lines: lines}
	tty := ui.IsTerminal(a.StdoutFD, a.Getenv)
	if a.JSON {
		opts.Emit = emit
	} else if tty {
		opts.Terminal = a.StdoutFD
	}
	fps, err := strconv.ParseFloat(a.Getenv("RESTIC_PROGRESS_FPS"), 64)
	switch {
	case a.Quiet:
	case err == nil && fps > 0:
		opts.Interval = time.Duration(float64(time.Second) / min(fps, maxFPS))
	case tty || a.JSON:
		opts.Interval = time.Second / 10
	}
	return ui.StartProgress(opts)
}
