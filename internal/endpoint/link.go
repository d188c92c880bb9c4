package endpoint

import (
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// builtinPolicy reports whether id is of a policy that exists from the first
// start. They live in the default namespace of the default partition, reach
// everything, and may be linked from everywhere (tenancy.md section 7.2).
func builtinPolicy(id string) bool {
	return id == acl.GlobalManagementID || id == acl.GlobalReadOnlyID
}

// mayLink decides about a link in s to p. One from elsewhere to a built-in
// policy needs acl:write where that lives: acl:write in one namespace must not
// be a way to everything.
func mayLink(who acl.Caller, s tenancy.Scope, p *acl.Policy) error {
	if p.Scope == s {
		return nil
	}
	return who.Require(p.Scope, acl.ACLWrite, "")
}

// linkedPolicyByName returns the policy that a link with name means in s, or
// nil.
func linkedPolicyByName(tx *state.Tx, s tenancy.Scope, name string) (*acl.Policy, error) {
	p, err := tx.PolicyByName(nil, s, name)
	if p != nil || err != nil {
		return p, err
	}
	p, err = tx.PolicyByName(nil, tenancy.Default, name)
	if p != nil && !builtinPolicy(p.ID) {
		p = nil
	}
	return p, err
}

// policyLinks returns links, that who makes, with the IDs and names of the
// policies that they mean in s, each policy once. unknownID is the text, with a
// verb for the ID, about one that does not exist.
func policyLinks(tx *state.Tx, who acl.Caller, s tenancy.Scope, links []acl.Link, unknownID string) ([]acl.Link, error) {
	var out []acl.Link
	for _, l := range links {
		var p *acl.Policy
		var err error
		if l.ID != "" {
			p, err = tx.LinkedPolicy(nil, s, strings.ToLower(l.ID))
		} else {
			p, err = linkedPolicyByName(tx, s, l.Name)
		}
		switch {
		case err != nil:
			return nil, err
		case p == nil && l.ID != "":
			return nil, errs.Errorf(errs.Invalid, unknownID, l.ID)
		case p == nil:
			return nil, errs.Errorf(errs.Invalid, "No such ACL policy with name %q", l.Name)
		}
		if err := mayLink(who, s, p); err != nil {
			return nil, err
		}
		out = addLink(out, p.ID, p.Name)
	}
	return out, nil
}

// roleLinks is policyLinks for roles.
func roleLinks(tx *state.Tx, s tenancy.Scope, links []acl.Link) ([]acl.Link, error) {
	var out []acl.Link
	for _, l := range links {
		var r *acl.Role
		var err error
		if l.ID != "" {
			r, err = tx.Role(nil, s, strings.ToLower(l.ID))
		} else {
			r, err = tx.RoleByName(nil, s, l.Name)
		}
		switch {
		case err != nil:
			return nil, err
		case r == nil && l.ID != "":
			return nil, errs.Errorf(errs.Invalid, "No such ACL role with ID %q", l.ID)
		case r == nil:
			return nil, errs.Errorf(errs.Invalid, "No such ACL role with name %q", l.Name)
		}
		out = addLink(out, r.ID, r.Name)
	}
	return out, nil
}

func addLink(links []acl.Link, id, name string) []acl.Link {
	if slices.ContainsFunc(links, func(l acl.Link) bool { return l.ID == id }) {
		return links
	}
	return append(links, acl.Link{ID: id, Name: name})
}

// idsOnly returns links as they are stored.
func idsOnly(links []acl.Link) []acl.Link {
	var out []acl.Link
	for _, l := range links {
		out = append(out, acl.Link{ID: l.ID})
	}
	return out
}

// showPolicies returns stored links with the names that their policies have
// now. Links to what was deleted are left out.
func showPolicies(tx *state.Tx, s tenancy.Scope, links []acl.Link) ([]acl.Link, error) {
	var out []acl.Link
	for _, l := range links {
		p, err := tx.LinkedPolicy(nil, s, l.ID)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out = append(out, acl.Link{ID: p.ID, Name: p.Name})
		}
	}
	return out, nil
}

// showRoles is showPolicies for roles.
func showRoles(tx *state.Tx, s tenancy.Scope, links []acl.Link) ([]acl.Link, error) {
	var out []acl.Link
	for _, l := range links {
		r, err := tx.Role(nil, s, l.ID)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, acl.Link{ID: r.ID, Name: r.Name})
		}
	}
	return out, nil
}
