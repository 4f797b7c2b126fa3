// Package keyring keeps keys that passwords gave in the keyring of the Linux
// kernel for a while: in memory that is never written to a disk, within reach
// of the processes of the same user. [New] returns a repo.KeyCache.
package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// Cache is a repo.KeyCache in the user's keyring.
type Cache struct {
	lifetime time.Duration
	warn     func(error)
}

// New returns a cache in which a key lives for so long after it was derived.
// warn is told if the keyring can't be used; nothing is cached then.
func New(lifetime time.Duration, warn func(error)) *Cache { return &Cache{lifetime, warn} }

// description names an entry. It says nothing that the repository does not
// show to everybody.
func description(keyFile crypto.ID) string { return "garner:key:" + keyFile.String() }

// An entry is a MAC of the password under the key, then the key as JSON. The
// MAC tells whether the password is the right one. It is of no use to who does
// not have the key.
func seal(password string, user *crypto.Key) ([]byte, error) {
	key, err := json.Marshal(user)
	if err != nil {
		return nil, err
	}
	return append(passwordMAC(key, password), key...), nil
}

func open(entry []byte, password string) (*crypto.Key, bool) {
	if len(entry) < sha256.Size {
		return nil, false
	}
	mac, key := entry[:sha256.Size], entry[sha256.Size:]
	if !hmac.Equal(mac, passwordMAC(key, password)) {
		return nil, false
	}
	user := new(crypto.Key)
	return user, json.Unmarshal(key, user) == nil
}

func passwordMAC(key []byte, password string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(password))
	return h.Sum(nil)
}

// Load returns the key that the password gave for a key file, if it is there
// and the password is the same.
func (c *Cache) Load(keyFile crypto.ID, password string) (*crypto.Key, bool) {
	entry, err := read(description(keyFile))
	if err != nil {
		c.warn(fmt.Errorf("the kernel's keyring can't be read: %w", err))
		return nil, false
	}
	return open(entry, password)
}

// Store keeps a key.
func (c *Cache) Store(keyFile crypto.ID, password string, user *crypto.Key) {
	entry, err := seal(password, user)
	if err == nil {
		err = write(description(keyFile), entry, c.lifetime)
	}
	if err != nil {
		c.warn(fmt.Errorf("the kernel's keyring can't keep the key: %w", err))
	}
}
