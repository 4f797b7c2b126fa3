package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo/repair"
)

const repairHelp = `The "repair" command mends what "check" finds: the index, damaged packs, and
snapshots that have lost something. Make a copy of the repository before, if
there is room for one, and use the sub-commands in this order.`

func newRepairCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Repair the repository",
		Long:  repairHelp,
	}
	cmd.AddCommand(newRepairIndexCommand(app), newRepairPacksCommand(app), newRepairSnapshotsCommand(app))
	return cmd
}

// repairDisplay tells of a repair.
type repairDisplay struct {
	app      *cli.App
	progress *ui.Progress
	unit     atomic.Value // string: what is counted now
	began    atomic.Int64 // the phase, Unix nanoseconds
	done     atomic.Int64
	total    atomic.Int64
}

func newRepairDisplay(app *cli.App) *repairDisplay {
	d := &repairDisplay{app: app}
	d.unit.Store("")
	d.progress = app.Progress(d.lines, func() {})
	return d
}

// observer returns what a repair calls. Findings go to found.
func (d *repairDisplay) observer(found func(repair.Finding)) *repair.Observer {
	return &repair.Observer{
		Phase: d.enter,
		Done:  func() { d.done.Add(1) },
		Found: func(f repair.Finding) { d.progress.Print(func() { found(f) }) },
	}
}

var repairPhases = map[repair.Phase][2]string{ // what happens, and what is counted
	repair.PhaseLoad:    {"loading indexes", ""},
	repair.PhaseList:    {"looking for packs", ""},
	repair.PhaseHeaders: {"reading headers of packs", "packs"},
	repair.PhaseIndex:   {"writing the index", ""},
	repair.PhaseCopy:    {"saving copies of the packs in the current folder", "packs"},
	repair.PhaseSalvage: {"saving what is whole in the packs", "packs"},
	repair.PhaseRemove:  {"removing the packs", "packs"},
	repair.PhaseTrees:   {"reading trees", "trees"},
}

func (d *repairDisplay) enter(p repair.Phase, total int) {
	last := d.lines()
	d.progress.Print(func() {
		if len(last) > 0 {
			d.app.Printf("%s\n", last[0])
		}
		if text := repairPhases[p][0]; text != "" {
			d.app.Printf("%s\n", text)
		}
	})
	d.done.Store(0)
	d.total.Store(int64(total))
	d.began.Store(time.Now().UnixNano())
	d.unit.Store(repairPhases[p][1])
}

func (d *repairDisplay) lines() []string {
	total := d.total.Load()
	if total == 0 {
		return nil
	}
	spent := time.Duration(time.Now().UnixNano() - d.began.Load())
	return []string{fmt.Sprintf("[%s] %s  %d / %d %s", ui.Duration(spent), ui.Percent(d.done.Load(), total), d.done.Load(), total, d.unit.Load())}
}

// stop ends the display of progress, and leaves its last state.
func (d *repairDisplay) stop() {
	last := d.lines()
	d.progress.Stop()
	if len(last) > 0 {
		d.app.Printf("%s\n", last[0])
	}
}

// indexFinding tells what a repair of the index found.
func (d *repairDisplay) indexFinding(f repair.Finding) {
	switch f.Kind {
	case repair.DamagedIndex:
		d.app.Warnf("removing index file %s: %v\n", f.ID, f.Err)
	case repair.MissingPack:
		d.app.Warnf("pack %s does not exist: it leaves the index\n", f.ID)
	case repair.UnindexedPack:
		d.app.Warnf("pack %s is not in the index: it is added\n", f.ID)
	case repair.ResizedPack:
		d.app.Warnf("pack %s is %d bytes long, not %d: its header is read anew\n", f.ID, f.Got, f.Want)
	case repair.ConflictingPack:
		d.app.Warnf("pack %s is not the same in all index files: its header is read anew\n", f.ID)
	case repair.UnreadablePack:
		d.app.Warnf("%v\n  what the index says of this pack stays; run `garner repair packs %s`\n", f.Err, f.ID)
	}
}
