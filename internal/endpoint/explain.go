package endpoint

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ExplainRequest asks what decides whether a token may do something in Scope. The
// words are those of AuthorizeRequest. No AccessorID means the caller's own token.
type ExplainRequest struct {
	tenancy.Scope
	AccessorID string
	Resource   string
	Access     string
	Segment    string
}

// Explained is a decision with its reasons.
type Explained struct {
	AccessorID string
	Resource   string
	Access     string
	Segment    string `json:",omitempty"`
	tenancy.Scope
	Allow     bool
	DecidedBy acl.Decider
	Reason    string          // a sentence
	Rules     []ExplainedRule // that speak about the deciding thing, those that decided first
	Change    string          `json:",omitempty"` // what would have to change for the answer to be yes
}

// ExplainedRule is a rule and where it comes from.
type ExplainedRule struct {
	PolicyID        string `json:",omitempty"` // empty for what an identity amounts to
	Policy          string // the policy's name, or the identity
	PolicyNamespace string
	PolicyPartition string
	Via             string // how the token has it: the token itself, a role, its namespace
	Rule            string
	Line, Column    int // in the policy's text, from 1
	Grants          string
	Decides         bool // false where another rule for the same thing overrules it
}

// Explain says whether a token may do what req asks for and which rule decides.
// Everybody may ask about their own token; any other one needs acl:read where the token
// lives. A word that it does not know is errs.Invalid.
func (e *Authorizes) Explain(_ context.Context, who acl.Caller, req ExplainRequest) (*Explained, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	p, err := AuthorizeRequest{Resource: req.Resource, Access: req.Access, Segment: req.Segment}.permission()
	if err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	if req.AccessorID != "" && !strings.EqualFold(req.AccessorID, who.AccessorID) {
		if who, err = e.other(tx, who, req); err != nil {
			return nil, err
		}
	}
	own, defaults, err := e.Resolver.origins(tx, who)
	if err != nil {
		return nil, err
	}
	x := acl.Explain(grantsOf(own), grantsOf(defaults), acl.Defaults{Allow: e.Resolver.DefaultPolicyAllow}, req.Scope, p, req.Segment)
	out := &Explained{
		AccessorID: who.AccessorID, Resource: req.Resource, Access: req.Access, Segment: req.Segment, Scope: req.Scope,
		Allow: x.Allowed, DecidedBy: x.By, Rules: []ExplainedRule{}, Change: x.Change,
	}
	for _, r := range x.Rules {
		from := own
		if r.Default {
			from = defaults
		}
		out.Rules = append(out.Rules, from[r.Grant].explain(r))
	}
	out.Reason = out.reason(p, e.Resolver.DefaultPolicyAllow)
	return out, nil
}

// other returns the caller whom the token with req's accessor would make. Whoever may
// not read tokens is not told whether there is one.
func (e *Authorizes) other(tx *state.Tx, who acl.Caller, req ExplainRequest) (acl.Caller, error) {
	id, err := lookupID("token", req.AccessorID)
	if err != nil {
		return who, err
	}
	t, err := tx.TokenByAccessor(nil, id)
	if err != nil {
		return who, err
	}
	if t == nil || !who.Allowed(t.Scope, acl.ACLRead, "") {
		if err := who.Require(req.Scope, acl.ACLRead, ""); err != nil {
			return who, err
		}
		return who, errNoToken
	}
	if t.Expired(e.now()) {
		return who, errNoToken
	}
	return acl.Caller{AccessorID: t.AccessorID, Token: t}, nil
}

// reason says in a sentence what decided about p.
func (x *Explained) reason(p acl.Permission, allow bool) string {
	switch {
	case x.DecidedBy == acl.ByNothing:
		return "there is no permission " + p.String()
	case x.DecidedBy == acl.ByDefault && p.Resource == acl.ACL:
		return "no rule speaks about acl, which the default policy never allows"
	case x.DecidedBy == acl.ByDefault && allow:
		return "no rule speaks about it, and the default policy is to allow"
	case x.DecidedBy == acl.ByDefault:
		return "no rule speaks about it, and the default policy is to deny"
	}
	r := x.Rules[0]
	text := fmt.Sprintf("%s of %s grants %s", r.Rule, r.Policy, r.Grants)
	switch {
	case r.Grants == acl.Deny.String():
		text = fmt.Sprintf("%s of %s denies", r.Rule, r.Policy)
	case !x.Allow:
		text += ", which does not include " + p.Access.String()
	}
	return text
}

// origin is rules that count for a token, and how it has them.
type origin struct {
	acl.Grant
	policyID string // empty for an identity
	name     string // of the policy, or the identity in words
	via      string
}

func grantsOf(origins []origin) []acl.Grant {
	out := make([]acl.Grant, len(origins))
	for i, o := range origins {
		out[i] = o.Grant
	}
	return out
}

func (o origin) explain(r acl.DecidingRule) ExplainedRule {
	return ExplainedRule{
		PolicyID: o.policyID, Policy: o.name, PolicyNamespace: o.Scope.Namespace, PolicyPartition: o.Scope.Partition, Via: o.via,
		Rule: r.Text, Line: r.Line, Column: r.Column, Grants: r.Access.String(), Decides: r.Decides,
	}
}

// origins returns the rules that authorizer compiles for who, each as often as
// there are ways to it. A caller without a stored token has none, but for this
// agent's recovery token.
func (r *Resolver) origins(tx *state.Tx, who acl.Caller) (own, defaults []origin, err error) {
	t := who.Token
	if t == nil {
		if who.AccessorID == recoveryAccessor(r.NodeName) {
			rules, err := acl.AgentRecoveryRules(r.NodeName)
			return []origin{{Grant: acl.Grant{Rules: rules, Scope: tenancy.Default}, name: "the agent's recovery token", via: "the token"}}, nil, err
		}
		return nil, nil, nil
	}
	r.init()
	c := collector{gatherer: gatherer{tx: tx, datacenter: r.Datacenter, scope: t.Scope}, resolver: r, found: &own}
	c.add("the token", func(g *gatherer) {
		g.policies(t.Policies)
		g.identities(t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies)
	})
	c.roles(t.Roles, "")
	ns, err := tx.Namespace(nil, t.Partition, t.Namespace)
	if err != nil {
		return nil, nil, err
	}
	if ns != nil && ns.ACLs != nil {
		of := "the defaults of namespace " + strconv.Quote(ns.Name)
		c.scope, c.found = t.PartitionRoot(), &defaults
		c.add(of, func(g *gatherer) { g.policies(aclLinks(ns.ACLs.PolicyDefaults)) })
		c.roles(aclLinks(ns.ACLs.RoleDefaults), " in "+of)
	}
	return own, defaults, c.err
}

// collector turns what a gatherer finds into origins. The first error stops it.
type collector struct {
	gatherer
	resolver *Resolver
	found    *[]origin
}

func (c *collector) add(via string, gather func(*gatherer)) {
	g, sources := c.gatherer, []source(nil)
	g.into = &sources
	gather(&g)
	c.err = g.err
	for _, s := range sources {
		if c.err != nil {
			return
		}
		var grants []acl.Grant
		if grants, c.err = c.resolver.grants([]source{s}); c.err != nil {
			return
		}
		o := origin{Grant: grants[0], via: via}
		o.policyID, o.name, c.err = s.describe()
		*c.found = append(*c.found, o)
	}
}

func (c *collector) roles(links []acl.Link, suffix string) {
	for _, l := range links {
		if c.err != nil {
			return
		}
		var role *acl.Role
		if role, c.err = c.tx.Role(nil, c.scope, l.ID); role != nil {
			c.add("role "+strconv.Quote(role.Name)+suffix, func(g *gatherer) { g.linkedRoles([]acl.Link{l}) })
		}
	}
}

// describe names the policy or identity that s is, and gives the ID of a policy.
func (s source) describe() (id, name string, err error) {
	switch s.kind {
	case 's':
		return "", "service identity " + strconv.Quote(s.name), nil
	case 'n':
		return "", "node identity " + strconv.Quote(s.name), nil
	case 't':
		name := "templated policy " + strconv.Quote(s.name)
		if s.variable != "" {
			name += " for " + strconv.Quote(s.variable)
		}
		return "", name, nil
	}
	p, err := s.policy()
	return p.ID, "policy " + strconv.Quote(p.Name), err
}

// recoveryAccessor names the recovery token of the agent on node.
func recoveryAccessor(node string) string { return "agent-recovery:" + node }
