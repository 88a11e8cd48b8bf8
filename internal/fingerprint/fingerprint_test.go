package fingerprint_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tokencache/tokencache/internal/fingerprint"
)

// pairs are inputs, each with its name.
type pairs [][2]string

func TestSaltsAreRandom(t *testing.T) {
	a, errA := fingerprint.NewSalt()
	b, errB := fingerprint.NewSalt()
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a == b || a == (fingerprint.Salt{}) || b == (fingerprint.Salt{}) {
		t.Errorf("salts %x and %x, want two that are random", a, b)
	}
}

func TestHashIsKeyed(t *testing.T) {
	a, b := fingerprint.Salt{1}, fingerprint.Salt{2}
	hash := a.Hash("secret")
	if a.Hash("secret") != hash {
		t.Error("one secret has two hashes")
	}
	if a.Hash("secret2") == hash || a.Hash("") == hash {
		t.Error("two secrets have one hash")
	}
	if b.Hash("secret") == hash {
		t.Error("the hash does not depend on the salt")
	}
	plain := sha256.Sum256([]byte("secret"))
	if hash == binary.LittleEndian.Uint64(plain[:]) {
		t.Error("the hash can be computed without the salt")
	}
	if want := (fingerprint.Salt{1}); a != want {
		t.Errorf("the salt has become %x", a)
	}
}

func TestKeysAreDifferentWhereInputsAre(t *testing.T) {
	a, b := fingerprint.Salt{1}, fingerprint.Salt{2}
	seen := map[[16]byte]string{}
	for _, row := range []struct {
		what string
		salt *fingerprint.Salt
		name string
		in   pairs
	}{
		{"a name", &a, "password", nil},
		{"another name", &a, "refresh", nil},
		{"another salt", &b, "password", nil},
		{"inputs", &a, "password", pairs{{"user", "alice"}, {"scope", "x"}}},
		{"inputs and another salt", &b, "password", pairs{{"user", "alice"}, {"scope", "x"}}},
		{"another value", &a, "password", pairs{{"user", "alice"}, {"scope", "y"}}},
		{"another input", &a, "password", pairs{{"user", "alice"}, {"scopes", "x"}}},
		{"another order", &a, "password", pairs{{"scope", "x"}, {"user", "alice"}}},
		{"fewer inputs", &a, "password", pairs{{"user", "alice"}}},
		{"an empty input", &a, "password", pairs{{"user", "alice"}, {"", ""}}},
		{"name and value are apart", &a, "password", pairs{{"usera", "lice"}, {"scope", "x"}}},
		{"the inputs are apart", &a, "password", pairs{{"user", "alicescope"}, {"", "x"}}},
		{"the name of the key is apart", &a, "passworduser", pairs{{"", "alice"}, {"scope", "x"}}},
		{"one for two, separated by their lengths", &a, "password", pairs{{"user", "alice\x05scope\x01x"}}},
		{"one for two, separated by a zero", &a, "password", pairs{{"user", "alice\x00scope\x00x"}}},
		{"one for two, separated by a colon", &a, "password", pairs{{"user", "alice:scope:x"}}},
		{"one for two, separated by a line", &a, "password", pairs{{"user", "alice\nscope\nx"}}},
		{"long values", &a, "password", pairs{{"user", strings.Repeat("a", 300)}}},
		{"longer values", &a, "password", pairs{{"user", strings.Repeat("a", 301)}}},
	} {
		key := keyOf(row.salt, row.name, row.in)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", row.what, other)
		}
		seen[key] = row.what
		if keyOf(row.salt, row.name, row.in) != key {
			t.Errorf("%s: one input has two keys", row.what)
		}
	}
}

// keyOf returns the key of a name and of pairs.
func keyOf(salt *fingerprint.Salt, name string, in pairs) [16]byte {
	var k fingerprint.Key
	k.Add(name)
	for _, p := range in {
		k.Add(p[0])
		k.Add(p[1])
	}
	return k.Sum(salt)
}

func TestKeyDoesNotDependOnTheOneBefore(t *testing.T) {
	salt, in := fingerprint.Salt{1}, pairs{{"user", "alice"}}
	want := keyOf(&salt, "password", in)
	var k fingerprint.Key
	k.Add(strings.Repeat("x", 1000))
	k.Sum(&salt)
	k.Clear()
	for _, text := range []string{"password", "user", "alice"} {
		k.Add(text)
	}
	if got := k.Sum(&salt); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestConcurrentHashesAgree(t *testing.T) {
	salt, err := fingerprint.NewSalt()
	if err != nil {
		t.Fatal(err)
	}
	in := func(user int) pairs { return pairs{{"user", fmt.Sprint(user)}} }
	var keys [8][16]byte
	var hashes [8]uint64
	for user := range keys {
		keys[user], hashes[user] = keyOf(&salt, "password", in(user)), salt.Hash(fmt.Sprint(user))
	}
	var all sync.WaitGroup
	for user := range keys {
		all.Go(func() {
			for range 50 {
				if keyOf(&salt, "password", in(user)) != keys[user] || salt.Hash(fmt.Sprint(user)) != hashes[user] {
					t.Errorf("user %d has two keys", user)
					return
				}
			}
		})
	}
	all.Wait()
}
