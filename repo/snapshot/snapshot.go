// Package snapshot is the record of one backup and arithmetic on lists of
// them: which match a [Filter], how they fall into groups, which is the latest,
// and which one is the parent of the next backup.
//
// The package does no I/O: a repository loads and stores snapshots. Start with
// [Snapshot] and [Decode].
package snapshot

import (
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

// TagList is a set of tags of which a snapshot must have all. The empty list
// asks for snapshots without tags.
type TagList []string

// Filter selects snapshots. A snapshot must pass all three parts; a part that
// is empty lets everything pass.
type Filter struct {
	Hosts []string  // any of them
	Tags  []TagList // all tags of any of them
	Paths []string  // all of them; the snapshot may have more
}
