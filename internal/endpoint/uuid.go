package endpoint

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
)

// newUUID returns a random UUID (RFC 9562 version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
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

// lookupID returns id in the form that it is stored in. It returns
// errs.Invalid with the text that clients know for what is no UUID; kind is
// "token", "policy" and so on.
func lookupID(kind, id string) (string, error) {
	if !acl.ValidUUID(id) {
		return "", errs.Errorf(errs.Invalid, "failed acl %s lookup: index error: UUID must be 36 characters", kind)
	}
	return strings.ToLower(id), nil
}
