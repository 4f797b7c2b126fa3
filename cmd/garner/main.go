// Command garner backs up files into repositories in the restic format, and
// restores and checks them. Its commands, flags, environment variables,
// messages for programs and exit codes are those of restic.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	app := newApp()
	tune(app)
	stop, err := profile()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := run(context.Background(), app, os.Args[1:])
	stop()
	os.Exit(code)
}
