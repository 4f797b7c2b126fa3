package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// shownFiles is how many of the files that are being read are shown.
const shownFiles = 2

// backupDisplay tells people and programs of a backup.
type backupDisplay struct {
	app      *cli.App
	dryRun   bool
	began    time.Time
	progress *ui.Progress // nil before start

	files, bytes atomic.Int64
	errors       atomic.Int64

	mu      sync.Mutex
	totals  *source.Totals      // nil: not known yet; owned by mu
	current map[string]struct{} // files being read; owned by mu
}

func newBackupDisplay(app *cli.App, dryRun bool) *backupDisplay {
	return &backupDisplay{app: app, dryRun: dryRun, began: time.Now(), current: make(map[string]struct{})}
}

func (d *backupDisplay) start() {
	d.progress = d.app.Progress(d.lines, d.emit)
}

func (d *backupDisplay) stop() {
	if d.progress != nil {
		d.progress.Stop()
		d.progress = nil
	}
}

func (d *backupDisplay) incomplete() bool { return d.errors.Load() > 0 }

// print runs fn such that its output does not mix with the progress.
func (d *backupDisplay) print(fn func()) {
	if p := d.progress; p != nil {
		p.Print(fn)
	} else {
		fn()
	}
}

func (d *backupDisplay) observer() *backup.Observer {
	o := &backup.Observer{
		Progress: func(files, _ int, bytes int64) {
			d.files.Add(int64(files))
			d.bytes.Add(bytes)
		},
		Error: d.itemError,
	}
	if !d.app.Quiet {
		o.Start = d.reading
		o.Done = d.read
	}
	if d.app.Verbose >= 2 {
		o.Item = d.item
	}
	return o
}

func (d *backupDisplay) reading(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current[path] = struct{}{}
}

func (d *backupDisplay) read(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.current, path)
}

// estimates reports whether anybody is told how much there is to do.
func (d *backupDisplay) estimates() bool {
	return d.app.ShowsProgress() || d.app.Verbose >= 2
}

// scanned is called when the size of the source is known.
func (d *backupDisplay) scanned(t source.Totals, took time.Duration) {
	d.mu.Lock()
	d.totals = &t
	d.mu.Unlock()
	if d.app.Verbose < 2 {
		return
	}
	d.print(func() {
		if d.app.JSON {
			_ = d.app.PrintJSON(verboseStatus{MessageType: "verbose_status", Action: "scan_finished", Duration: took.Seconds(), DataSize: uint64(t.Bytes), TotalFiles: uint(t.Files)})
			return
		}
		d.app.Printf("scan finished in %.3fs: %d files, %s\n", took.Seconds(), t.Files, ui.Bytes(uint64(t.Bytes)))
	})
}

// state is a consistent look at how far the backup is.
func (d *backupDisplay) state() (totals source.Totals, known bool, current []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.totals != nil {
		totals, known = *d.totals, true
	}
	for path := range d.current {
		if len(current) == shownFiles {
			break
		}
		current = append(current, path)
	}
	return totals, known, current
}

func (d *backupDisplay) lines() []string {
	totals, known, current := d.state()
	files, bytes := d.files.Load(), d.bytes.Load()
	spent := time.Since(d.began)
	line := fmt.Sprintf("[%s] %d files, %s", ui.Duration(spent), files, ui.Bytes(uint64(bytes)))
	if known {
		line = fmt.Sprintf("[%s] %s  %d files %s, total %d files %s", ui.Duration(spent), ui.Percent(bytes, totals.Bytes),
			files, ui.Bytes(uint64(bytes)), totals.Files, ui.Bytes(uint64(totals.Bytes)))
		line += fmt.Sprintf(", %d errors", d.errors.Load())
		if eta := ui.ETA(d.began, bytes, totals.Bytes); eta > 0 {
			line += " ETA " + ui.Duration(eta)
		}
	}
	lines := []string{line}
	if known {
		lines = append(lines, "["+ui.Bar(bytes, totals.Bytes, 40)+"] "+ui.Bytes(uint64(float64(bytes)/max(spent.Seconds(), 0.001)))+"/s")
	}
	return append(lines, current...)
}

// The messages for programs.
type (
	backupStatus struct {
		MessageType      string   `json:"message_type"` // "status"
		SecondsElapsed   uint64   `json:"seconds_elapsed,omitempty"`
		SecondsRemaining uint64   `json:"seconds_remaining,omitempty"`
		PercentDone      float64  `json:"percent_done"`
		TotalFiles       uint64   `json:"total_files,omitempty"`
		FilesDone        uint64   `json:"files_done,omitempty"`
		TotalBytes       uint64   `json:"total_bytes,omitempty"`
		BytesDone        uint64   `json:"bytes_done,omitempty"`
		ErrorCount       uint     `json:"error_count,omitempty"`
		CurrentFiles     []string `json:"current_files,omitempty"`
	}
	verboseStatus struct {
		MessageType        string  `json:"message_type"` // "verbose_status"
		Action             string  `json:"action"`
		Item               string  `json:"item"`
		Duration           float64 `json:"duration"` // seconds
		DataSize           uint64  `json:"data_size"`
		DataSizeInRepo     uint64  `json:"data_size_in_repo"`
		MetadataSize       uint64  `json:"metadata_size"`
		MetadataSizeInRepo uint64  `json:"metadata_size_in_repo"`
		TotalFiles         uint    `json:"total_files"`
	}
	excludedItem struct {
		MessageType string `json:"message_type"` // "excluded_item"
		Item        string `json:"item"`
	}
	errorObject struct {
		Message string `json:"message"`
	}
	itemError struct {
		MessageType string      `json:"message_type"` // "error"
		Error       errorObject `json:"error"`
		During      string      `json:"during"`
		Item        string      `json:"item"`
	}
	backupSummary struct {
		MessageType         string    `json:"message_type"` // "summary"
		FilesNew            uint      `json:"files_new"`
		FilesChanged        uint      `json:"files_changed"`
		FilesUnmodified     uint      `json:"files_unmodified"`
		DirsNew             uint      `json:"dirs_new"`
		DirsChanged         uint      `json:"dirs_changed"`
		DirsUnmodified      uint      `json:"dirs_unmodified"`
		DataBlobs           int       `json:"data_blobs"`
		TreeBlobs           int       `json:"tree_blobs"`
		DataAdded           uint64    `json:"data_added"`
		DataAddedPacked     uint64    `json:"data_added_packed"`
		TotalFilesProcessed uint      `json:"total_files_processed"`
		TotalBytesProcessed uint64    `json:"total_bytes_processed"`
		TotalDuration       float64   `json:"total_duration"` // seconds
		BackupStart         time.Time `json:"backup_start"`
		BackupEnd           time.Time `json:"backup_end"`
		SnapshotID          string    `json:"snapshot_id,omitempty"`
		DryRun              bool      `json:"dry_run,omitempty"`
	}
)

func (d *backupDisplay) emit() {
	totals, known, current := d.state()
	s := backupStatus{
		MessageType: "status", SecondsElapsed: uint64(time.Since(d.began).Seconds()),
		FilesDone: uint64(d.files.Load()), BytesDone: uint64(d.bytes.Load()),
		ErrorCount: uint(d.errors.Load()), CurrentFiles: current,
	}
	if known {
		s.TotalFiles, s.TotalBytes = uint64(totals.Files), uint64(totals.Bytes)
		s.SecondsRemaining = uint64(ui.ETA(d.began, int64(s.BytesDone), totals.Bytes).Seconds())
		if totals.Bytes > 0 {
			s.PercentDone = min(1, float64(s.BytesDone)/float64(totals.Bytes))
		}
	}
	_ = d.app.PrintJSON(s)
}

// printError writes an error about an item to stderr.
func printItemError(app *cli.App, during, path string, err error) {
	if app.JSON {
		b, _ := json.Marshal(itemError{"error", errorObject{err.Error()}, during, path}) // plain fields: can't fail
		app.Warnf("%s\n", b)
		return
	}
	app.Warnf("error: %s: %v\n", path, unwrapPath(err, path))
}

// unwrapPath leaves out a path that the message begins with anyway.
func unwrapPath(err error, path string) error {
	if p, ok := err.(*fs.PathError); ok && p.Path == path {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

func (d *backupDisplay) itemError(path string, err error) {
	d.errors.Add(1)
	d.print(func() { printItemError(d.app, "archival", path, err) })
}

// warn tells of a target that can't be backed up.
func (d *backupDisplay) warn(path string, err error) {
	if !isMissing(err) || d.app.JSON {
		d.itemError(path, err)
		return
	}
	d.errors.Add(1)
	d.print(func() { d.app.Warnf("%s does not exist, skipping\n", path) })
}

func (d *backupDisplay) excluded(path string) {
	if d.app.Verbose < 2 || d.progress == nil {
		return
	}
	d.print(func() {
		if d.app.JSON {
			_ = d.app.PrintJSON(excludedItem{"excluded_item", path})
		} else {
			d.app.Printf("excluded  %s\n", path)
		}
	})
}

var actionNames = map[backup.Action]string{backup.New: "new", backup.Changed: "modified", backup.Unmodified: "unchanged"}

func (d *backupDisplay) item(i backup.Item) {
	path := i.Path
	if i.Type == tree.TypeDir {
		path += "/"
	}
	d.print(func() {
		if d.app.JSON {
			_ = d.app.PrintJSON(verboseStatus{
				MessageType: "verbose_status", Action: actionNames[i.Action], Item: path, Duration: i.Duration.Seconds(),
				DataSize: uint64(i.Added.DataSize), DataSizeInRepo: uint64(i.Added.DataStored),
				MetadataSize: uint64(i.Added.TreeSize), MetadataSizeInRepo: uint64(i.Added.TreeStored),
			})
			return
		}
		if i.Action == backup.Unmodified {
			d.app.Printf("unchanged %s\n", path)
			return
		}
		metadata := ""
		if i.Type == tree.TypeDir {
			metadata = ", " + ui.Bytes(uint64(i.Added.TreeStored)) + " metadata"
		}
		d.app.Printf("%-9s %s, saved in %.3fs (%s added, %s stored%s)\n", actionNames[i.Action], path, i.Duration.Seconds(),
			ui.Bytes(uint64(i.Added.DataSize)), ui.Bytes(uint64(i.Added.DataStored)), metadata)
	})
}

func (d *backupDisplay) summary(res *backup.Result) error {
	s := res.Snapshot.Summary
	id := ""
	if !res.Snapshot.ID.IsZero() {
		id = res.Snapshot.ID.String()
	}
	if d.app.JSON {
		return d.app.PrintJSON(backupSummary{
			"summary", s.FilesNew, s.FilesChanged, s.FilesUnmodified, s.DirsNew, s.DirsChanged, s.DirsUnmodified,
			s.DataBlobs, s.TreeBlobs, s.DataAdded, s.DataAddedPacked, s.TotalFilesProcessed, s.TotalBytesProcessed,
			res.Duration.Seconds(), s.BackupStart, s.BackupEnd, id, d.dryRun,
		})
	}
	p := d.app.Printf
	p("\nFiles:       %5d new, %5d changed, %5d unmodified\n", s.FilesNew, s.FilesChanged, s.FilesUnmodified)
	p("Dirs:        %5d new, %5d changed, %5d unmodified\n", s.DirsNew, s.DirsChanged, s.DirsUnmodified)
	d.app.Verbosef("Data Blobs:  %5d new\nTree Blobs:  %5d new\n", s.DataBlobs, s.TreeBlobs)
	verb := "Added"
	if d.dryRun {
		verb = "Would add"
	}
	p("%s to the repository: %-5s (%-5s stored)\n\n", verb, ui.Bytes(s.DataAdded), ui.Bytes(s.DataAddedPacked))
	p("processed %d files, %s in %s\n", s.TotalFilesProcessed, ui.Bytes(s.TotalBytesProcessed), ui.Duration(time.Since(d.began)))
	switch {
	case d.dryRun:
	case id == "":
		p("skipped creating snapshot\n")
	default:
		p("snapshot %s saved\n", id[:8])
	}
	return nil
}
