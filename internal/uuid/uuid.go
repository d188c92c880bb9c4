// Package uuid makes and recognises the identifiers of tokens, policies and
// nodes: UUIDs in their textual form (RFC 9562).
package uuid

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// New returns a random UUID of version 4, lower case.
func New() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6] = b[6]&0x0f | 0x40
	return text(b)
}

// Of returns the UUID of version 8 that stands for data: always the same for
// the same, and another for anything else.
func Of(data []byte) string {
	sum := sha256.Sum256(data)
	b := [16]byte(sum[:16])
	b[6] = b[6]&0x0f | 0x80
	return text(b)
}

// text returns b, whose version is set.
func text(b [16]byte) string {
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[:], b[:4])
	hex.Encode(out[9:], b[4:6])
	hex.Encode(out[14:], b[6:8])
	hex.Encode(out[19:], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// Valid reports whether id has the form of a UUID, of any version and in any
// case.
func Valid(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}
