package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
)

// phases shows work that has several parts, one after the other: the name of
// each as it begins, how far it is, and what it came to.
type phases struct {
	app      *cli.App
	progress *ui.Progress

	mu    sync.Mutex
	unit  string    // owned by mu
	began time.Time // owned by mu
	done  int64     // owned by mu
	total int64     // of the part; 0 if not known; owned by mu
}

func newPhases(app *cli.App) *phases {
	p := &phases{app: app}
	p.progress = app.Progress(p.lines, func() {})
	return p
}

// enter begins a part. Without a total it has no progress.
func (p *phases) enter(name, unit string, total int) {
	last := p.lines()
	p.progress.Print(func() {
		if len(last) > 0 {
			p.app.Printf("%s\n", last[0])
		}
		if name != "" {
			p.app.Printf("%s\n", name)
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unit, p.began, p.done, p.total = unit, time.Now(), 0, int64(total)
}

// step counts one item of the part as done.
func (p *phases) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
}

func (p *phases) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total == 0 {
		return nil
	}
	return []string{fmt.Sprintf("[%s] %s  %d / %d %s", ui.Duration(time.Since(p.began)), ui.Percent(p.done, p.total), p.done, p.total, p.unit)}
}

// warn tells of something that does not end the work.
func (p *phases) warn(err error) {
	p.progress.Print(func() { p.app.Warnf("warning: %v\n", err) })
}

// stop ends the last part. What is printed afterwards is not disturbed.
func (p *phases) stop() {
	p.enter("", "", 0)
	p.progress.Stop()
}
