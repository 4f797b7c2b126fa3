//go:build !amd64

package crypto

// haveLanes reports whether the processor can hash in lanes.
func haveLanes() bool { return false }

// sumLanes is there for the compiler: no Hasher and no Digest comes here.
func sumLanes(batch) {}
