package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Progress shows how far a command is, again and again, below everything else
// that it prints. Its methods are safe for concurrent use.
type Progress struct {
	opts    ProgressOptions
	mu      sync.Mutex // for all output
	drawn   int        // lines on the terminal that are to be replaced; owned by mu
	stop    chan struct{}
	stopped chan struct{}
}

// ProgressOptions say where and when progress is shown.
type ProgressOptions struct {
	Out io.Writer
	// Terminal is the descriptor of the terminal that Out is, or -1. On a
	// terminal the lines are replaced, elsewhere each state is printed anew.
	Terminal int
	// Interval is the time between two states; zero shows none but on demand.
	Interval time.Duration
	// Lines returns the state as lines of text.
	Lines func() []string
	// Emit, if set, prints the state in its own way, in place of Lines.
	Emit func()
}

// StartProgress begins to show progress. Stop must be called.
func StartProgress(opts ProgressOptions) *Progress {
	p := &Progress{opts: opts, stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.run()
	return p
}

func (p *Progress) run() {
	defer close(p.stopped)
	demand, cancel := onDemand()
	defer cancel()
	var tick <-chan time.Time
	if p.opts.Interval > 0 {
		t := time.NewTicker(p.opts.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-p.stop:
			return
		case <-tick:
		case <-demand:
		}
		p.mu.Lock()
		p.show()
		p.mu.Unlock()
	}
}

// show prints the state. The caller holds mu.
func (p *Progress) show() {
	if p.opts.Emit != nil {
		p.opts.Emit()
		return
	}
	lines := p.opts.Lines()
	if p.opts.Terminal < 0 {
		if len(lines) > 0 {
			fmt.Fprintln(p.opts.Out, lines[0])
		}
		return
	}
	width, height, err := term.GetSize(p.opts.Terminal)
	if err != nil || width == 0 || height == 0 {
		width, height = 80, 24
	}
	var b strings.Builder
	p.erase(&b)
	lines = lines[:min(len(lines), max(height-1, 1))]
	for _, l := range lines {
		fmt.Fprintln(&b, cut(l, width))
	}
	p.drawn = len(lines)
	fmt.Fprint(p.opts.Out, b.String())
}

// erase removes what show has drawn from the terminal.
func (p *Progress) erase(w io.Writer) {
	if p.drawn > 0 {
		fmt.Fprintf(w, "\x1b[%dA\x1b[J", p.drawn) // up, and clear to the end of the screen
		p.drawn = 0
	}
}

// cut shortens a line such that it fits into one row of the terminal, and
// makes control characters harmless: names of files may hold any.
func cut(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if width < 4 || utf8.RuneCountInString(s) < width {
		return s
	}
	runes := []rune(s)
	return string(runes[:width-4]) + "..."
}

// Print runs fn, which writes something, between two states.
func (p *Progress) Print(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn > 0 {
		p.erase(p.opts.Out)
	}
	fn()
}

// Stop ends the display and removes it from the terminal.
func (p *Progress) Stop() {
	close(p.stop)
	<-p.stopped
	p.Print(func() {})
}

// IsTerminal reports whether a descriptor is a terminal that understands
// control sequences.
func IsTerminal(fd int, getenv func(string) string) bool {
	return fd >= 0 && term.IsTerminal(fd) && getenv("TERM") != "dumb"
}

// Bar draws how much of a whole is done, in width columns.
func Bar(done, total int64, width int) string {
	if total <= 0 {
		return strings.Repeat("-", width)
	}
	n := int(min(done, total) * int64(width) / total)
	return strings.Repeat("#", n) + strings.Repeat("-", width-n)
}

// ETA estimates the time left, or returns 0 if it can't be told.
func ETA(start time.Time, done, total int64) time.Duration {
	if done <= 0 || total <= done {
		return 0
	}
	spent := time.Since(start)
	return time.Duration(float64(spent) / float64(done) * float64(total-done))
}
