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
	tty, fps := a.progressRate()
	if a.JSON {
		opts.Emit = emit
	} else if tty {
		opts.Terminal = a.StdoutFD
	}
	switch {
	case a.Quiet:
	case fps > 0:
		opts.Interval = time.Duration(float64(time.Second) / min(fps, maxFPS))
	case tty || a.JSON:
		opts.Interval = time.Second / 10
	}
	return ui.StartProgress(opts)
}

// progressRate reports whether there is a terminal, and how often per second
// the user wants to see progress; zero is not said.
func (a *App) progressRate() (tty bool, fps float64) {
	fps, err := strconv.ParseFloat(a.Getenv("RESTIC_PROGRESS_FPS"), 64)
	if err != nil {
		fps = 0
	}
	return ui.IsTerminal(a.StdoutFD, a.Getenv), fps
}

// ShowsProgress reports whether Progress shows anything without being asked.
func (a *App) ShowsProgress() bool {
	tty, fps := a.progressRate()
	return !a.Quiet && (tty || a.JSON || fps > 0)
}
