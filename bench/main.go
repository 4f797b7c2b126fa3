// Command bench measures garner beside other backup programs, and garner
// beside an older garner: times, memory and sizes, of all that one does with a
// repository, on files that a seed makes. What they restore is compared with
// the source. See docs/benchmarks.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/bench/measure"
)

func main() {
	if measure.Child(os.Args[1:]) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted")
		}
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// execute runs one command line.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := newRunCommand(stderr)
	root.AddCommand(newCompareCommand(), newCorpusCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
