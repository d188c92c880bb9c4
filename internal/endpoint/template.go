package endpoint

import (
	"context"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Templates are the operations on policy templates, all built in (acl.md
// section 7). They need acl:read.
type Templates struct{ *Backend }

// List returns all templates by name.
func (e *Templates) List(_ context.Context, who acl.Caller, s tenancy.Scope) (map[string]acl.Template, error) {
	if err := e.allow(who, s, acl.ACLRead); err != nil {
		return nil, err
	}
	all := map[string]acl.Template{}
	for _, t := range acl.Templates() {
		all[t.TemplateName] = t
	}
	return all, nil
}

// Read returns a template. An unknown one is errs.Invalid.
func (e *Templates) Read(_ context.Context, who acl.Caller, s tenancy.Scope, name string) (*acl.Template, error) {
	if err := e.allow(who, s, acl.ACLRead); err != nil {
		return nil, err
	}
	t, ok := acl.FindTemplate(name)
	if !ok {
		return nil, errs.Errorf(errs.Invalid, "Invalid templated policy Name: %s", name)
	}
	return &t, nil
}

// Preview returns the policy that a template amounts to with variables in s.
// What does not fit is errs.Invalid.
func (e *Templates) Preview(_ context.Context, who acl.Caller, s tenancy.Scope, name string, variables *acl.TemplateVariables) (*acl.Policy, error) {
	if err := e.allow(who, s, acl.ACLRead); err != nil {
		return nil, err
	}
	p, err := acl.TemplatedPolicy{TemplateName: name, TemplateVariables: variables}.SynthesizedPolicy(s)
	if err != nil {
		return nil, err
	}
	return &p, nil
}
