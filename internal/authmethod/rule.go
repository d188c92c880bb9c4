package authmethod

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// What a rule may bind to.
const (
	BindService         = "service"
	BindNode            = "node"
	BindRole            = "role"
	BindPolicy          = "policy"
	BindTemplatedPolicy = "templated-policy"
)

// BindingRule gives the logins of one method that its Selector matches a link
// to something. Its JSON is the API's (authmethods.md section 5).
type BindingRule struct {
	ID          string
	Description string
	AuthMethod  string
	Selector    string // empty matches every login
	BindType    string
	BindName    string    // a template
	BindVars    *BindVars `json:",omitempty"` // for templated-policy only
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// BindVars fills the variables of a templated policy. Name is a template.
type BindVars struct {
	Name string `json:"name"`
}

// Bindings are the names that a login is bound to, each valid and there once.
// Roles and policies that do not exist are for the caller to skip.
type Bindings struct {
	Services          []string
	Nodes             []string
	Roles             []string
	Policies          []string
	TemplatedPolicies []TemplatedBinding
}

// TemplatedBinding is one use of a policy template.
type TemplatedBinding struct {
	Template string
	Name     string // its variable; may be empty
}

// ValidateRule checks r against the placeholder identity of its method. It
// returns errs.Invalid with the texts of authmethods.md section 5. Whether the
// template of a templated policy exists, and takes its variable, is the
// caller's to check, with what r.Links(example) returns.
func ValidateRule(r BindingRule, example Identity) error {
	switch {
	case r.AuthMethod == "":
		return errs.New(errs.Invalid, "Invalid Binding Rule: no AuthMethod is set")
	case r.BindType == "":
		return errs.New(errs.Invalid, "Invalid Binding Rule: no BindType is set")
	case r.BindName == "":
		return errs.New(errs.Invalid, "Invalid Binding Rule: no BindName is set")
	case r.BindVars != nil && r.BindType != BindTemplatedPolicy:
		return errs.New(errs.Invalid, "invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy.")
	}
	if _, err := ParseSelector(r.Selector, example); err != nil {
		return errs.Errorf(errs.Invalid, "invalid Binding Rule: Selector is invalid: %w", err)
	}
	if !slices.Contains([]string{BindService, BindNode, BindRole, BindPolicy, BindTemplatedPolicy}, r.BindType) {
		return errs.Errorf(errs.Invalid, "Invalid Binding Rule: invalid BindName or BindVars: invalid Binding Rule: unknown BindType %q", r.BindType)
	}
	if _, err := r.links(example, asIs); err != nil {
		return errs.Errorf(errs.Invalid, "Invalid Binding Rule: invalid BindName or BindVars: failed to validate bindType %q: %w", r.BindType, err)
	}
	return nil
}

// Bind returns what the rules whose Selector matches id bind it to. One name
// that cannot exist fails the whole login with errs.Invalid, so that a missing tag is
// noticed (authmethods.md section 6.3). Where seen is not nil it is told what each rule gives, those after one that
// fails included.
func Bind(rules []*BindingRule, id Identity, seen func(r *BindingRule, links Bindings, match bool, err error)) (Bindings, error) {
	var all Bindings
	var failed error
	for _, r := range rules {
		links, match, err := r.Bind(id)
		if seen != nil {
			seen(r, links, match, err)
		}
		if failed == nil {
			failed = err
		}
		all.Add(links)
	}
	if failed != nil {
		return Bindings{}, failed
	}
	return all, nil
}

// Bind says whether r matches id, and what it binds id to then.
func (r BindingRule) Bind(id Identity) (links Bindings, match bool, err error) {
	if match, err = selects(r.Selector, id); err != nil || !match {
		return Bindings{}, match, err
	}
	links, err = r.Links(id)
	return links, true, err
}

// Links returns what r binds id to, whatever its Selector says. Names of services
// and nodes are lower-cased. It returns errs.Invalid for a name that cannot exist.
func (r BindingRule) Links(id Identity) (Bindings, error) {
	return r.links(id, lowerASCII)
}

func asIs(name string) string { return name }

// links is Links with the treatment of service and node names given: a rule
// that spells one in capitals is refused when it is made, while capitals that
// come from an identity are lowered at login.
func (r BindingRule) links(id Identity, lower func(string) string) (Bindings, error) {
	name, err := interpolate(r.BindName, id)
	if err != nil {
		return Bindings{}, fmt.Errorf("error interpreting template: %w", err)
	}
	var b Bindings
	valid := true
	switch r.BindType {
	case BindService:
		name = lower(name)
		b.Services, valid = []string{name}, isIdentityName(name)
	case BindNode:
		name = lower(name)
		b.Nodes, valid = []string{name}, isIdentityName(name)
	case BindRole:
		b.Roles, valid = []string{name}, isName(name, 256)
	case BindPolicy:
		b.Policies, valid = []string{name}, isName(name, 128)
	case BindTemplatedPolicy:
		var variable string
		if r.BindVars != nil {
			if variable, err = interpolate(r.BindVars.Name, id); err != nil {
				return Bindings{}, fmt.Errorf("error interpreting template: %w", err)
			}
		}
		b.TemplatedPolicies, valid = []TemplatedBinding{{name, variable}}, isTemplateName(name)
	default:
		return Bindings{}, errs.Errorf(errs.Invalid, "invalid Binding Rule: unknown BindType %q", r.BindType)
	}
	if !valid {
		return Bindings{}, errs.Errorf(errs.Invalid, "invalid bind name: %q", name)
	}
	return b, nil
}

// Add adds what more has and b lacks.
func (b *Bindings) Add(more Bindings) {
	b.Services = union(b.Services, more.Services)
	b.Nodes = union(b.Nodes, more.Nodes)
	b.Roles = union(b.Roles, more.Roles)
	b.Policies = union(b.Policies, more.Policies)
	b.TemplatedPolicies = union(b.TemplatedPolicies, more.TemplatedPolicies)
}

func union[T comparable](list, more []T) []T {
	for _, x := range more {
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	return list
}

// isName reports whether name has 1 to limit letters, digits, hyphens and underscores.
func isName(name string, limit int) bool {
	if name == "" || len(name) > limit {
		return false
	}
	for i := range len(name) {
		if !isWord(name[i]) && name[i] != '-' {
			return false
		}
	}
	return true
}

// isIdentityName reports whether name can be a service's or node's in an
// identity: lower case, at most 256 bytes, a letter or digit at both ends.
func isIdentityName(name string) bool {
	if !isName(name, 256) || name != lowerASCII(name) {
		return false
	}
	return !strings.ContainsAny(name[:1]+name[len(name)-1:], "-_")
}

// isTemplateName reports whether name has the form of a policy template's, such as builtin/service.
func isTemplateName(name string) bool {
	return isName(strings.Replace(name, "/", "-", 1), 256)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// lowerASCII lowers A to Z alone: strings.ToLower would turn the Kelvin sign into a k, and
// so let two different tags name one service.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
