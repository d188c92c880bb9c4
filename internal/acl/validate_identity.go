package acl

import (
	"slices"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// identities is what tokens and roles have in common besides links.
type identities struct {
	services  *[]ServiceIdentity
	nodes     *[]NodeIdentity
	templates *[]TemplatedPolicy
	owner     string // "token" or "role"
	local     bool   // a token that exists in one datacenter
	scope     tenancy.Scope
}

// CheckIdentities checks the token's service identities, node identities and
// templated policies, completes the IDs of templates, and merges what is there
// twice: Datacenters are united, so that one with none and one with some become
// one with some (acl.md section 6). It returns errs.Invalid with the
// original's texts.
func (t *Token) CheckIdentities() error {
	return identities{&t.ServiceIdentities, &t.NodeIdentities, &t.TemplatedPolicies, "token", t.Local, t.Scope}.check()
}

// CheckIdentities is that of Token, for a role.
func (r *Role) CheckIdentities() error {
	return identities{&r.ServiceIdentities, &r.NodeIdentities, &r.TemplatedPolicies, "role", false, r.Scope}.check()
}

func (in identities) check() error {
	for _, s := range *in.services {
		if err := in.checkService(s); err != nil {
			return err
		}
	}
	for _, n := range *in.nodes {
		if err := in.checkNode(n); err != nil {
			return err
		}
	}
	for i := range *in.templates {
		if err := in.checkTemplated(&(*in.templates)[i]); err != nil {
			return err
		}
	}
	in.merge()
	return nil
}

func (in identities) checkService(s ServiceIdentity) error {
	switch {
	case s.ServiceName == "":
		return errs.Errorf(errs.Invalid, "Service identity is missing the service name field on this %s", in.owner)
	case in.local && len(s.Datacenters) > 0:
		return errs.Errorf(errs.Invalid, "Service identity %q cannot specify a list of datacenters on a local token", s.ServiceName)
	case !ValidServiceName(s.ServiceName):
		return errs.Errorf(errs.Invalid, "Service identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", s.ServiceName)
	}
	return nil
}

func (in identities) checkNode(n NodeIdentity) error {
	switch {
	case n.NodeName == "":
		return errs.Errorf(errs.Invalid, "Node identity is missing the node name field on this %s", in.owner)
	case n.Datacenter == "":
		return errs.Errorf(errs.Invalid, "Node identity is missing the datacenter field on this %s", in.owner)
	case !ValidNodeName(n.NodeName):
		return errs.New(errs.Invalid, "Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed")
	case in.scope.Namespace != tenancy.DefaultName:
		return errs.Errorf(errs.Invalid, "Node identity %q is only allowed in the default namespace, not in %q", n.NodeName, in.scope.Namespace)
	}
	return nil
}

func (in identities) checkTemplated(t *TemplatedPolicy) error {
	if t.TemplateName == "" {
		return errs.Errorf(errs.Invalid, "templated policy is missing the template name field on this %s", in.owner)
	}
	template, ok := FindTemplate(t.TemplateName)
	if !ok && in.owner == "role" {
		return errs.Errorf(errs.Invalid, "templated policy with an invalid templated name: %s for this role", t.TemplateName)
	}
	if !ok {
		return errs.Errorf(errs.Invalid, "no such ACL templated policy with Name %q", t.TemplateName)
	}
	t.TemplateID = template.ID
	if in.local && len(t.Datacenters) > 0 {
		return errs.Errorf(errs.Invalid, "templated policy %q cannot specify a list of datacenters on a local token", t.TemplateName)
	}
	err := template.checkVariables(t.TemplateVariables)
	switch {
	case err != nil && in.owner == "role":
		return errs.Errorf(errs.Invalid, "encountered role with invalid templated policy: %w", err)
	case err != nil:
		return errs.Errorf(errs.Invalid, "validation error for templated policy %q: %w", t.TemplateName, err)
	}
	return nil
}

// merge unites what is there twice, and keeps the order of first appearance.
func (in identities) merge() {
	*in.services = mergeBy(*in.services, func(a *ServiceIdentity, b ServiceIdentity) bool {
		if a.ServiceName != b.ServiceName {
			return false
		}
		a.Datacenters = union(a.Datacenters, b.Datacenters)
		return true
	})
	*in.nodes = mergeBy(*in.nodes, func(a *NodeIdentity, b NodeIdentity) bool { return *a == b })
	*in.templates = mergeBy(*in.templates, func(a *TemplatedPolicy, b TemplatedPolicy) bool {
		if a.TemplateName != b.TemplateName || a.variable() != b.variable() {
			return false
		}
		a.Datacenters = union(a.Datacenters, b.Datacenters)
		return true
	})
}

// mergeBy returns list with each element either kept or taken up by an earlier
// one; absorb reports whether a takes up b. The list given is not changed.
func mergeBy[T any](list []T, absorb func(a *T, b T) bool) []T {
	var kept []T
next:
	for _, b := range list {
		for i := range kept {
			if absorb(&kept[i], b) {
				continue next
			}
		}
		kept = append(kept, b)
	}
	return kept
}

// union returns what is in a or b, in that order, in a slice of its own.
func union(a, b []string) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
