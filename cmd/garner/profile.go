//go:build profile

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"
)

// profile writes profiles of the process into the folder that
// $GARNER_PROFILE names: cpu.pprof, and heap.pprof as it was when most memory
// was in use. The function it returns finishes them.
func profile() (stop func(), err error) {
	dir := os.Getenv("GARNER_PROFILE")
	if dir == "" {
		return func() {}, nil
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	runtime.MemProfileRate = 64 << 10
	done := make(chan struct{})
	go watchHeap(filepath.Join(dir, "heap.pprof"), done)
	return func() {
		close(done)
		pprof.StopCPUProfile()
		cpu.Close()
	}, nil
}

// watchHeap writes a heap profile whenever more memory is live than before.
func watchHeap(name string, done <-chan struct{}) {
	var most uint64
	for {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc <= most+most/20 {
			continue
		}
		most = m.HeapAlloc
		if f, err := os.Create(name); err == nil {
			_ = pprof.WriteHeapProfile(f)
			f.Close()
		}
	}
}
