package main

import (
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/repo/backend/cachedir"
)

type cacheOptions struct {
	cleanup, noSize bool
	maxAge          uint // days
}

const day = 24 * time.Hour

func newCacheCommand(app *cli.App) *cobra.Command {
	var opts cacheOptions
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Operate on local cache directories",
		Long: `The "cache" command lists the folders in which restic keeps local copies of
remote repositories, or removes those that were not used for a while.
Local repositories need none.` + plainExitStatus,
		Example: "  garner cache\n  garner cache --cleanup --max-age 7",
		RunE: func(_ *cobra.Command, args []string) error {
			return runCache(app.Text(), opts, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.cleanup, "cleanup", false, "remove old cache directories")
	f.UintVar(&opts.maxAge, "max-age", uint(cachedir.MaxAge/day), "max age in `days` for cache directories to be considered old")
	f.BoolVar(&opts.noSize, "no-size", false, "do not output the size of the cache directories")
	return cmd
}

func runCache(app *cli.App, opts cacheOptions, args []string) error {
	if len(args) > 0 {
		return cli.Usage("the cache command expects no arguments, only options - please see `garner help cache` for usage and flags")
	}
	if app.NoCache {
		return cli.Usage("Refusing to do anything, the cache is disabled")
	}
	maxAge := time.Duration(min(opts.maxAge, uint(math.MaxInt64/day))) * day
	base, err := app.CacheBase()
	if err != nil {
		return err
	}
	if opts.cleanup || app.CleanupCache {
		removed, err := app.CleanCache(maxAge, func(name string) { app.Verbosef("removing %s\n", name) })
		if removed == 0 && err == nil {
			app.Printf("no old cache dirs found\n")
		} else if err == nil {
			app.Printf("removed %d old cache directories\n", removed)
		}
		return err
	}
	list, err := cachedir.List(base)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		app.Printf("no cache dirs found, basedir is %s\n", base)
		return nil
	}
	return printCaches(app, list, maxAge, opts.noSize, base)
}

func printCaches(app *cli.App, list []cachedir.Folder, maxAge time.Duration, noSize bool, base string) error {
	head := []string{"Repo ID", "Last Used", "Old"}
	if !noSize {
		head = append(head, "Size")
	}
	t := ui.NewTable(head...)
	now := time.Now()
	for _, f := range list {
		name := f.Name()
		if len(name) == repositoryIDLength {
			name = name[:10]
		}
		old := ""
		if f.Old(now, maxAge) {
			old = "yes"
		}
		row := []string{name, fmt.Sprintf("%d days ago", int(now.Sub(f.Used)/day)), old}
		if !noSize {
			size, err := f.Size()
			if err != nil {
				return err
			}
			row = append(row, fmt.Sprintf("%11s", ui.Bytes(uint64(size))))
		}
		t.Row(row...)
	}
	t.Footer(fmt.Sprintf("%d cache dirs in %s", len(list), base))
	return t.Write(app.Stdout)
}

// repositoryIDLength is how many digits a repository's ID has.
const repositoryIDLength = 64
