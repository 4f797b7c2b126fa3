package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
)

// newApp returns the program as the system started it.
func newApp() *cli.App {
	return &cli.App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinFD: int(os.Stdin.Fd()), StdoutFD: int(os.Stdout.Fd()),
		Getenv:       os.Getenv,
		CalledRestic: strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "restic",
	}
}

// run executes one command line and returns the exit code.
//
// The first SIGINT or SIGTERM cancels the context: the command stops at the
// next opportunity and removes its locks. The second ends the process.
// SIGHUP is ignored, as restic's unlock sends it to find out whether the
// holder of a lock is alive.
func run(ctx context.Context, app *cli.App, args []string) int {
	ignoreHangup()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var interrupted atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		if _, ok := <-signals; ok {
			interrupted.Store(true)
			signal.Stop(signals)
			app.Warnf("signal received, cleaning up\n")
			cancel()
		}
	}()
	root := newRootCommand(app)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code := cli.ExitCode(err, interrupted.Load())
	if err != nil {
		app.Report(err, code)
	}
	return code
}

const rootHelp = `garner is a backup program. It stores files in repositories in the restic
format: encrypted, deduplicated and compressed. Both programs can use one
repository side by side.

The full documentation is in the folder docs of the source.`

const rootExample = `  export RESTIC_PASSWORD_FILE=/mnt/keys/backup.txt
  garner backup --init -r /mnt/storage/backup /home
  garner snapshots -r /mnt/storage/backup
  garner restore -r /mnt/storage/backup latest --target /tmp/restored`

func newRootCommand(app *cli.App) *cobra.Command {
	root := &cobra.Command{
		Use:           "garner",
		Short:         "Backup and restore files",
		Long:          rootHelp,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return app.Finish(cmd.Flags())
		},
	}
	root.SetIn(app.Stdin)
	// What cobra prints by itself, like that a flag is deprecated, must not
	// get between the lines that programs read.
	root.SetOut(app.Stderr)
	root.SetErr(app.Stderr)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		cmd.SetOut(app.Stdout)
		help(cmd, args)
	})
	root.CompletionOptions.DisableDefaultCmd = true // generate makes completions
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.Usage("%v\nrun `%s --help` to see the flags", err, cmd.CommandPath())
	})
	app.AddFlags(root.PersistentFlags())
	root.PersistentFlags().Lookup("verbose").NoOptDefVal = "+1"
	root.AddGroup(&cobra.Group{ID: "default", Title: "Available Commands:"})
	for _, c := range []*cobra.Command{
		newBackupCommand(app),
		newCacheCommand(app),
		newCatCommand(app),
		newCheckCommand(app),
		newCopyCommand(app),
		newDiffCommand(app),
		newDumpCommand(app),
		newFeaturesCommand(app),
		newFindCommand(app),
		newForgetCommand(app),
		newGenerateCommand(app),
		newInitCommand(app),
		newKeyCommand(app),
		newListCommand(app),
		newLsCommand(app),
		newMigrateCommand(app),
		newMountCommand(app),
		newOptionsCommand(app),
		newPruneCommand(app),
		newRebuildIndexCommand(app),
		newRecoverCommand(app),
		newRepairCommand(app),
		newRestoreCommand(app),
		newRewriteCommand(app),
		newSnapshotsCommand(app),
		newStatsCommand(app),
		newTagCommand(app),
		newUnlockCommand(app),
		newVersionCommand(app),
	} {
		c.GroupID = "default"
		root.AddCommand(c)
	}
	return root
}

// exitStatus is the section that ends the help of each command that opens a
// repository.
const exitStatus = `

EXIT STATUS
===========

Exit status is 0 if the command was successful.
Exit status is 1 if there was any error.
Exit status is 10 if the repository does not exist.
Exit status is 11 if the repository is already locked.
Exit status is 12 if the password is incorrect.
Exit status is 130 if the command was interrupted.`

// gcPercent is by how many percent the heap grows between two collections:
// most of it is buffers that are used again, so collecting costs little.
const gcPercent = 20

// tune sets the collector unless the user did.
func tune(app *cli.App) {
	if app.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
