package acl

import (
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Rules is a parsed rule document. It is immutable; the zero value has no
// rules.
type Rules struct{ rules []rule }

// rule is one statement of a document. What it speaks about is the place (a
// partition and a namespace, as far as the document names them) and a label
// there, as a whole or as a prefix.
type rule struct {
	at         position
	keyword    string // as in the document, lower case
	partition  selector
	namespace  selector
	resource   Resource
	prefix     bool
	label      string
	access     Access // Unset on a partition or namespace block without a policy of its own
	intentions Access // Unset if the rule does not say
}

// selector chooses partitions or namespaces. The zero value is the one that
// the policy lives in.
type selector struct {
	how  how
	name string
}

type how uint8

const (
	own how = iota
	exactly
	withPrefix
)

// is reports whether the selector chooses name and nothing else.
func (s selector) is(name string) bool { return s.how == exactly && s.name == name }

// describe names what the selector chooses, of a kind such as "namespace".
func (s selector) describe(kind string) string {
	if s.how == withPrefix {
		kind += "_prefix"
	}
	return kind + " \"" + s.name + "\""
}

// ParseRules parses the text of a policy, HCL 1 or JSON (acl.md section 10,
// tenancy.md section 7.1). Empty text has no rules. It is strict: a word it
// does not know, and anything said twice, is errs.Invalid with key and position.
// The bounds are MaxRulesBytes, MaxRulesNesting and MaxRules. What depends on
// where the policy lives is for Check.
func ParseRules(text string) (*Rules, error) {
	items, err := parseItems(text)
	if err != nil {
		return nil, err
	}
	var r reader
	if err := r.body(items, place{level: atTop}); err != nil {
		return nil, err
	}
	return &Rules{rules: r.rules}, nil
}

// reach returns the partitions and namespaces that the rule speaks about in a
// policy that lives in s. Inside a partition block, what is outside a namespace
// block means the default namespace.
func (r *rule) reach(s tenancy.Scope) (partition, namespace selector) {
	partition, namespace = r.partition, r.namespace
	if namespace.how == own {
		namespace = selector{exactly, tenancy.DefaultName}
		if partition.how == own {
			namespace.name = s.Namespace
		}
	}
	if partition.how == own {
		partition = selector{exactly, s.Partition}
	}
	return partition, namespace
}

// Check says whether a policy that lives in s may have these rules: one outside
// the default partition reaches its own alone, one outside the default namespace
// likewise, and some kinds of rules belong to the default ones (tenancy.md
// sections 7.1 and 7.2). It returns errs.Invalid naming the rule and the place.
func (r *Rules) Check(s tenancy.Scope) error {
	for i := range r.rules {
		if err := r.rules[i].check(s); err != nil {
			return err
		}
	}
	return nil
}

func (r *rule) check(s tenancy.Scope) error {
	partition, namespace := r.reach(s)
	if !s.IsDefault() && !partition.is(s.Partition) {
		return r.misplaced("a policy in partition %q, namespace %q cannot speak about %s", s.Partition, s.Namespace, partition.describe("partition"))
	}
	emptyBlock := r.resource == partitionObject && r.access == Unset
	if s.Namespace != tenancy.DefaultName && !namespace.is(s.Namespace) && !emptyBlock {
		return r.misplaced("a policy in namespace %q cannot speak about %s", s.Namespace, namespace.describe("namespace"))
	}
	if r.access == Write && (r.resource == partitionObject && s.Partition != tenancy.DefaultName || r.resource == namespaceObject && s.Namespace != tenancy.DefaultName) {
		return r.misplaced("a policy cannot manage the %s that it lives in", r.keyword)
	}
	return r.checkHome(partition, namespace)
}

// checkHome refuses kinds of rules where they do not belong (tenancy.md section 7.1).
func (r *rule) checkHome(partition, namespace selector) error {
	what, rooted := r.keyword+" rules", false
	switch r.resource {
	case Event, Keyring, Operator, Query:
		if !partition.is(tenancy.DefaultName) {
			return r.misplaced("%s are not allowed in %s", what, partition.describe("partition"))
		}
		rooted = true
	case Mesh, Peering:
		rooted = true
	case Node:
		what, rooted = what+" with write", r.access == Write
	}
	if rooted && !namespace.is(tenancy.DefaultName) {
		return r.misplaced("%s are not allowed in %s", what, namespace.describe("namespace"))
	}
	return nil
}

func (r *rule) misplaced(format string, args ...any) error {
	return errs.Errorf(errs.Invalid, "Invalid Policy rules: At %d:%d: "+format, append([]any{r.at.line, r.at.col}, args...)...)
}
