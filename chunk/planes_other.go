//go:build !amd64

package chunk

// kernels returns none: there is assembly for amd64 only.
func kernels() []kernel { return nil }
