package tokencache

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// idOf is a keyed hash of everything that a grant's token depends on: short enough to be cheap, and long enough that no
// two inputs meet.
func (c *core) idOf(g Grant) [16]byte {
	k := keyBuffers.Get().(*keyBuffer)
	defer k.release()
	k.bytes = append(k.bytes, c.salt[:]...)
	k.write(g.Name())
	g.Inputs(k.add)
	sum := sha256.Sum256(k.bytes)
	return [16]byte(sum[:])
}

// A keyBuffer collects what is hashed. They are used again because services with many users make a key per request.
type keyBuffer struct {
	bytes []byte
	add   func(name, value string)
}

var keyBuffers = sync.Pool{New: func() any {
	k := &keyBuffer{}
	k.add = func(name, value string) { k.write(name); k.write(value) }
	return k
}}

func (k *keyBuffer) write(s string) {
	k.bytes = binary.AppendUvarint(k.bytes, uint64(len(s)))
	k.bytes = append(k.bytes, s...)
}

// release leaves no password behind.
func (k *keyBuffer) release() {
	clear(k.bytes)
	k.bytes = k.bytes[:0]
	keyBuffers.Put(k)
}
