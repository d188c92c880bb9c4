package authmethod

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
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

// UsedProof is the Proof of a login that was made, kept until it is worthless.
type UsedProof struct {
	Proof       string
	Ends        time.Time
	AccessorID  string // of the login's token
	CreateIndex uint64
	ModifyIndex uint64
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

// IdentityOf returns the identity with the given values by hand, to see what a
// method's rules make of it. Names are those of the attributes of example, with
// a dot before a key: entity_tags.team. Commas separate the elements of a list. It returns
// errs.Invalid for a name that rules could not use.
func IdentityOf(example Identity, values map[string]string) (Identity, error) {
	id := Identity{Attributes: map[string]any{}, Variables: map[string]string{}}
	for name, sample := range example.Attributes {
		id.Attributes[name] = blank(sample)
	}
	for name := range example.Variables {
		id.Variables[name] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !id.set(name, values[name]) {
			known := slices.Sorted(maps.Keys(example.Variables))
			return Identity{}, errs.Errorf(errs.Invalid, "the identity has no attribute %q; it has %s", name, strings.Join(known, ", "))
		}
	}
	return id, nil
}

// blank returns a value of sample's shape that says nothing.
func blank(sample any) any {
	switch sample := sample.(type) {
	case map[string]string:
		out := map[string]string{}
		for key := range sample {
			out[key] = ""
		}
		return out
	case map[string][]string:
		out := map[string][]string{}
		for key := range sample {
			out[key] = nil
		}
		return out
	case []string:
		return []string(nil)
	}
	return ""
}

// set gives the attribute at name, and the variable of that name, a value. It
// returns false if there is none.
func (id *Identity) set(name, value string) bool {
	_, known := id.Variables[name]
	if known {
		id.Variables[name] = value
	}
	attribute, key, nested := strings.Cut(name, ".")
	switch at := id.Attributes[attribute].(type) {
	case string:
		if nested {
			return known
		}
		id.Attributes[attribute] = value
		return true
	case []string:
		if nested {
			return known
		}
		id.Attributes[attribute] = strings.Split(value, ",")
		return true
	case map[string]string:
		if _, has := at[key]; has {
			at[key] = value
			return true
		}
	case map[string][]string:
		if _, has := at[key]; has {
			at[key] = strings.Split(value, ",")
			return true
		}
	}
	return known
}
