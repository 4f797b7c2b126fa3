package keyring

import (
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// newCache returns a cache, or skips the test where there is no keyring, as
// in some containers.
func newCache(t *testing.T, lifetime time.Duration) *Cache {
	t.Helper()
	if !Supported {
		t.Skip("no keyring on this system")
	}
	probe := description(crypto.RandomID())
	if err := write(probe, []byte("x"), time.Second); err != nil {
		t.Skipf("the keyring can't be used here: %v", err)
	}
	return New(lifetime, func(err error) { t.Error(err) })
}

func TestKeyIsThereForItsPasswordOnly(t *testing.T) {
	c := newCache(t, time.Minute)
	id, key := crypto.RandomID(), crypto.NewKey()
	if _, ok := c.Load(id, "secret"); ok {
		t.Fatal("found what nobody stored")
	}
	c.Store(id, "secret", key)
	got, ok := c.Load(id, "secret")
	if !ok {
		t.Fatal("not found")
	}
	if plain, err := got.Open(nil, key.Seal(nil, []byte("x"))); err != nil || string(plain) != "x" {
		t.Errorf("another key: %v", err)
	}
	if _, ok := c.Load(id, "Secret"); ok {
		t.Error("found with another password")
	}
	if _, ok := c.Load(crypto.RandomID(), "secret"); ok {
		t.Error("found for another key file")
	}
	newer := crypto.NewKey()
	c.Store(id, "changed", newer)
	if _, ok := c.Load(id, "secret"); ok {
		t.Error("found with the password of before")
	}
	if _, ok := c.Load(id, "changed"); !ok {
		t.Error("not found with the new password")
	}
}

func TestKeyExpires(t *testing.T) {
	c := newCache(t, time.Second)
	id := crypto.RandomID()
	c.Store(id, "secret", crypto.NewKey())
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, ok := c.Load(id, "secret"); !ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the key is still there")
		}
	}
}

func TestDamagedEntriesAreNoKeys(t *testing.T) {
	entry, err := seal("secret", crypto.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := open(entry, "secret"); !ok {
		t.Fatal("a good entry is refused")
	}
	for n := range len(entry) {
		if _, ok := open(entry[:n], "secret"); ok {
			t.Errorf("opened %d of %d bytes", n, len(entry))
		}
	}
}
