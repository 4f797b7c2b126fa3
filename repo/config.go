package repo

import (
	"encoding/json"
	"fmt"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
)

// The format versions that garner reads and writes. Version 2 compresses.
const (
	MinVersion = 1
	MaxVersion = 2
	// StableVersion is what new repositories get.
	StableVersion = 2
)

// Config is the content of a repository's config file. It is sealed, but
// never compressed, in either version of the format.
type Config struct {
	Version           int       `json:"version"`
	ID                crypto.ID `json:"id"` // random; names the cache folder
	ChunkerPolynomial chunk.Pol `json:"chunker_polynomial"`
}

// decodeConfig parses the plaintext of a config file and refuses what this
// program can't work with.
func decodeConfig(plain []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(plain, &c); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	if c.Version < MinVersion || c.Version > MaxVersion {
		return Config{}, fmt.Errorf("config: unsupported repository version %d, versions %d to %d are known",
			c.Version, MinVersion, MaxVersion)
	}
	if !c.ChunkerPolynomial.Irreducible() {
		return Config{}, fmt.Errorf("config: chunker polynomial %v is not irreducible", c.ChunkerPolynomial)
	}
	return c, nil
}
