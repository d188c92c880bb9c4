// Package tenancy says where a resource lives: in a namespace inside an admin
// partition (spec: tenancy.md). Every resource and every permission check
// carries a Scope; "default" is a partition and a namespace like any other.
package tenancy

import (
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// DefaultName is the partition and the namespace that always exist.
const DefaultName = "default"

// Wildcard stands for all namespaces in the lists that allow it.
const Wildcard = "*"

// Default is the scope of a request that names none.
var Default = Scope{Partition: DefaultName, Namespace: DefaultName}

// Scope is a partition and a namespace inside it, both lower case and never
// empty. Build one with Parse at the edge; code inside never sees "".
type Scope struct {
	Namespace string
	Partition string
}

// String returns "partition/namespace", for logs and synthetic names.
func (s Scope) String() string { return s.Partition + "/" + s.Namespace }

// IsDefault reports whether s is the default namespace of the default partition.
func (s Scope) IsDefault() bool { return s == Default }

// PartitionRoot returns the default namespace of s's partition, where things
// live that belong to the partition as a whole.
func (s Scope) PartitionRoot() Scope { return Scope{Namespace: DefaultName, Partition: s.Partition} }

// Parse builds a Scope from what a request carries. Empty means default. Names
// are lower-cased. It returns errs.Invalid for a name that is not a DNS label or for the
// wildcard; use ParseWildcard where ns=* is allowed.
func Parse(partition, namespace string) (Scope, error) {
	s, err := ParseWildcard(partition, namespace)
	if err == nil && s.Namespace == Wildcard {
		return Scope{}, errs.Errorf(errs.Invalid, "Invalid namespace %q: wildcard is not allowed", Wildcard)
	}
	return s, err
}

// ParseWildcard is Parse for lists that accept all namespaces ("*") of a
// partition (tenancy.md section 4).
func ParseWildcard(partition, namespace string) (Scope, error) {
	s := Scope{Namespace: orDefault(namespace), Partition: orDefault(partition)}
	if err := ValidatePartition(s.Partition); err != nil {
		return Scope{}, err
	}
	if s.Namespace == Wildcard {
		return s, nil
	}
	if err := ValidateNamespace(s.Namespace); err != nil {
		return Scope{}, err
	}
	return s, nil
}

func orDefault(name string) string {
	if name == "" {
		return DefaultName
	}
	return strings.ToLower(name)
}

// ValidateNamespace checks a namespace's name: a DNS label of at most 63
// letters, digits and inner hyphens. It returns errs.Invalid.
func ValidateNamespace(name string) error {
	if !isLabel(name) {
		return errs.Errorf(errs.Invalid, "Invalid Namespace: invalid Name %q. Only alphanumeric characters and inner '-' are allowed, at most 63", name)
	}
	return nil
}

// ValidatePartition checks a partition's name: a DNS label that begins with a
// letter. It returns errs.Invalid.
func ValidatePartition(name string) error {
	if !isLabel(name) || name[0] < 'a' || name[0] > 'z' {
		return errs.Errorf(errs.Invalid, "Invalid Partition: invalid Name %q. Only alphanumeric characters and inner '-' are allowed, at most 63, beginning with a letter", name)
	}
	return nil
}

func isLabel(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
