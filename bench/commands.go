package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/bench/corpus"
	"github.com/garner-backup/garner/bench/report"
)

func newCompareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Compare two reports, line by line",
		Long: `compare shows for each operation how the wall time changed from one report to
the next, and whether the runs tell that from chance. The machine and the
corpora should be the same; where they are not, it says so.`,
		Example: `  go run ./bench compare before/report.json after/report.json`,
		Args:    cobra.ExactArgs(2), SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := report.ReadFile(args[0])
			if err != nil {
				return err
			}
			after, err := report.ReadFile(args[1])
			if err != nil {
				return err
			}
			return report.Compare(cmd.OutOrStdout(), before, after)
		},
	}
}

func newCorpusCommand() *cobra.Command {
	spec := corpus.Spec{}
	cmd := &cobra.Command{
		Use:     "corpus NAME DIR",
		Short:   "Make the files of one corpus, and nothing else",
		Example: `  go run ./bench corpus src /tmp/src --scale 0.1`,
		Args:    cobra.ExactArgs(2), SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Name = args[0]
			c, err := corpus.Make(cmd.Context(), args[1], spec)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d files, %d bytes\n", c.Dir, c.Files, c.Bytes)
			return nil
		},
	}
	cmd.Long = "corpus makes the files that programs are measured with, or finds them made:\n\n"
	for _, name := range corpus.Names() {
		cmd.Long += fmt.Sprintf("  %-5s %s\n", name, corpus.About(name))
	}
	cmd.Flags().Float64Var(&spec.Scale, "scale", 1, "make it `N` times as large")
	cmd.Flags().Uint64Var(&spec.Seed, "seed", corpus.DefaultSeed, "make that of the seed `N`")
	return cmd
}
