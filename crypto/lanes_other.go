//go:build !amd64

package crypto

// haveLanes reports whether the processor can hash in lanes.
func haveLanes() bool { return false }

// sumLanes is there for the compiler: no Hasher comes here.
func sumLanes(ids []ID, msgs [][]byte) { Hasher{}.Sum(ids, msgs) }
