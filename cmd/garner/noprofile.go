//go:build !profile

package main

// profile does nothing: only programs built with -tags profile can.
func profile() (stop func(), err error) { return func() {}, nil }
