package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/garner-backup/garner/bench/peer"
	"github.com/garner-backup/garner/bench/scenario"
)

// findPeers returns the peers that the flags name, or, if they name none,
// restic and the garner of this tree.
func (o *runOptions) findPeers(ctx context.Context, c *scenario.Config) ([]*peer.Peer, error) {
	var list []*peer.Peer
	for _, text := range o.peers {
		p, err := peer.Parse(text)
		if err != nil {
			return nil, err
		}
		for _, q := range list {
			if q.Name == p.Name {
				return nil, fmt.Errorf("two peers are called %s; name them apart, as in %s:old=PATH", p.Name, p.Kind)
			}
		}
		list = append(list, p)
	}
	if len(list) > 0 {
		return list, nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	c.Log("unpacking restic from Debian, unless it is there\n")
	bin, err := output(ctx, root, "bash", filepath.Join(".ci", "peers"), filepath.Join(o.dir, "peers"))
	if err != nil {
		return nil, fmt.Errorf("%w\nname programs with --peer, as in --peer restic=restic", err)
	}
	c.Log("building garner\n")
	garner := filepath.Join(c.RunDir, "garner")
	if _, err := output(ctx, root, "go", "build", "-o", garner, "./cmd/garner"); err != nil {
		return nil, err
	}
	restic, err := peer.New("restic", "restic", filepath.Join(bin, "restic"))
	if err != nil {
		return nil, err
	}
	own, err := peer.New("garner", "garner", garner)
	if err != nil {
		return nil, err
	}
	return []*peer.Peer{restic, own}, nil
}

// moduleRoot returns the folder of garner's source: that of the module that
// the current folder belongs to.
func moduleRoot(ctx context.Context) (string, error) {
	file, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	root := filepath.Dir(file)
	if _, err := os.Stat(filepath.Join(root, "cmd", "garner")); err != nil {
		return "", errors.New("run bench in the source of garner, or name the programs with --peer")
	}
	return root, nil
}

// output runs a program in a folder and returns what it prints, trimmed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
