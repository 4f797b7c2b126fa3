// Package osmeta is what differs from one operating system to the next when
// files are backed up and restored: owners, modes, times, extended attributes,
// links and devices.
//
// [Folder] is a directory that is read, [Dir] one that is written to. On
// Linux, Darwin and FreeBSD both work relative to an open descriptor.
package osmeta

import (
	"os/user"
	"strconv"
	"sync"
)

// Owners finds the names of users and groups, and remembers them. It is safe
// for concurrent use.
type Owners struct {
	mu     sync.RWMutex
	users  map[uint32]string // owned by mu; empty: no such user
	groups map[uint32]string // owned by mu
}

// NewOwners returns an empty cache.
func NewOwners() *Owners {
	return &Owners{users: make(map[uint32]string), groups: make(map[uint32]string)}
}

// User returns a user's name, or "" if there is none.
func (o *Owners) User(uid uint32) string {
	return o.name(o.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

// Group returns a group's name, or "" if there is none.
func (o *Owners) Group(gid uint32) string {
	return o.name(o.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func (o *Owners) name(known map[uint32]string, id uint32, look func(string) (string, error)) string {
	o.mu.RLock()
	name, ok := known[id]
	o.mu.RUnlock()
	if ok {
		return name
	}
	name, err := look(strconv.FormatUint(uint64(id), 10))
	if err != nil {
		name = "" // unknown here, which is no error: the number is stored as well
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known[id] = name
	return name
}
