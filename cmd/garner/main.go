// Command garner backs up files into repositories in the restic format, and
// restores and checks them. Its commands, flags, environment variables,
// messages for programs and exit codes are those of restic.
package main

import (
	"context"
	"os"
)

func main() {
	app := newApp()
	tune(app)
	os.Exit(run(context.Background(), app, os.Args[1:]))
}
