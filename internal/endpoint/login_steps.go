package endpoint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Bounds on what is kept of a login's steps.
const (
	shownRules = 256
	shownText  = 2048 // bytes
)

// LoginSteps is a login step by step, as far as it came. It holds no secret.
type LoginSteps struct {
	AuthMethod string
	Type       string `json:",omitempty"`
	tenancy.Scope
	Allowed        bool
	Reason         string          `json:",omitempty"` // why not: the text of the refusal
	Change         string          `json:",omitempty"` // what would have to change, where that is known
	Identity       *LoginIdentity  `json:",omitempty"` // absent if nothing was proven
	NamespaceRules []NamespaceStep `json:",omitempty"` // in their order, up to the one that decides
	BindingRules   []BindingStep   `json:",omitempty"`
	Omitted        int             `json:",omitempty"` // binding rules that were tried and are not shown
	Gains          *LoginGains     `json:",omitempty"` // absent if the login is refused
}

// LoginIdentity is who logs in.
type LoginIdentity struct {
	Principal string            `json:",omitempty"`
	UniqueID  string            `json:",omitempty"`
	Account   string            `json:",omitempty"`
	Values    map[string]string // what selectors and templates see, by name; lists with commas
	// ProofUsedBy is the accessor of the token that an earlier login got with
	// the same bearer token.
	ProofUsedBy string `json:",omitempty"`
}

// NamespaceStep is a namespace rule that was tried.
type NamespaceStep struct {
	Selector      string
	BindNamespace string
	Matches       bool
	Namespace     string `json:",omitempty"` // that it names
	Error         string `json:",omitempty"`
}

// BindingStep is a binding rule that was tried.
type BindingStep struct {
	ID       string
	Selector string
	BindType string
	BindName string
	Matches  bool
	Name     string `json:",omitempty"` // BindName with the identity's values
	Variable string `json:",omitempty"` // of a templated policy, likewise
	Missing  bool   `json:",omitempty"` // no role or policy of that name is there, so that the rule gives nothing
	Error    string `json:",omitempty"`
}

// LoginGains is what the login's token may do.
type LoginGains struct {
	tenancy.Scope
	Policies          []acl.Link            `json:",omitempty"`
	Roles             []acl.Link            `json:",omitempty"`
	ServiceIdentities []acl.ServiceIdentity `json:",omitempty"`
	NodeIdentities    []acl.NodeIdentity    `json:",omitempty"`
	TemplatedPolicies []acl.TemplatedPolicy `json:",omitempty"`
	Local             bool
	ExpirationTime    *time.Time `json:",omitempty"`
}

// prove notes who logs in.
func (x *LoginSteps) prove(tx *state.Tx, id authmethod.Identity) error {
	x.Identity = &LoginIdentity{Principal: id.Principal, UniqueID: id.UniqueID, Account: id.Account, Values: map[string]string{}}
	for name, value := range id.Attributes {
		x.Identity.note(name, value)
	}
	maps.Copy(x.Identity.Values, id.Variables)
	used, err := tx.LoginProof(nil, id.Proof)
	if used != nil && id.Proof != "" {
		x.Identity.ProofUsedBy = used.AccessorID
	}
	return err
}

func (i *LoginIdentity) note(name string, value any) {
	switch value := value.(type) {
	case string:
		i.Values[name] = value
	case []string:
		i.Values[name] = strings.Join(value, ",")
	case map[string]string:
		for key, v := range value {
			i.Values[name+"."+key] = v
		}
	case map[string][]string:
		for key, v := range value {
			i.Values[name+"."+key] = strings.Join(v, ",")
		}
	}
}

// chooseNamespace is authmethod.ChooseNamespace with its steps.
func (x *LoginSteps) chooseNamespace(m *authmethod.Method, id authmethod.Identity) (string, error) {
	return authmethod.ChooseNamespace(m.NamespaceRules, id, m.Namespace, func(r authmethod.NamespaceRule, name string, match bool, err error) {
		step := NamespaceStep{Selector: r.Selector, BindNamespace: r.BindNamespace, Matches: match, Namespace: name}
		if err != nil {
			step.Error = err.Error()
			x.Change = fmt.Sprintf("namespace rule %d has to match others only, or the identity needs another value in %s",
				len(x.NamespaceRules)+1, r.BindNamespace)
		}
		x.NamespaceRules = append(x.NamespaceRules, step)
	})
}

// bind is authmethod.Bind with its steps. Roles and policies are looked for in s.
func (x *LoginSteps) bind(tx *state.Tx, rules []*authmethod.BindingRule, id authmethod.Identity, s tenancy.Scope) (authmethod.Bindings, error) {
	var unread error // of the state
	failed := false
	all, err := authmethod.Bind(rules, id, func(r *authmethod.BindingRule, links authmethod.Bindings, match bool, err error) {
		if err != nil && !failed {
			failed = true
			x.Change = fmt.Sprintf("binding rule %s has to match others only, or the identity needs another value in %s", r.ID, r.BindName)
		}
		if len(x.BindingRules) == shownRules {
			x.Omitted++
			return
		}
		step := BindingStep{ID: r.ID, Selector: r.Selector, BindType: r.BindType, BindName: r.BindName, Matches: match}
		if err != nil {
			step.Error = err.Error()
		} else {
			unread = errors.Join(unread, step.name(tx, links, s))
		}
		x.BindingRules = append(x.BindingRules, step)
	})
	if len(rules) == 0 {
		x.Change = "the auth method needs a binding rule"
	}
	return all, cmp.Or(unread, err)
}

// name notes what a rule that matches computed, and whether it is there.
func (b *BindingStep) name(tx *state.Tx, links authmethod.Bindings, s tenancy.Scope) error {
	for _, names := range [][]string{links.Services, links.Nodes} {
		for _, name := range names {
			b.Name = name
		}
	}
	for _, t := range links.TemplatedPolicies {
		b.Name, b.Variable = t.Template, t.Name
	}
	for _, name := range links.Roles {
		r, err := tx.RoleByName(nil, s, name)
		if err != nil {
			return err
		}
		b.Name, b.Missing = name, r == nil
	}
	for _, name := range links.Policies {
		p, err := tx.PolicyByName(nil, s, name)
		if err != nil {
			return err
		}
		b.Name, b.Missing = name, p == nil
	}
	return nil
}

// empty says what would give a login that gained nothing something.
func (x *LoginSteps) empty(s tenancy.Scope) {
	for _, b := range x.BindingRules {
		if b.Missing {
			x.Change = fmt.Sprintf("namespace %q needs a %s named %q", s.Namespace, b.BindType, b.Name)
			return
		}
	}
	if x.Change == "" {
		x.Change = "a binding rule has to match the identity"
	}
}

// refuse notes why the login is refused.
func (x *LoginSteps) refuse(err error) {
	x.Allowed, x.Gains = false, nil
	x.Reason = "internal error"
	if errs.KindOf(err) != errs.Internal {
		x.Reason = clip(err.Error())
	}
	x.AuthMethod = clip(x.AuthMethod)
}

// allow notes what the login gains.
func (x *LoginSteps) allow(t acl.Token) {
	x.Allowed = true
	x.Gains = &LoginGains{
		Scope: t.Scope, Policies: t.Policies, Roles: t.Roles, ServiceIdentities: t.ServiceIdentities,
		NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies, Local: t.Local, ExpirationTime: t.ExpirationTime,
	}
}

// clip returns text, shortened if it is long.
func clip(text string) string {
	if len(text) > shownText {
		return strings.ToValidUTF8(text[:shownText], "") + "… (" + strconv.Itoa(len(text)) + " bytes)"
	}
	return text
}
