// Package errs gives errors a kind, so that each edge (HTTP, DNS, command line)
// can turn any error into its own status in one place.
package errs

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that an edge can map to a status.
type Kind uint8

// The kinds. The zero value, Internal, is what an error without a kind has.
const (
	Internal     Kind = iota // a fault of ours; its details belong in the log
	Invalid                  // the request cannot be understood or breaks a rule
	NotFound                 // the thing named does not exist
	Denied                   // the caller is known and may not
	Unauthorized             // there is nothing to decide about: no token, or ACLs are off
	Conflict                 // the state has changed since the caller looked
	Unavailable              // a retry may succeed: no leader, a peer is down, a time-out
	Throttled                // a retry may succeed later: somebody asks to slow down
)

var kindNames = [...]string{
	"internal", "invalid", "not found", "denied", "unauthorized", "conflict", "unavailable", "throttled",
}

// String returns the kind's name for logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// kinded is an error with a kind. It unwraps to its cause, if any.
type kinded struct {
	kind Kind
	err  error
}

func (e *kinded) Error() string { return e.err.Error() }
func (e *kinded) Unwrap() error { return e.err }

// New returns an error of the given kind and text. Every call returns a
// distinct error, to be compared with errors.Is.
func New(k Kind, text string) error {
	return &kinded{kind: k, err: errors.New(text)}
}

// Errorf is fmt.Errorf with a kind; %w keeps a cause for errors.Is. The kind of
// the result is k, whatever the kind of the cause.
func Errorf(k Kind, format string, args ...any) error {
	return &kinded{kind: k, err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of the outermost error in err's chain that has one,
// and Internal if none has.
func KindOf(err error) Kind {
	var e *kinded
	if errors.As(err, &e) {
		return e.kind
	}
	return Internal
}
