// Package index knows which blob is in which pack, and where.
package index
