package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

var errNoBindingRule = errs.Errorf(errs.NotFound, "Requested binding rule does not exist: %w", acl.ErrNotFound)

// BindingRules are the operations on binding rules (authmethods.md section 5).
type BindingRules struct {
	*Backend
	Verifiers *Verifiers
}

// BindingRuleRead asks for one binding rule.
type BindingRuleRead struct {
	tenancy.Scope
	ID string
	Read
}

// BindingRuleList asks for the binding rules of a namespace, or with "*" of
// all namespaces of a partition; with AuthMethod only for those of that name.
type BindingRuleList struct {
	tenancy.Scope
	AuthMethod string
	Read
}

// Create makes a binding rule and returns it as it was stored. It needs
// acl:write in the rule's scope. What is wrong with r is errs.Invalid.
func (e *BindingRules) Create(ctx context.Context, who acl.Caller, r authmethod.BindingRule) (*authmethod.BindingRule, error) {
	if err := e.allow(who, r.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if r.ID != "" {
		return nil, errs.New(errs.Invalid, "BindingRule ID in URL and payload do not match")
	}
	tx := e.Store.Read()
	if err := tx.CheckScope(r.Scope); err != nil {
		return nil, err
	}
	r.ID = uuid.New()
	return e.save(ctx, tx, r, 0)
}

// Update replaces the binding rule with the given ID by what r says; its auth
// method stays. It needs acl:write in the scope.
func (e *BindingRules) Update(ctx context.Context, who acl.Caller, id string, r authmethod.BindingRule) (*authmethod.BindingRule, error) {
	if err := e.allow(who, r.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if r.ID != "" && !strings.EqualFold(r.ID, id) {
		return nil, errs.New(errs.Invalid, "BindingRule ID in URL and payload do not match")
	}
	if !uuid.Valid(id) {
		return nil, errs.New(errs.Invalid, "Binding Rule ID invalid UUID")
	}
	r.ID = strings.ToLower(id)
	return unchanged(func() (*authmethod.BindingRule, error) { return e.update(ctx, r) })
}

func (e *BindingRules) update(ctx context.Context, r authmethod.BindingRule) (*authmethod.BindingRule, error) {
	tx := e.Store.Read()
	old, err := tx.BindingRule(nil, r.Scope, r.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, errs.Errorf(errs.Invalid, "cannot find binding rule %s", r.ID)
	}
	if r.AuthMethod == "" {
		r.AuthMethod = old.AuthMethod
	}
	if !strings.EqualFold(r.AuthMethod, old.AuthMethod) {
		return nil, errs.New(errs.Invalid, "the AuthMethod field of an Binding Rule is immutable")
	}
	return e.save(ctx, tx, r, old.ModifyIndex)
}

// save checks r against its auth method, stores it and returns it as it was stored.
func (e *BindingRules) save(ctx context.Context, tx *state.Tx, r authmethod.BindingRule, ifIndex uint64) (*authmethod.BindingRule, error) {
	if err := e.check(tx, &r); err != nil {
		return nil, err
	}
	if _, err := e.Raft.Propose(ctx, fsm.BindingRuleSet{Rule: r, IfIndex: ifIndex}); err != nil {
		return nil, err
	}
	stored, err := e.Store.Read().BindingRule(nil, r.Scope, r.ID)
	if err == nil && stored == nil {
		err = errNoBindingRule
	}
	return stored, err
}

// check checks r, and gives its auth method the spelling that it is stored in.
func (e *BindingRules) check(tx *state.Tx, r *authmethod.BindingRule) error {
	if r.AuthMethod == "" {
		return errs.New(errs.Invalid, "Invalid Binding Rule: no AuthMethod is set")
	}
	m, err := tx.AuthMethod(nil, r.Scope, r.AuthMethod)
	if err != nil {
		return err
	}
	if m == nil {
		return errs.Errorf(errs.Invalid, "cannot find auth method with name %q", r.AuthMethod)
	}
	r.AuthMethod = m.Name
	verifier, err := e.Verifiers.Of(m)
	if err != nil {
		return err
	}
	example := verifier.Example()
	if err := authmethod.ValidateRule(*r, example); err != nil {
		return err
	}
	links, err := r.Links(example)
	if err != nil {
		return err
	}
	for _, b := range links.TemplatedPolicies {
		if err := checkTemplatedBinding(b); err != nil {
			return err
		}
	}
	return nil
}

// checkTemplatedBinding checks what a rule of type templated-policy binds to.
func checkTemplatedBinding(b authmethod.TemplatedBinding) error {
	const invalid = "Invalid Binding Rule: invalid BindName or BindVars: failed to validate bindType \"templated-policy\": "
	if _, known := acl.FindTemplate(b.Template); !known {
		return errs.Errorf(errs.Invalid, invalid+"Bind name for templated-policy bind type does not match existing template name: %s", b.Template)
	}
	if _, err := templatedPolicy(b).SynthesizedPolicy(tenancy.Default); err != nil {
		return errs.Errorf(errs.Invalid, invalid+"templated policy failed validation: %w", err)
	}
	return nil
}

// templatedPolicy returns what a token is given for b.
func templatedPolicy(b authmethod.TemplatedBinding) acl.TemplatedPolicy {
	p := acl.TemplatedPolicy{TemplateName: b.Template}
	if b.Name != "" {
		p.TemplateVariables = &acl.TemplateVariables{Name: b.Name}
	}
	return p
}

// Read returns a binding rule. It needs acl:read in the scope. An unknown rule
// is errs.NotFound.
func (e *BindingRules) Read(ctx context.Context, who acl.Caller, req BindingRuleRead) (*authmethod.BindingRule, Meta, error) {
	if err := e.allow(who, req.Scope, acl.ACLRead); err != nil {
		return nil, Meta{}, err
	}
	id, err := lookupID("binding rule", req.ID)
	if err != nil {
		return nil, Meta{}, err
	}
	var out *authmethod.BindingRule
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := e.allow(who, req.Scope, acl.ACLRead)
		if err != nil {
			return 0, err
		}
		out, err = tx.BindingRule(ws, req.Scope, id)
		if err == nil && out == nil {
			err = errNoBindingRule
		}
		return tx.LastIndex(state.TableBindingRules), err
	})
	return out, meta, err
}

// List returns binding rules sorted by ID. It needs acl:read.
func (e *BindingRules) List(ctx context.Context, who acl.Caller, req BindingRuleList) ([]authmethod.BindingRule, Meta, error) {
	var out []authmethod.BindingRule
	var filtered bool
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowList(who, req.Scope); err != nil {
			return 0, err
		}
		rows, err := tx.BindingRules(ws, req.Scope, req.AuthMethod)
		if err != nil {
			return 0, err
		}
		rows, filtered = readable(who, rows, func(r *authmethod.BindingRule) tenancy.Scope { return r.Scope })
		out = make([]authmethod.BindingRule, 0, len(rows))
		for _, r := range rows {
			out = append(out, *r)
		}
		return tx.LastIndex(state.TableBindingRules), nil
	})
	meta.FilteredByACLs = filtered
	return out, meta, err
}

// Delete removes a binding rule; tokens that it gave links to keep them. It
// needs acl:write in the scope. An unknown rule is errs.NotFound.
func (e *BindingRules) Delete(ctx context.Context, who acl.Caller, s tenancy.Scope, id string) error {
	if err := e.allow(who, s, acl.ACLWrite); err != nil {
		return err
	}
	id, err := lookupID("binding rule", id)
	if err != nil {
		return err
	}
	r, err := e.Store.Read().BindingRule(nil, s, id)
	if err != nil {
		return err
	}
	if r == nil {
		return errs.New(errs.NotFound, "Cannot find binding rule to delete")
	}
	_, err = e.Raft.Propose(ctx, fsm.BindingRuleDelete{Scope: s, ID: id})
	return err
}
