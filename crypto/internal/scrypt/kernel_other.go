//go:build !amd64

package scrypt

// kernels returns nothing: there is no assembly for this processor.
func kernels() []kernel { return nil }
