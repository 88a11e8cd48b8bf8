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

// A Key collects the strings that a key is made of. The zero Key is empty and ready to use. It is not
// safe for concurrent use.
type Key struct{ bytes []byte }

// Add adds a string. Keys are the same only if the same strings were added in the same order.
func (k *Key) Add(s string) {
	k.bytes = binary.AppendUvarint(k.bytes, uint64(len(s)))
	k.bytes = append(k.bytes, s...)
}

// Sum returns a hash of what was added: short enough to be cheap, and long enough that no two keys
// meet.
func (k *Key) Sum(salt *Salt) [16]byte {
	k.bytes = append(k.bytes, salt[:]...)
	sum := sha256.Sum256(k.bytes)
	return [16]byte(sum[:])
}

// Clear empties the key, and clears its memory, which can hold a password.
func (k *Key) Clear() {
	clear(k.bytes[:cap(k.bytes)])
	k.bytes = k.bytes[:0]
}
