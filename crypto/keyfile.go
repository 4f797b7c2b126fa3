package crypto

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// KeyFile is the content of a file below keys/: the master key, sealed with a
// key that a password gives. The file is plain JSON with the members in this
// order; its name is the [ID] of its bytes.
type KeyFile struct {
	Created  time.Time `json:"created"`
	Username string    `json:"username"` // informational, like Hostname
	Hostname string    `json:"hostname"`
	KDF      string    `json:"kdf"` // always "scrypt"
	N        int       `json:"N"`
	R        int       `json:"r"`
	P        int       `json:"p"`
	Salt     []byte    `json:"salt"` // SaltSize bytes
	Data     []byte    `json:"data"` // sealed JSON of the master key
}

// ErrWrongPassword means that a key file is sound as far as can be told, but
// was made with another password.
var ErrWrongPassword = errors.New("wrong password")

const kdfName = "scrypt"

// NewKeyFile seals master with password. The caller fills in Created,
// Username and Hostname.
func NewKeyFile(password string, master *Key, params KDFParams) (*KeyFile, error) {
	salt := make([]byte, SaltSize)
	rand.Read(salt) // never fails
	user, err := deriveKey(password, salt, params)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(master)
	if err != nil {
		return nil, err
	}
	return &KeyFile{
		KDF: kdfName, N: params.N, R: params.R, P: params.P,
		Salt: salt, Data: user.Seal(nil, plain),
	}, nil
}

// ParseKeyFile decodes a key file and checks everything that can be checked
// without the password.
func ParseKeyFile(b []byte) (*KeyFile, error) {
	kf := new(KeyFile)
	if err := json.Unmarshal(b, kf); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if kf.KDF != kdfName {
		return nil, fmt.Errorf("key file: unknown key derivation function %q, only %q is known", kf.KDF, kdfName)
	}
	if err := kf.params().validate(); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if len(kf.Salt) != SaltSize {
		return nil, fmt.Errorf("key file: salt of %d bytes, want %d", len(kf.Salt), SaltSize)
	}
	if len(kf.Data) < Overhead {
		return nil, fmt.Errorf("key file: sealed master key of %d bytes is too short", len(kf.Data))
	}
	return kf, nil
}

func (kf *KeyFile) params() KDFParams { return KDFParams{N: kf.N, R: kf.R, P: kf.P} }

// Encode returns the bytes of the key file as they are stored.
func (kf *KeyFile) Encode() ([]byte, error) { return json.Marshal(kf) }

// Open returns the master key. The error is [ErrWrongPassword] when the
// password does not fit; any other error means that the file is damaged.
func (kf *KeyFile) Open(password string) (*Key, error) {
	user, err := kf.Derive(password)
	if err != nil {
		return nil, err
	}
	return kf.OpenWith(user)
}

// Derive returns the key that a password gives, which takes about half a
// second. Whether the password fits is not known before OpenWith.
func (kf *KeyFile) Derive(password string) (*Key, error) {
	user, err := deriveKey(password, kf.Salt, kf.params())
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return user, nil
}

// OpenWith is Open with the key that Derive returned.
func (kf *KeyFile) OpenWith(user *Key) (*Key, error) {
	plain, err := user.Open(nil, kf.Data)
	if errors.Is(err, ErrUnauthenticated) {
		return nil, ErrWrongPassword
	}
	if err != nil {
		return nil, err
	}
	master := new(Key)
	if err := json.Unmarshal(plain, master); err != nil {
		return nil, fmt.Errorf("key file: damaged master key: %w", err)
	}
	return master, nil
}
