// Package machine says what computer numbers were measured on, as far as the
// operating system tells.
package machine

import (
	"bufio"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Machine describes a computer.
type Machine struct {
	OS     string   `json:"os"`
	Arch   string   `json:"arch"`
	Kernel string   `json:"kernel,omitempty"`
	CPU    string   `json:"cpu,omitempty"`   // the model's name
	Flags  []string `json:"flags,omitempty"` // those of the CPU's abilities that matter here
	Cores  int      `json:"cores"`           // that this process may use
	Memory int64    `json:"memory,omitempty"`
	// FileSystem is the type of the one that holds the work folder.
	FileSystem string `json:"file_system,omitempty"`
	// Load is the load average of the last minute before the run: how many
	// other processes wanted a core.
	Load string `json:"load,omitempty"`
}

// Describe describes this machine; dir is the work folder.
func Describe(dir string) Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), FileSystem: fileSystem(dir)}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU, m.Flags = parseCPU(string(b))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory = parseMemory(string(b))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(b), " ")
	}
	return m
}

// parseCPU returns the model of the first processor of a cpuinfo file, and
// which of the abilities it has that hashing, encryption and chunking use.
func parseCPU(info string) (model string, flags []string) {
	wanted := []string{"aes", "asimd", "avx2", "avx512bw", "avx512vbmi", "bmi2", "gfni", "pmull", "sha2", "sha_ni", "vaes", "vpclmulqdq"}
	for sc := bufio.NewScanner(strings.NewReader(info)); sc.Scan(); {
		key, value, _ := strings.Cut(sc.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name":
			if model == "" {
				model = strings.TrimSpace(value)
			}
		case "flags", "Features":
			if flags == nil {
				have := strings.Fields(value)
				flags = slices.DeleteFunc(wanted, func(f string) bool { return !slices.Contains(have, f) })
			}
		}
	}
	return model, flags
}

// parseMemory returns the memory in bytes that a meminfo file tells, or 0.
func parseMemory(info string) int64 {
	for sc := bufio.NewScanner(strings.NewReader(info)); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) == 3 && f[0] == "MemTotal:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil {
				return n * 1024
			}
		}
	}
	return 0
}
