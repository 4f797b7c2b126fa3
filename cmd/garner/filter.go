package main

import (
	"github.com/spf13/pflag"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo/snapshot"
)

// filterOptions are the flags that select snapshots.
type filterOptions struct {
	hosts []string
	tags  []string
	paths []string
}

// addFlags defines the flags; which says what they apply to.
func (o *filterOptions) addFlags(app *cli.App, f *pflag.FlagSet, which string) {
	o.addFlagsShort(app, f, which, "H")
}

// addFlagsShort is addFlags with a short form of --host, or none if that is
// empty.
func (o *filterOptions) addFlagsShort(app *cli.App, f *pflag.FlagSet, which, short string) {
	f.StringArrayVarP(&o.hosts, "host", short, nil, which+" for this `host` (can be specified multiple times, use empty string to unset default value) (default: $RESTIC_HOST)")
	f.StringArrayVar(&o.tags, "tag", nil, which+" including `tag[,tag,...]` (can be specified multiple times)")
	f.StringArrayVar(&o.paths, "path", nil, which+" including this (absolute) `path` (can be specified multiple times, snapshots must include all specified paths)")
	if host := app.Getenv("RESTIC_HOST"); host != "" {
		o.hosts = []string{host}
	}
}

// singleSnapshot is what the filter applies to in commands that take one
// snapshot.
const singleSnapshot = "only consider snapshots for the \"latest\" snapshot ID"

// filter returns the snapshot.Filter that the flags describe.
func (o *filterOptions) filter() snapshot.Filter {
	f := snapshot.Filter{Paths: o.paths}
	for _, h := range o.hosts {
		if h != "" {
			f.Hosts = append(f.Hosts, h)
		}
	}
	for _, t := range o.tags {
		f.Tags = append(f.Tags, snapshot.ParseTags(t))
	}
	return f
}
