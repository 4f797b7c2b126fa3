// Package snapshot is the record of one backup and arithmetic on lists of
// them: which match a [Filter], how they fall into groups, which is the latest,
// which one is the parent of the next backup, and which a [Policy] keeps.
//
// The package does no I/O: a repository loads and stores snapshots. Start with
// [Snapshot] and [Decode].
package snapshot

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// Snapshot is the record of one backup. The order of the members and what is
// left out when empty are those of the stored JSON.
type Snapshot struct {
	Time           time.Time  `json:"time"`
	Parent         *crypto.ID `json:"parent,omitempty"` // compared with when it was made; may be gone
	Tree           *crypto.ID `json:"tree"`             // nil only in damaged repositories
	Paths          []string   `json:"paths"`            // absolute, in the order given
	Hostname       string     `json:"hostname,omitempty"`
	Username       string     `json:"username,omitempty"`
	UID            uint32     `json:"uid,omitempty"`
	GID            uint32     `json:"gid,omitempty"`
	Excludes       []string   `json:"excludes,omitempty"`
	Tags           []string   `json:"tags,omitempty"`
	Original       *crypto.ID `json:"original,omitempty"` // first version of a changed or copied snapshot
	ProgramVersion string     `json:"program_version,omitempty"`
	Summary        *Summary   `json:"summary,omitempty"` // nil in snapshots of restic before 0.17

	// ID is the name of the file that holds the snapshot. It is not part of
	// the record; who loads or saves the snapshot sets it.
	ID crypto.ID `json:"-"`
}

// Summary counts what a backup did. Sizes are in bytes.
type Summary struct {
	BackupStart time.Time `json:"backup_start"`
	BackupEnd   time.Time `json:"backup_end"`

	FilesNew        uint `json:"files_new"`
	FilesChanged    uint `json:"files_changed"`
	FilesUnmodified uint `json:"files_unmodified"`
	DirsNew         uint `json:"dirs_new"`
	DirsChanged     uint `json:"dirs_changed"`
	DirsUnmodified  uint `json:"dirs_unmodified"`

	DataBlobs       int    `json:"data_blobs"` // new ones, as the next three
	TreeBlobs       int    `json:"tree_blobs"`
	DataAdded       uint64 `json:"data_added"`        // before compression
	DataAddedPacked uint64 `json:"data_added_packed"` // as stored, with headers

	TotalFilesProcessed uint   `json:"total_files_processed"`
	TotalBytesProcessed uint64 `json:"total_bytes_processed"`
}

// Encode returns the JSON that is stored, without a line feed at the end. The
// time must be in the years 0 to 9999.
func (sn *Snapshot) Encode() ([]byte, error) {
	b, err := json.Marshal(sn)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return b, nil
}

// Decode reads the JSON of a snapshot. Members that it does not know are
// skipped; a missing tree is left to the caller to complain about.
func Decode(data []byte) (*Snapshot, error) {
	// Null would decode without an error.
	if b := bytes.TrimLeft(data, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return nil, errors.New("decode snapshot: not a JSON object")
	}
	sn := new(Snapshot)
	if err := json.Unmarshal(data, sn); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return sn, nil
}

// PersistentID returns the ID by which a snapshot is the same through copying
// and changes of its tags: that of its first version.
func (sn *Snapshot) PersistentID() crypto.ID {
	if sn.Original != nil {
		return *sn.Original
	}
	return sn.ID
}

// SortOldestFirst sorts snapshots by time, those of the same time by ID.
func SortOldestFirst(list []*Snapshot) { slices.SortStableFunc(list, compare) }

// SortNewestFirst sorts the other way round.
func SortNewestFirst(list []*Snapshot) {
	slices.SortStableFunc(list, func(a, b *Snapshot) int { return compare(b, a) })
}

func compare(a, b *Snapshot) int {
	return cmp.Or(a.Time.Compare(b.Time), a.ID.Compare(b.ID))
}
