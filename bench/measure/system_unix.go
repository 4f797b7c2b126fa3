//go:build unix

package measure

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// peakRSS returns the peak of the resident memory in bytes.
func peakRSS(st *os.ProcessState) int64 {
	ru, ok := st.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	rss := int64(ru.Maxrss)
	if runtime.GOOS != "darwin" {
		rss *= 1024
	}
	return rss
}

func endSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// askToEnd makes the end of the command's context a request.
func askToEnd(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
}

// Sync has the system write out what it has not yet written, so that one
// program does not pay for the writes of the one before.
func Sync() { unix.Sync() }
