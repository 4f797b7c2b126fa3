//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

func ignoreHangup() { signal.Ignore(syscall.SIGHUP) }
