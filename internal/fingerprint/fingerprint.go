// Package fingerprint makes keyed hashes of what has to be recognized but must not be kept.
package fingerprint

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
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

// Inputs are what a key is made of.
type Inputs interface {
	// Inputs calls add for each named value.
	Inputs(add func(name, value string))
}

// Key is a hash of a name and of inputs in the order in which they are added: short enough to be
// cheap, and long enough that no two meet.
func (s *Salt) Key(name string, in Inputs) [16]byte {
	b := buffers.Get().(*buffer)
	defer b.release()
	b.bytes = append(b.bytes, s[:]...)
	b.write(name)
	in.Inputs(b.add)
	sum := sha256.Sum256(b.bytes)
	return [16]byte(sum[:])
}

// A buffer collects what is hashed. Buffers are reused because services with many users make a key
// per request.
type buffer struct {
	bytes []byte
	add   func(name, value string)
}

var buffers = sync.Pool{New: func() any {
	b := &buffer{}
	b.add = func(name, value string) { b.write(name); b.write(value) }
	return b
}}

// write prefixes each string with its length, so that ("ab", "c") is not ("a", "bc").
func (b *buffer) write(s string) {
	b.bytes = binary.AppendUvarint(b.bytes, uint64(len(s)))
	b.bytes = append(b.bytes, s...)
}

// release clears the buffer, which can hold a password, before it is reused.
func (b *buffer) release() {
	clear(b.bytes)
	b.bytes = b.bytes[:0]
	buffers.Put(b)
}
