package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/cmd/garner/internal/ui"
)

const plainExitStatus = `

EXIT STATUS
===========

Exit status is 0 if the command was successful.
Exit status is 1 if there was any error.`

func newOptionsCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "options",
		Short:   "Print list of extended options",
		Long:    "The \"options\" command prints the extended options, which are given with -o." + plainExitStatus,
		Example: "  garner options\n  garner -o local.connections=4 check --read-data",
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(app.Stdout, "All Extended Options:")
			for _, o := range cli.ExtendedOptions() {
				fmt.Fprintf(app.Stdout, "  %-17s  %s\n", o.Name, o.Description)
			}
			_, err := fmt.Fprintf(app.Stdout, "Options for other storages (%s) are accepted and have no effect:\nthis program stores in local directories only.\n",
				strings.Join(cli.OtherStorages(), ", "))
			return err
		},
	}
}

func newFeaturesCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "features",
		Short: "Print list of feature flags",
		Long: `The "features" command prints the feature flags. They are set with the
environment variable RESTIC_FEATURES, like "featureA=true,featureB=false";
a flag that is not in the list is an error.

An alpha feature is off by default and a beta feature on; both may change or go
away. A stable feature is always on; its flag will go away.` + plainExitStatus,
		Example: "  garner features\n  RESTIC_FEATURES=device-id-for-hardlinks garner backup /home",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage("the features command expects no arguments")
			}
			fmt.Fprintln(app.Stdout, "All Feature Flags:")
			t := ui.NewTable("Name", "Type", "Default", "Description")
			for _, f := range cli.FeatureFlags() {
				t.Row(f.Name, f.State, fmt.Sprint(f.Default), f.Description)
			}
			return t.Write(app.Stdout)
		},
	}
}
