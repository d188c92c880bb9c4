package logging

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Hidden is what stands in place of a secret wherever one would be printed.
const Hidden = "<hidden>"

// Secret is a credential: a token's secret id, a key, a bearer token. It
// cannot be printed by fmt or slog. JSON and msgpack carry it as the plain string, so
// that a token can be stored and shown to whoever may see it; redacting an
// answer is the endpoint's decision.
type Secret string

// Reveal returns the secret itself, to be sent or stored, never logged.
func (s Secret) Reveal() string { return string(s) }

// Equal compares in time that depends on the lengths alone.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(other)) == 1
}

// String hides the secret.
func (s Secret) String() string { return Hidden }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return Hidden }

// Format hides the secret from every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Hidden) }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Hidden) }
