package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
)

// version is the release that this source becomes or is behind.
const version = "0.1.0-dev"

// programVersion is what snapshots record.
const programVersion = "garner " + version

// resticVersion is the release of restic whose commands, flags and messages
// garner has. Wrappers look for it in the output of version.
const resticVersion = "0.19.1"

type versionMessage struct {
	MessageType string `json:"message_type"` // "version"
	Version     string `json:"version"`
	GoVersion   string `json:"go_version"`
	GoOS        string `json:"go_os"`
	GoArch      string `json:"go_arch"`
}

func newVersionCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version information",
		Long:    "The \"version\" command prints detailed information about the build environment\nand the version of this software.\n\nCalled under the name restic, garner names the release of restic whose commands\nit has: wrappers look for that.",
		Example: "  garner version\n  garner version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			name, number := programVersion+revision()+", in place of restic "+resticVersion, version
			if app.CalledRestic {
				name, number = "restic "+resticVersion, resticVersion
			}
			if app.JSON {
				return app.PrintJSON(versionMessage{"version", number, runtime.Version(), runtime.GOOS, runtime.GOARCH})
			}
			app.Printf("%s compiled with %s on %s/%s\n", name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// revision returns the commit that the program was built from, if it knows.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return " (" + s.Value[:12] + ")"
		}
	}
	return ""
}

// noArgs refuses arguments in the words that users expect.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usage("the command takes no arguments, but got %q", args)
	}
	return nil
}
