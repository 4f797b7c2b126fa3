package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo/pattern"
)

// patternOptions are the flags for exclude and include patterns.
type patternOptions struct {
	excludes, iexcludes, excludeFiles, iexcludeFiles []string
	includes, iincludes, includeFiles, iincludeFiles []string
}

func (o *patternOptions) addExcludes(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.excludes, "exclude", "e", nil, "exclude a `pattern` (can be specified multiple times)")
	f.StringArrayVar(&o.iexcludes, "iexclude", nil, "same as --exclude `pattern` but ignores the casing of filenames")
	f.StringArrayVar(&o.excludeFiles, "exclude-file", nil, "read exclude patterns from a `file` (can be specified multiple times)")
	f.StringArrayVar(&o.iexcludeFiles, "iexclude-file", nil, "same as --exclude-file but ignores casing of `file`names in patterns")
}

func (o *patternOptions) addIncludes(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.includes, "include", "i", nil, "include a `pattern` (can be specified multiple times)")
	f.StringArrayVar(&o.iincludes, "iinclude", nil, "same as --include `pattern` but ignores the casing of filenames")
	f.StringArrayVar(&o.includeFiles, "include-file", nil, "read include patterns from a `file` (can be specified multiple times)")
	f.StringArrayVar(&o.iincludeFiles, "iinclude-file", nil, "same as --include-file but ignores casing of `file`names in patterns")
}

func (o *patternOptions) excludeLists(app *cli.App) ([]*pattern.List, error) {
	return patternLists(app, "exclude", o.excludes, o.iexcludes, o.excludeFiles, o.iexcludeFiles)
}

func (o *patternOptions) includeLists(app *cli.App) ([]*pattern.List, error) {
	return patternLists(app, "include", o.includes, o.iincludes, o.includeFiles, o.iincludeFiles)
}

// patternLists makes one list of the patterns with case and one of those
// without. Patterns of files come before those of flags.
func patternLists(app *cli.App, flag string, patterns, folded, files, foldedFiles []string) ([]*pattern.List, error) {
	var lists []*pattern.List
	for _, part := range []struct {
		flag            string
		patterns, files []string
		fold            bool
	}{{"--" + flag, patterns, files, false}, {"--i" + flag, folded, foldedFiles, true}} {
		var all []string
		for _, file := range part.files {
			lines, err := patternFile(app, file)
			if err != nil {
				return nil, err
			}
			if _, err := pattern.Parse(lines, nil); err != nil {
				return nil, cli.Usage("%s-file %s: %v", part.flag, file, err)
			}
			all = append(all, lines...)
		}
		all = append(all, part.patterns...)
		list, err := pattern.Parse(all, &pattern.Options{IgnoreCase: part.fold})
		if err != nil {
			return nil, cli.Usage("%s: %v", part.flag, err)
		}
		if !list.Empty() {
			lists = append(lists, list)
		}
	}
	return lists, nil
}

func patternFile(app *cli.App, file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("file with patterns: %w", err)
	}
	lines, err := pattern.Lines(b, app.Getenv)
	if err != nil {
		return nil, fmt.Errorf("file with patterns %s: %w", file, err)
	}
	return lines, nil
}

// targets returns what is to be backed up: what the lists in files say, then
// the arguments.
func (o *backupOptions) targets(app *cli.App, args []string) ([]string, error) {
	var targets []string
	for _, file := range o.filesFrom {
		lines, err := readLines(app, file)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			expanded, err := filepath.Glob(line)
			if err != nil {
				return nil, cli.Usage("--files-from %s: pattern %q: %v", file, line, err)
			}
			if len(expanded) == 0 {
				app.Warnf("pattern %q does not match any files, skipping\n", line)
			}
			targets = append(targets, expanded...)
		}
	}
	for _, file := range o.filesVerbatim {
		lines, err := readLines(app, file)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if line != "" {
				targets = append(targets, line)
			}
		}
	}
	for _, file := range o.filesRaw {
		names, err := readNames(app, file)
		if err != nil {
			return nil, err
		}
		targets = append(targets, names...)
	}
	targets = append(targets, args...)
	if len(targets) == 0 {
		return nil, errNoTargets
	}
	return targets, nil
}

// readInput returns the content of a file; "-" is stdin.
func readInput(app *cli.App, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(app.Stdin)
	}
	return os.ReadFile(file)
}

func readLines(app *cli.App, file string) ([]string, error) {
	b, err := readInput(app, file)
	var text string
	if err == nil {
		text, err = pattern.DecodeText(b)
	}
	if err != nil {
		return nil, fmt.Errorf("list of files %s: %w", file, err)
	}
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil, nil
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines, nil
}

// readNames reads names that each end with a NUL byte.
func readNames(app *cli.App, file string) ([]string, error) {
	b, err := readInput(app, file)
	if err != nil {
		return nil, fmt.Errorf("list of files %s: %w", file, err)
	}
	if len(b) == 0 {
		return nil, nil
	}
	if b[len(b)-1] != 0 {
		return nil, cli.Usage("--files-from-raw %s: the last name does not end with a NUL byte", file)
	}
	var names []string
	for _, name := range bytes.Split(b[:len(b)-1], []byte{0}) {
		if len(name) == 0 {
			return nil, cli.Usage("--files-from-raw %s: there is an empty name", file)
		}
		names = append(names, string(name))
	}
	return names, nil
}

// commandReader yields what a command prints, and instead of the end an error
// if the command failed. The command starts with the first Read.
type commandReader struct {
	ctx    context.Context // ends the command
	args   []string
	stderr io.Writer

	cmd *exec.Cmd
	out io.ReadCloser
	err error // of the end
}

func (r *commandReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.cmd == nil {
		if r.err = r.start(); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.out.Read(p)
	if errors.Is(err, io.EOF) {
		r.err = io.EOF
		if werr := r.cmd.Wait(); werr != nil {
			r.err = fmt.Errorf("command %q failed: %w", r.args[0], werr)
		}
		err = r.err
	}
	return n, err
}

func (r *commandReader) start() error {
	r.cmd = exec.CommandContext(r.ctx, r.args[0], r.args[1:]...)
	r.cmd.Stderr = r.stderr
	var err error
	if r.out, err = r.cmd.StdoutPipe(); err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("command %q: %w", r.args[0], err)
	}
	return nil
}
