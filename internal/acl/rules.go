package acl

import "github.com/lictor/lictor/internal/tenancy"

// Rules is a parsed rule document. It is immutable.
type Rules struct {
	rules []rule
}

type rule struct{}

// ParseRules parses a rule document.
func ParseRules(text string) (*Rules, error) { return &Rules{}, nil }

// Check says whether a policy that lives in s may say these rules.
func (r *Rules) Check(s tenancy.Scope) error { return nil }
