package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// keyOptions are what a new key is made with.
type keyOptions struct {
	newPasswordFile string
	noPassword      bool
	user, host      string
}

func newKeyCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage keys (passwords)",
		Long:  "The \"key\" command allows you to set multiple access keys or passwords\nper repository.",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage("unknown command %q for \"garner key\"; it has list, add, remove and passwd", args[0])
			}
			return cli.Usage("the command needs a subcommand: list, add, remove or passwd")
		},
	}
	cmd.AddCommand(newKeyListCommand(app), newKeyAddCommand(app), newKeyRemoveCommand(app), newKeyPasswdCommand(app))
	return cmd
}

func newKeyListCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List keys (passwords)",
		Long:    "The \"list\" sub-command lists all the keys (passwords) associated with the repository.\nThe key that was used is marked with an asterisk." + exitStatus,
		Example: "  garner key list\n  garner key list --json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runKeyList(cmd.Context(), app) },
	}
}

type keyInfo struct {
	Current  bool   `json:"current"`
	ID       string `json:"id"`
	UserName string `json:"userName"`
	HostName string `json:"hostName"`
	Created  string `json:"created"`
}

const timeFormat = "2006-01-02 15:04:05"

func runKeyList(ctx context.Context, app *cli.App) error {
	return app.Open(ctx, cli.Read, func(ctx context.Context, r *repo.Repo) error {
		keys := []keyInfo{}
		for k, err := range r.Keys(ctx) {
			if err != nil {
				if k.ID.IsZero() {
					return err
				}
				app.Warnf("key %s: %v\n", k.ID.Short(), err)
				continue
			}
			keys = append(keys, keyInfo{k.ID == r.KeyID(), k.ID.String(), k.Username, k.Hostname, k.Created.Local().Format(timeFormat)})
		}
		if app.JSON {
			return app.PrintJSON(keys)
		}
		t := ui.NewTable(" ID", "User", "Host", "Created")
		for _, k := range keys {
			mark := " "
			if k.Current {
				mark = "*"
			}
			t.Row(mark+k.ID[:8], k.UserName, k.HostName, k.Created)
		}
		return t.Write(app.Stdout)
	})
}

func (o *keyOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.newPasswordFile, "new-password-file", "", "`file` from which to read the new password")
	cmd.Flags().BoolVar(&o.noPassword, "new-insecure-no-password", false, "add an empty password for the repository (insecure)")
	cmd.Flags().StringVar(&o.user, "user", "", "the username for new key")
	cmd.Flags().StringVar(&o.host, "host", "", "the hostname for new key")
}

func (o *keyOptions) password(ctx context.Context, app *cli.App) (string, error) {
	if o.noPassword && o.newPasswordFile != "" {
		return "", cli.Usage("only either --new-password-file or --new-insecure-no-password may be specified")
	}
	return app.NewPassword(ctx, cli.Source{File: o.newPasswordFile, NoPassword: o.noPassword}, "enter new password: ")
}

func newKeyAddCommand(app *cli.App) *cobra.Command {
	var opts keyOptions
	cmd := &cobra.Command{
		Use:     "add",
		Short:   "Add a new key (password) to the repository; returns the new key ID",
		Long:    "The \"add\" sub-command creates a new key and validates the key. Returns the new key ID." + exitStatus,
		Example: "  garner key add\n  garner key add --new-password-file /mnt/keys/second.txt --user admin",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.Open(cmd.Context(), cli.Append, func(ctx context.Context, r *repo.Repo) error {
				return addKey(ctx, app, opts, r.AddKey)
			})
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func addKey(ctx context.Context, app *cli.App, opts keyOptions, add func(ctx context.Context, password, user, host string) (crypto.ID, error)) error {
	password, err := opts.password(ctx, app)
	if err != nil {
		return err
	}
	id, err := add(ctx, password, opts.user, opts.host)
	if err != nil {
		return err
	}
	app.Printf("saved new key with ID %s\n", id)
	return nil
}

func newKeyPasswdCommand(app *cli.App) *cobra.Command {
	var opts keyOptions
	cmd := &cobra.Command{
		Use:   "passwd",
		Short: "Change key (password); creates a new key ID and removes the old key ID, returns new key ID",
		Long: "The \"passwd\" sub-command creates a new key, validates the key and removes the old key ID.\n" +
			"Returns the new key ID." + exitStatus,
		Example: "  garner key passwd\n  garner key passwd --new-password-file /mnt/keys/new.txt",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.Open(cmd.Context(), cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
				return addKey(ctx, app, opts, r.ChangePassword)
			})
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func newKeyRemoveCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "remove [ID]",
		Short:   "Remove key ID (password) from the repository.",
		Long:    "The \"remove\" sub-command removes the selected key ID. The \"remove\" command does not allow\nremoving the current key being used to access the repository." + exitStatus,
		Example: "  garner key remove 821c1f83",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usage("key remove expects one argument as the key id")
			}
			return app.Open(cmd.Context(), cli.Exclusive, func(ctx context.Context, r *repo.Repo) error {
				id, err := r.FindID(ctx, backend.KeyFile, args[0])
				if err != nil {
					return err
				}
				if err := r.RemoveKey(ctx, id); err != nil {
					return fmt.Errorf("key %s: %w", id.Short(), err)
				}
				app.Printf("removed key %s\n", id)
				return nil
			})
		},
	}
}
