// Package aclsetup brings the ACL objects of a cluster to what somebody wants: it compares
// what there is with what there should be, says what it would change, and changes it, through
// the public API. Doing it again changes nothing.
package aclsetup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Resources are the objects that should be there. Names identify them, apart from binding rules,
// which are identified by method, type and name that they bind.
type Resources struct {
	Partition      *api.Partition
	Policies       []api.ACLPolicy
	Roles          []api.ACLRole // links to policies by name
	Methods        []api.ACLAuthMethod
	Rules          []api.ACLBindingRule
	AnonymousReads *api.ACLPolicy // linked to the anonymous token; nil leaves that token alone

	// KeepPolicies leaves the rules of policies that are there as they are.
	KeepPolicies bool
	// ShareMethods adds to the trusted ARNs of methods that are there, and takes none away, so that
	// several clusters and accounts share one.
	ShareMethods bool
}

// Action is what a change does.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one thing that is not as it should be. Details are lines for people: what differs.
type Change struct {
	Action  Action
	Kind    string // "auth method", "binding rule", "partition", "policy", "role", "token"
	Name    string
	Details []string

	do func(ctx context.Context) error
}

// String returns, for example, `create policy "web"`.
func (c Change) String() string { return fmt.Sprintf("%s %s %q", c.Action, c.Kind, c.Name) }

// Apply makes the change.
func (c Change) Apply(ctx context.Context) error {
	if err := c.do(ctx); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// planner compares with one cluster.
type planner struct {
	client *api.Client
	want   Resources
	list   []Change
}

// Plan returns what has to change, in an order in which it can be done; nothing if all is as
// it should be.
func (r Resources) Plan(ctx context.Context, client *api.Client) ([]Change, error) {
	p := &planner{client: client, want: r}
	for _, step := range []func(context.Context) error{p.partition, p.policies, p.roles, p.methods, p.rules, p.anonymous} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p.list, nil
}

// Apply makes all changes of a plan, telling of each after it was made. It stops at
// the first that fails.
func Apply(ctx context.Context, plan []Change, made func(Change)) error {
	for _, c := range plan {
		if err := c.Apply(ctx); err != nil {
			return err
		}
		if made != nil {
			made(c)
		}
	}
	return nil
}

func (p *planner) add(a Action, kind, name string, details []string, do func(context.Context) error) {
	p.list = append(p.list, Change{Action: a, Kind: kind, Name: name, Details: details, do: do})
}

func (p *planner) read(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func write(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// IsMissing reports whether err says that an object does not exist: servers answer 403 with this
// text, or 404 (spec: ecs.md section 9).
func IsMissing(err error) bool {
	var status api.StatusError
	if !errors.As(err, &status) {
		return false
	}
	return status.Code == http.StatusNotFound || status.Code == http.StatusForbidden && strings.Contains(status.Body, "ACL not found")
}

func (p *planner) partition(ctx context.Context) error {
	want := p.want.Partition
	if want == nil || want.Name == "default" {
		return nil
	}
	have, _, err := p.client.Partitions().Read(ctx, want.Name, p.read(ctx))
	if err != nil && !IsMissing(err) {
		return fmt.Errorf("read partition %q: %w", want.Name, err)
	}
	if err != nil || have == nil {
		p.add(Create, "partition", want.Name, nil, func(ctx context.Context) error {
			_, _, err := p.client.Partitions().Create(ctx, want, write(ctx))
			return err
		})
	}
	return nil
}

func (p *planner) policies(ctx context.Context) error {
	for _, want := range p.want.Policies {
		if err := p.policy(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) policy(ctx context.Context, want api.ACLPolicy) error {
	opts := p.in(ctx, want.Partition, want.Namespace)
	have, _, err := p.client.ACL().PolicyReadByName(want.Name, opts)
	if err != nil && !IsMissing(err) && !p.partitionIsNew(want.Partition) {
		return fmt.Errorf("read policy %q: %w", want.Name, err)
	}
	if err != nil || have == nil {
		p.add(Create, "policy", want.Name, nil, func(ctx context.Context) error {
			_, _, err := p.client.ACL().PolicyCreate(&want, write(ctx))
			return err
		})
		return nil
	}
	if p.want.KeepPolicies {
		return nil
	}
	var d details
	d.text("description", have.Description, want.Description)
	d.text("rules", strings.TrimSpace(have.Rules), strings.TrimSpace(want.Rules))
	if len(d) > 0 {
		want.ID = have.ID
		p.add(Update, "policy", want.Name, d, func(ctx context.Context) error {
			_, _, err := p.client.ACL().PolicyUpdate(&want, write(ctx))
			return err
		})
	}
	return nil
}

// partitionIsNew reports whether the plan makes a partition, in which there is nothing to read
// yet.
func (p *planner) partitionIsNew(name string) bool {
	return name != "" && slices.ContainsFunc(p.list, func(c Change) bool { return c.Kind == "partition" && c.Name == name })
}

func (p *planner) roles(ctx context.Context) error {
	for _, want := range p.want.Roles {
		opts := p.in(ctx, want.Partition, want.Namespace)
		have, _, err := p.client.ACL().RoleReadByName(want.Name, opts)
		if err != nil && !IsMissing(err) && !p.partitionIsNew(want.Partition) {
			return fmt.Errorf("read role %q: %w", want.Name, err)
		}
		if err != nil || have == nil {
			p.add(Create, "role", want.Name, nil, func(ctx context.Context) error {
				_, _, err := p.client.ACL().RoleCreate(&want, write(ctx))
				return err
			})
			continue
		}
		var d details
		for _, link := range want.Policies {
			if !slices.ContainsFunc(have.Policies, func(l *api.ACLLink) bool { return l.Name == link.Name }) {
				d = append(d, fmt.Sprintf("policies: %q is missing", link.Name))
				have.Policies = append(have.Policies, link)
			}
		}
		if len(d) > 0 {
			p.add(Update, "role", want.Name, d, func(ctx context.Context) error {
				_, _, err := p.client.ACL().RoleUpdate(have, write(ctx))
				return err
			})
		}
	}
	return nil
}

func (p *planner) rules(ctx context.Context) error {
	for _, want := range p.want.Rules {
		opts := p.in(ctx, want.Partition, want.Namespace)
		list, _, err := p.client.ACL().BindingRuleList(want.AuthMethod, opts)
		if err != nil && !IsMissing(err) && !p.partitionIsNew(want.Partition) {
			return fmt.Errorf("list binding rules of %q: %w", want.AuthMethod, err)
		}
		i := slices.IndexFunc(list, func(r *api.ACLBindingRule) bool {
			return r.BindType == want.BindType && r.BindName == want.BindName
		})
		name := fmt.Sprintf("%s: %s %s", want.AuthMethod, want.BindType, want.BindName)
		if i < 0 {
			p.add(Create, "binding rule", name, nil, func(ctx context.Context) error {
				_, _, err := p.client.ACL().BindingRuleCreate(&want, write(ctx))
				return err
			})
			continue
		}
		have := list[i]
		var d details
		d.text("description", have.Description, want.Description)
		d.text("selector", have.Selector, want.Selector)
		if len(d) > 0 {
			want.ID = have.ID
			p.add(Update, "binding rule", name, d, func(ctx context.Context) error {
				_, _, err := p.client.ACL().BindingRuleUpdate(&want, write(ctx))
				return err
			})
		}
	}
	return nil
}

const anonymousAccessor = "00000000-0000-0000-0000-000000000002"

// anonymous lets callers without a token read nodes and services, which calls between
// datacenters need (spec: ecs.md section 9).
func (p *planner) anonymous(ctx context.Context) error {
	want := p.want.AnonymousReads
	if want == nil {
		return nil
	}
	token, _, err := p.client.ACL().TokenRead(anonymousAccessor, p.read(ctx))
	if err != nil {
		return fmt.Errorf("read the anonymous token: %w", err)
	}
	if slices.ContainsFunc(token.Policies, func(l *api.ACLLink) bool { return l.Name == want.Name }) {
		return nil
	}
	keep := p.want.KeepPolicies
	p.want.KeepPolicies = true // it is shared with other integrations
	err = p.policy(ctx, *want)
	p.want.KeepPolicies = keep
	if err != nil {
		return err
	}
	p.add(Update, "token", "anonymous", []string{fmt.Sprintf("policies: %q is missing", want.Name)}, func(ctx context.Context) error {
		token.Policies = append(token.Policies, &api.ACLLink{Name: want.Name})
		_, _, err := p.client.ACL().TokenUpdate(token, write(ctx))
		return err
	})
	return nil
}

// details are the lines of what differs.
type details []string

func (d *details) text(what, have, want string) {
	if have != want {
		*d = append(*d, fmt.Sprintf("%s: %q becomes %q", what, have, want))
	}
}
