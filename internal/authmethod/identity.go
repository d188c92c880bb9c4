package authmethod

import (
	"context"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// Identity is what a method proved about whoever logs in.
type Identity struct {
	// Attributes is what selectors see. A value is a string, a
	// map[string]string, a []string, or a map[string][]string.
	Attributes map[string]any
	// Variables is what ${…} sees, by flattened name such as "entity_tags.team".
	Variables map[string]string
	Principal string // who it is, for logs and audit: the ARN for aws-iam
	UniqueID  string // an id that is never used again, even under the same name
	Account   string
	// Proof names the evidence, a signature: a replay of it has the same Proof,
	// however it is wrapped. It is worthless after ProofEnds.
	Proof     string
	ProofEnds time.Time
}

// Type is a kind of auth method, such as aws-iam.
type Type interface {
	// Name is what Method.Type says.
	Name() string
	// Open checks a method's Config. Its errors are errs.Invalid and carry no prefix.
	Open(config map[string]any) (Verifier, error)
}

// Verifier checks credentials for one method. It is safe for concurrent use.
type Verifier interface {
	// Verify proves who made bearer. It returns errs.Invalid for a bearer that cannot be
	// understood, errs.Denied for one that is refused, errs.Throttled
	// and errs.Unavailable for what a retry may cure.
	Verify(ctx context.Context, bearer logging.Secret) (Identity, error)
	// Example is an identity with every attribute and variable that rules may
	// use, holding harmless values, to check rules when they are made.
	Example() Identity
}

// Placeholder is the value of each variable of an Example. It is valid wherever a name is.
const Placeholder = "example"
