//go:build !linux

package durable

// publish renames from to to unless to exists.
func publish(from, to string) error { return publishByLink(from, to) }
