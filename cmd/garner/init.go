package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo"
)

type initOptions struct {
	version    string
	from       cli.SourceFlags
	copyParams bool
}

func newInitCommand(app *cli.App) *cobra.Command {
	var opts initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Initialize a new repository",
		Long:  "The \"init\" command initializes a new repository.\n\nEXIT STATUS\n===========\n\nExit status is 0 if the command was successful.\nExit status is 1 if there was any error.",
		Example: "  garner init -r /mnt/storage/backup\n  garner init -r /mnt/storage/backup --repository-version 1\n" +
			"  garner init -r /mnt/offsite --from-repo /mnt/storage/backup --copy-chunker-params",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runInit(cmd.Context(), app, opts)
		},
	}
	opts.from.AddFlags(cmd.Flags(), "take chunker parameters from")
	cmd.Flags().BoolVar(&opts.copyParams, "copy-chunker-params", false, "cut files as the source repository does, so that copies from there deduplicate")
	cmd.Flags().StringVar(&opts.version, "repository-version", "stable", "repository format version to use, allowed values are a format version, 'latest' and 'stable'")
	return cmd
}

func runInit(ctx context.Context, app *cli.App, opts initOptions) error {
	version, err := formatVersion(opts.version)
	if err != nil {
		return err
	}
	create := &repo.InitOptions{Version: version}
	switch {
	case opts.copyParams:
		if create.Polynomial, err = sourcePolynomial(ctx, app, opts.from); err != nil {
			return err
		}
	case opts.from.Given(app):
		return cli.Usage("a source repository must only be specified together with --copy-chunker-params")
	}
	_, err = createRepository(ctx, app, create)
	return err
}

// sourcePolynomial returns how the source repository cuts files. The config
// never changes, so it is read without a lock.
func sourcePolynomial(ctx context.Context, app *cli.App, flags cli.SourceFlags) (pol chunk.Pol, err error) {
	from, err := flags.App(app)
	if err != nil {
		return 0, err
	}
	from.NoLock = true
	err = from.Open(ctx, cli.Read, func(_ context.Context, src *repo.Repo) error {
		pol = src.Config().ChunkerPolynomial
		return nil
	})
	return pol, err
}

func formatVersion(s string) (int, error) {
	switch s {
	case "stable", "":
		return repo.StableVersion, nil
	case "latest":
		return repo.MaxVersion, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < repo.MinVersion || n > repo.MaxVersion {
		return 0, cli.Usage("invalid repository version %q: only %d to %d, 'stable' and 'latest' are allowed", s, repo.MinVersion, repo.MaxVersion)
	}
	return n, nil
}

type initMessage struct {
	MessageType string `json:"message_type"` // "initialized"
	ID          string `json:"id"`
	Repository  string `json:"repository"`
}

// createRepository makes the repository that the global flags name, and says
// so.
func createRepository(ctx context.Context, app *cli.App, opts *repo.InitOptions) (*repo.Repo, error) {
	location, err := app.Location()
	if err != nil {
		return nil, err
	}
	be, err := app.Backend(location)
	if err != nil {
		return nil, err
	}
	defer be.Close()
	password, err := app.RepositoryPassword(ctx)
	if err != nil {
		return nil, err
	}
	opts.Options = app.RepoOptions()
	r, err := repo.Init(ctx, be, password, opts)
	shown := cli.Redact(location)
	if errors.Is(err, repo.ErrRepositoryExists) {
		return nil, fmt.Errorf("create repository at %s failed: config file already exists: %w", shown, err)
	}
	if err != nil {
		return nil, fmt.Errorf("create repository at %s failed: %w", shown, err)
	}
	id := r.Config().ID
	if app.JSON {
		return r, app.PrintJSON(initMessage{"initialized", id.String(), shown})
	}
	app.Verbosef("format version %d, chunker polynomial %v\n", r.Config().Version, r.Config().ChunkerPolynomial)
	app.Printf("created restic repository %s at %s\n", id.String()[:10], shown)
	if opts.Polynomial != 0 {
		app.Printf("with the chunker parameters of the source repository\n")
	}
	app.Printf("\n")
	app.Printf("Keep the password: without it, nobody can read what is stored here.\n")
	return r, nil
}
