// Package fingerprint makes keyed hashes of what has to be recognized but must not be kept.
package fingerprint

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// A Salt keys the hashes of one process. It is made by NewSalt and is safe for concurrent use.
type Salt [16]byte

// NewSalt returns a random Salt.
func NewSalt() (Salt, error) {
	var s Salt
	_, err := rand.Read(s[:])
	return s, err
}

// Hash is a hash of a secret that is short enough for a set of many.
func (s *Salt) Hash(secret string) uint64 {
	sum := sha256.Sum256(append(s[:], secret...))
	return binary.LittleEndian.Uint64(sum[:])
}

// A Key collects the strings that a key is made of. It begins with Reset and is not safe for
// concurrent use.
type Key struct{ bytes []byte }

// Reset begins a key. It clears the memory, which can hold a password of the key before.
func (k *Key) Reset(salt *Salt) {
	clear(k.bytes)
	k.bytes = append(k.bytes[:0], salt[:]...)
}

// Add adds a string. Keys are the same only if the same strings were added in the same order.
func (k *Key) Add(s string) {
	k.bytes = binary.AppendUvarint(k.bytes, uint64(len(s)))
	k.bytes = append(k.bytes, s...)
}

// Sum returns a hash of what was added: short enough to be cheap, and long enough that no two keys
// meet.
func (k *Key) Sum() [16]byte {
	sum := sha256.Sum256(k.bytes)
	return [16]byte(sum[:])
}
