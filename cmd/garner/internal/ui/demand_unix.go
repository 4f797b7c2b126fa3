//go:build unix

package ui

import (
	"os"
	"os/signal"
	"syscall"
)

// onDemand returns a channel that receives when the user asks for the state:
// with SIGUSR1.
func onDemand() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c, func() { signal.Stop(c) }
}
