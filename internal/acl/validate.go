package acl

import (
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/uuid"
)

// Longest names, in bytes (acl.md sections 5 and 6).
const (
	maxPolicyName   = 128
	maxRoleName     = 256
	maxIdentityName = 256
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz0123456789"
	letter = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// onlyOf reports whether all of s is among chars.
func onlyOf(s, chars string) bool { return strings.Trim(s, chars) == "" }

// ValidateTokenID checks an ID that a new token asks for; field is AccessorID or
// SecretID. It returns errs.Invalid if id is no UUID or is reserved.
func ValidateTokenID(field, id string) error {
	if !uuid.Valid(id) {
		return errs.Errorf(errs.Invalid, "Invalid Token: %s - not a valid UUID", field)
	}
	if strings.HasPrefix(id, ReservedUUIDPrefix) {
		return errs.Errorf(errs.Invalid, "Invalid Token: %s - UUIDs with the prefix %q are reserved", field, ReservedUUIDPrefix)
	}
	return nil
}

// ValidServiceName reports whether a service identity may have the name: up to
// 256 lower-case letters, digits, "-" and "_", with a letter or digit at both ends.
func ValidServiceName(name string) bool {
	return name != "" && len(name) <= maxIdentityName && onlyOf(name, lower+"-_") &&
		onlyOf(name[:1], lower) && onlyOf(name[len(name)-1:], lower)
}

// ValidNodeName reports whether a node identity may have the name; the rule is
// that of services.
func ValidNodeName(name string) bool { return ValidServiceName(name) }

// ValidRoleName reports whether a role may have the name.
func ValidRoleName(name string) bool {
	return name != "" && len(name) <= maxRoleName && onlyOf(name, letter+"-_")
}

// reservedNames is how the names of built-in policies begin.
const reservedNames = "builtin/"

func checkPolicyName(name string) error {
	switch {
	case name == "":
		return errs.New(errs.Invalid, "Invalid Policy: no Name is set")
	case len(name) > maxPolicyName:
		return errs.Errorf(errs.Invalid, "Invalid Policy: invalid Name. Length must be greater than 0 and less than %d", maxPolicyName)
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, reservedNames):
		return errs.Errorf(errs.Invalid, "Invalid Policy: invalid Name. Names cannot be prefixed with '/' or '%s'", reservedNames)
	case !onlyOf(name, letter+"-_/") || strings.Count(name, "/") > 1:
		return errs.New(errs.Invalid, "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed")
	}
	return nil
}

// Validate checks the content of a policy and returns its parsed rules. It
// returns errs.Invalid with the original's text (acl.md section 5). Whether
// another policy has the name is not asked.
func (p *Policy) Validate() (*Rules, error) {
	builtin := p.ID == GlobalManagementID || p.ID == GlobalReadOnlyID
	if !builtin || p.Name != GlobalReadOnlyName {
		if err := checkPolicyName(p.Name); err != nil {
			return nil, err
		}
	}
	rules, err := ParseRules(p.Rules)
	if err != nil {
		return nil, err
	}
	return rules, rules.Check(p.Scope)
}

// Validate checks the content of a role and puts its identities in order, as
// CheckIdentities does. Links are not looked up.
func (r *Role) Validate() error {
	switch {
	case r.Name == "":
		return errs.New(errs.Invalid, "Invalid Role: no Name is set")
	case !ValidRoleName(r.Name):
		return errs.New(errs.Invalid, "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	}
	return r.CheckIdentities()
}
