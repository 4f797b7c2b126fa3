package measure

import (
	"os"
	"os/exec"
)

// peakRSS returns 0: Windows does not say at the end of a process.
func peakRSS(*os.ProcessState) int64 { return 0 }

func endSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// askToEnd leaves it at killing, the only thing that there is.
func askToEnd(*exec.Cmd) {}

// Sync does nothing: Windows syncs volumes only for administrators.
func Sync() {}
