package aclsetup

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

// PlanDestroy returns what has to go so that nothing of r is left but its partition and the
// anonymous token's policy, which others may use. An auth method takes its tokens and rules
// with it.
func (r Resources) PlanDestroy(ctx context.Context, client *api.Client) ([]Change, error) {
	p := &planner{client: client, want: r}
	for _, m := range r.Methods {
		have, _, err := client.ACL().AuthMethodRead(m.Name, p.in(ctx, m.Partition, m.Namespace))
		if err := p.gone(err, have != nil, "auth method", m.Name, func(ctx context.Context) error {
			_, err := client.ACL().AuthMethodDelete(m.Name, writeIn(ctx, m.Partition, m.Namespace))
			return err
		}); err != nil {
			return nil, err
		}
	}
	for _, role := range r.Roles {
		have, _, err := client.ACL().RoleReadByName(role.Name, p.in(ctx, role.Partition, role.Namespace))
		if err := p.gone(err, have != nil, "role", role.Name, func(ctx context.Context) error {
			_, err := client.ACL().RoleDelete(have.ID, writeIn(ctx, role.Partition, role.Namespace))
			return err
		}); err != nil {
			return nil, err
		}
	}
	for _, policy := range r.Policies {
		have, _, err := client.ACL().PolicyReadByName(policy.Name, p.in(ctx, policy.Partition, policy.Namespace))
		if err := p.gone(err, have != nil, "policy", policy.Name, func(ctx context.Context) error {
			_, err := client.ACL().PolicyDelete(have.ID, writeIn(ctx, policy.Partition, policy.Namespace))
			return err
		}); err != nil {
			return nil, err
		}
	}
	return slices.Clip(p.list), nil
}

func (p *planner) gone(err error, there bool, kind, name string, do func(context.Context) error) error {
	if err != nil && !IsMissing(err) {
		return fmt.Errorf("read %s %q: %w", kind, name, err)
	}
	if err == nil && there {
		p.add(Delete, kind, name, nil, do)
	}
	return nil
}

func (p *planner) in(ctx context.Context, partition, namespace string) *api.QueryOptions {
	opts := p.read(ctx)
	opts.Partition, opts.Namespace = partition, namespace
	return opts
}

func writeIn(ctx context.Context, partition, namespace string) *api.WriteOptions {
	opts := write(ctx)
	opts.Partition, opts.Namespace = partition, namespace
	return opts
}
