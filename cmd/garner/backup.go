package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
)

type backupOptions struct {
	patterns patternOptions

	init             bool
	parent           string
	groupBy          string
	force            bool
	oneFileSystem    bool
	excludeIfPresent []string
	excludeCaches    bool
	excludeLarger    string
	stdin            bool
	stdinFilename    string
	stdinCommand     bool
	tags             []string
	readConcurrency  uint
	host             string
	filesFrom        []string
	filesVerbatim    []string
	filesRaw         []string
	time             string
	withAtime        bool
	ignoreInode      bool
	ignoreCtime      bool
	dryRun           bool
	noScan           bool
	skipUnchanged    bool
	fsSnapshot       bool
	excludeCloud     bool
}

const backupHelp = `The "backup" command creates a new snapshot and saves the files and directories
given as the arguments.

EXIT STATUS
===========

Exit status is 0 if the command was successful.
Exit status is 1 if there was a fatal error (no snapshot created).
Exit status is 3 if some source data could not be read (incomplete snapshot created).
Exit status is 10 if the repository does not exist.
Exit status is 11 if the repository is already locked.
Exit status is 12 if the password is incorrect.
Exit status is 130 if the command was interrupted.`

func newBackupCommand(app *cli.App) *cobra.Command {
	var opts backupOptions
	cmd := &cobra.Command{
		Use:   "backup [flags] [FILE/DIR] ...",
		Short: "Create a new backup of files and/or directories",
		Long:  backupHelp,
		Example: "  garner backup --init -r /mnt/storage/backup /home\n" +
			"  garner backup /etc /srv --exclude '*.tmp' --tag daily\n" +
			"  garner backup --stdin-from-command --stdin-filename db.sql -- pg_dump -Fc app",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.fromEnvironment(app, cmd); err != nil {
				return err
			}
			return runBackup(cmd.Context(), app, opts, args)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func (o *backupOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.init, "init", false, "make the repository first if there is none")
	f.StringVar(&o.parent, "parent", "", "use this parent `snapshot` (default: latest snapshot in the group determined by --group-by and not newer than the timestamp determined by --time)")
	f.StringVarP(&o.groupBy, "group-by", "g", "host,paths", "`group` snapshots by host, paths and/or tags, separated by comma (disable grouping with '')")
	f.BoolVarP(&o.force, "force", "f", false, "force re-reading the source files/directories, overrides the \"parent\" flag")
	o.patterns.addExcludes(f)
	f.BoolVarP(&o.oneFileSystem, "one-file-system", "x", false, "exclude other file systems, don't cross filesystem boundaries and subvolumes")
	f.StringArrayVar(&o.excludeIfPresent, "exclude-if-present", nil, "takes `filename[:header]`, exclude contents of directories containing filename (except filename itself) if header of that file is as provided (can be specified multiple times)")
	f.BoolVar(&o.excludeCaches, "exclude-caches", false, "excludes cache directories that are marked with a CACHEDIR.TAG file. See https://bford.info/cachedir/ for the Cache Directory Tagging Standard")
	f.StringVar(&o.excludeLarger, "exclude-larger-than", "", "max `size` of the files to be backed up (allowed suffixes: k/K, m/M, g/G, t/T)")
	f.BoolVar(&o.stdin, "stdin", false, "read backup from stdin")
	f.StringVar(&o.stdinFilename, "stdin-filename", "stdin", "`filename` to use when reading from stdin")
	f.BoolVar(&o.stdinCommand, "stdin-from-command", false, "interpret arguments as command to execute and store its stdout")
	f.StringArrayVar(&o.tags, "tag", nil, "add `tags` for the new snapshot in the format `tag[,tag,...]` (can be specified multiple times)")
	f.UintVar(&o.readConcurrency, "read-concurrency", 0, "read `n` files concurrently (default: $RESTIC_READ_CONCURRENCY or two for each processor)")
	f.StringVarP(&o.host, "host", "H", "", "set the `hostname` for the snapshot manually (default: $RESTIC_HOST). To prevent an expensive rescan use the \"parent\" flag")
	f.StringVar(&o.host, "hostname", "", "set the `hostname` for the snapshot manually")
	_ = f.MarkDeprecated("hostname", "use --host")
	f.StringArrayVar(&o.filesFrom, "files-from", nil, "read the files to backup from `file` (can be combined with file args; can be specified multiple times)")
	f.StringArrayVar(&o.filesVerbatim, "files-from-verbatim", nil, "read the files to backup from `file` (can be combined with file args; can be specified multiple times)")
	f.StringArrayVar(&o.filesRaw, "files-from-raw", nil, "read the files to backup from `file` (can be combined with file args; can be specified multiple times)")
	f.StringVar(&o.time, "time", "", "`time` of the backup (ex. '2012-11-01 22:08:41') (default: now)")
	f.BoolVar(&o.withAtime, "with-atime", false, "store the atime for all files and directories")
	f.BoolVar(&o.ignoreInode, "ignore-inode", false, "ignore inode number and ctime changes when checking for modified files (default: $RESTIC_IGNORE_INODE)")
	f.BoolVar(&o.ignoreCtime, "ignore-ctime", false, "ignore ctime changes when checking for modified files (default: $RESTIC_IGNORE_CTIME)")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "do not upload or write any data, just show what would be done")
	f.BoolVar(&o.noScan, "no-scan", false, "do not run scanner to estimate size of backup")
	f.BoolVar(&o.skipUnchanged, "skip-if-unchanged", false, "skip snapshot creation if identical to parent snapshot")
	f.BoolVar(&o.fsSnapshot, "use-fs-snapshot", false, "use filesystem snapshot where possible (Windows only: refused)")
	f.BoolVar(&o.excludeCloud, "exclude-cloud-files", false, "excludes online-only cloud files (Windows and macOS only: refused)")
}

// fromEnvironment fills in what the environment says where no flag was given.
func (o *backupOptions) fromEnvironment(app *cli.App, cmd *cobra.Command) error {
	f := cmd.Flags()
	for _, v := range []struct {
		flag, env string
		value     *bool
	}{{"ignore-inode", "RESTIC_IGNORE_INODE", &o.ignoreInode}, {"ignore-ctime", "RESTIC_IGNORE_CTIME", &o.ignoreCtime}} {
		s := app.Getenv(v.env)
		if s == "" || f.Changed(v.flag) {
			continue
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return cli.Usage("invalid value %q of $%s: want true or false", s, v.env)
		}
		*v.value = b
	}
	if s := app.Getenv("RESTIC_READ_CONCURRENCY"); s != "" && !f.Changed("read-concurrency") {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return cli.Usage("invalid value %q of $RESTIC_READ_CONCURRENCY: want a number", s)
		}
		o.readConcurrency = uint(n)
	}
	if o.host == "" {
		o.host = app.Getenv("RESTIC_HOST")
	}
	return nil
}

// check refuses what makes no sense.
func (o *backupOptions) check(app *cli.App, args []string) error {
	switch {
	case o.fsSnapshot:
		return cli.Usage("--use-fs-snapshot is not supported: snapshots of file systems are made on Windows only")
	case o.excludeCloud:
		return cli.Usage("--exclude-cloud-files is not supported on %s", runtime.GOOS)
	case o.stdin && o.stdinCommand:
		return cli.Usage("--stdin and --stdin-from-command cannot be used together")
	case o.stdin && len(args) > 0:
		return cli.Usage("--stdin was specified and files/dirs were listed as arguments")
	case o.stdinCommand && len(args) == 0:
		return cli.Usage("--stdin-from-command requires a command to execute as arguments")
	case (o.stdin || o.stdinCommand) && len(o.filesFrom)+len(o.filesVerbatim)+len(o.filesRaw) > 0:
		return cli.Usage("--stdin and --files-from cannot be used together")
	}
	if o.stdin && app.PasswordFile == "" && app.PasswordCommand == "" && app.Getenv("RESTIC_PASSWORD") == "" && !app.InsecureNoPassword {
		return cli.Usage("cannot read both password and data from stdin; use --password-file, --password-command or $RESTIC_PASSWORD")
	}
	return nil
}

func runBackup(ctx context.Context, app *cli.App, opts backupOptions, args []string) error {
	if err := opts.check(app, args); err != nil {
		return err
	}
	sn, err := opts.snapshot()
	if err != nil {
		return err
	}
	by, err := snapshot.ParseGrouping(opts.groupBy)
	if err != nil {
		return cli.Usage("%v", err)
	}
	b := &backupRun{app: app, opts: opts, sn: sn, by: by, show: newBackupDisplay(app, opts.dryRun)}
	if b.src, err = b.source(ctx, args); err != nil {
		return err
	}
	access := cli.Append
	if opts.dryRun {
		access = cli.Dry
	} else if opts.init {
		if err := initIfMissing(ctx, app); err != nil {
			return err
		}
	}
	return app.Open(ctx, access, b.run)
}

// initIfMissing makes the repository if its config is not there. It asks the
// storage, so that an existing one is never taken for missing for another
// reason.
func initIfMissing(ctx context.Context, app *cli.App) error {
	exists, err := app.Exists(ctx)
	if err != nil || exists {
		return err
	}
	_, err = createRepository(ctx, app, &repo.InitOptions{})
	return err
}

// snapshot returns what the new snapshot records.
func (o *backupOptions) snapshot() (snapshot.Snapshot, error) {
	sn := snapshot.Snapshot{Time: time.Now(), Hostname: o.host, Excludes: o.patterns.excludes, ProgramVersion: programVersion}
	if o.time != "" {
		t, err := time.ParseInLocation(timeFormat, o.time, time.Local)
		if err != nil {
			return sn, cli.Usage("invalid --time %q: want a time like '2012-11-01 22:08:41'", o.time)
		}
		sn.Time = t
	}
	if sn.Hostname == "" {
		host, err := os.Hostname()
		if err != nil {
			return sn, fmt.Errorf("host name: %w", err)
		}
		sn.Hostname = host
	}
	for _, t := range o.tags {
		sn.Tags = append(sn.Tags, snapshot.Flatten([]snapshot.TagList{snapshot.ParseTags(t)})...)
	}
	if u, err := user.Current(); err == nil {
		sn.Username = u.Username
		if uid, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			sn.UID = uint32(uid)
		}
		if gid, err := strconv.ParseUint(u.Gid, 10, 32); err == nil {
			sn.GID = uint32(gid)
		}
	}
	return sn, nil
}

// backupRun is one run of the command.
type backupRun struct {
	app  *cli.App
	opts backupOptions
	sn   snapshot.Snapshot
	by   snapshot.Grouping
	src  source.Source
	show *backupDisplay
}

// source returns what is to be backed up.
func (b *backupRun) source(ctx context.Context, args []string) (source.Source, error) {
	switch {
	case b.opts.stdin:
		return b.stream(b.app.Stdin)
	case b.opts.stdinCommand:
		return b.stream(&commandReader{ctx: ctx, args: args, stderr: b.app.Stderr})
	}
	targets, err := b.opts.targets(b.app, args)
	if err != nil {
		return nil, err
	}
	opts, err := b.opts.sourceOptions(b.app)
	if err != nil {
		return nil, err
	}
	opts.Excluded = b.show.excluded
	opts.Warn = b.show.warn
	return source.Dir(targets, opts)
}

func (b *backupRun) stream(r io.Reader) (source.Source, error) {
	src, err := source.Stream(b.opts.stdinFilename, r, b.sn.Time)
	if err != nil {
		return nil, cli.Usage("--stdin-filename: %v", err)
	}
	return src, nil
}

// run makes the backup in an opened and locked repository.
func (b *backupRun) run(ctx context.Context, r *repo.Repo) error {
	parent, err := b.findParent(ctx, r)
	if err != nil {
		return err
	}
	if err := r.LoadIndex(ctx); err != nil {
		return err
	}
	b.show.start()
	scanned := b.scan(ctx)
	folders := b.folders(r)
	res, err := backup.Run(ctx, r, b.src, &backup.Options{
		Snapshot: b.sn, Parent: parent, IgnoreInode: b.opts.ignoreInode, IgnoreCtime: b.opts.ignoreCtime,
		SkipIfUnchanged: b.opts.skipUnchanged, DryRun: b.opts.dryRun, Workers: int(b.opts.readConcurrency),
		Folders: folders, Observer: b.show.observer(),
	})
	b.keepFolders(r, folders, err == nil)
	scanned()
	b.show.stop()
	if err != nil {
		return fmt.Errorf("unable to save snapshot: %w", err)
	}
	if err := b.show.summary(res); err != nil {
		return err
	}
	if b.show.incomplete() {
		return cli.ErrIncomplete
	}
	return nil
}

// scan counts what there is in the background, for the estimate of the time
// left. The function it returns ends that.
func (b *backupRun) scan(ctx context.Context) (stop func()) {
	if b.opts.noScan || b.opts.stdin || b.opts.stdinCommand || !b.show.estimates() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		start := time.Now()
		totals, err := source.Scan(ctx, b.src, nil)
		if err == nil {
			b.show.scanned(totals, time.Since(start))
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// findParent returns the snapshot to compare with, or nil.
func (b *backupRun) findParent(ctx context.Context, r *repo.Repo) (*snapshot.Snapshot, error) {
	if b.opts.force || b.opts.stdin {
		return nil, nil
	}
	if b.opts.parent != "" {
		sn, folder, err := r.FindSnapshot(ctx, b.opts.parent, snapshot.Filter{Hosts: []string{b.sn.Hostname}})
		if err != nil {
			return nil, fmt.Errorf("parent snapshot: %w", err)
		}
		if folder != "" {
			return nil, cli.Usage("--parent takes a snapshot, not a folder in one")
		}
		b.app.Printf("using parent snapshot %s\n", sn.ID.Short())
		return sn, nil
	}
	list, err := r.Snapshots(ctx, snapshot.Filter{})
	if err != nil && list == nil {
		return nil, err
	}
	if err != nil {
		// One damaged snapshot must not keep the others from being made.
		b.app.Warnf("ignoring unreadable snapshots: %v\n", err)
	}
	like := b.sn
	if !b.opts.stdinCommand {
		like.Paths = b.src.Paths()
	}
	parent := snapshot.FindParent(list, &like, b.by)
	if parent == nil {
		b.app.Printf("no parent snapshot found, will read all files\n")
	} else {
		b.app.Printf("using parent snapshot %s\n", parent.ID.Short())
	}
	return parent, nil
}

// sourceOptions translates the flags that say what is left out.
func (o *backupOptions) sourceOptions(app *cli.App) (*source.Options, error) {
	lists, err := o.patterns.excludeLists(app)
	if err != nil {
		return nil, err
	}
	s := &source.Options{
		Excludes: lists, OneFileSystem: o.oneFileSystem, WithAtime: o.withAtime,
		DeviceIDForHardlinks: app.Feature(cli.DeviceIDForHardlinks),
	}
	if o.excludeLarger != "" {
		if s.ExcludeLargerThan, err = ui.ParseBytes(o.excludeLarger); err != nil {
			return nil, cli.Usage("--exclude-larger-than: %v", err)
		}
	}
	for _, spec := range o.excludeIfPresent {
		name, header, _ := strings.Cut(spec, ":")
		if name == "" || strings.ContainsAny(name, `/\`) {
			return nil, cli.Usage("--exclude-if-present: %q does not begin with the name of a file", spec)
		}
		s.ExcludeIfPresent = append(s.ExcludeIfPresent, source.Marker{Name: name, Header: header})
	}
	if o.excludeCaches {
		s.ExcludeIfPresent = append(s.ExcludeIfPresent, source.CacheMarker())
	}
	return s, nil
}

var errNoTargets = cli.Usage("nothing to backup, please specify source files/directories")

// isMissing tells a target that is not there from one that can't be read.
func isMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }
