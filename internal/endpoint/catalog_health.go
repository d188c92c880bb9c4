package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/state"
)

// ServiceHealth is an instance with its node and the checks that say how it is:
// those of the node and its own, by id. All are shared and read-only.
type ServiceHealth struct {
	Node    *catalog.Node
	Service *catalog.Service
	Checks  []*catalog.Check
}

// ServiceHealth returns the instances of a service with their health, or with
// f.Connect what takes part in the mesh for it. A service that nobody knows has none.
func (e *Catalog) ServiceHealth(ctx context.Context, who acl.Caller, f Find) (*HealthAnswer, Meta, error) {
	var out *HealthAnswer
	meta, err := e.look(ctx, who, &f, ServiceHealth{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		index, err := v.watchInstances(ws)
		if err != nil || ws != nil && index <= f.MinIndex {
			return index, err // so that who waits holds no answer that is given to nobody
		}
		out = e.answers.of(v, index)
		return index, out.fill(v)
	})
	if err == nil && f.Near != "" {
		sortNear(e, &f, out.Rows, func(row ServiceHealth) string { return row.Node.Node })
	}
	return out, meta, err
}

func notPassing(c *catalog.Check) bool { return c.Status != catalog.Passing }

// IngressHealth returns the ingress gateways that lead to a service. Config entries
// say which these are; as long as none says so, there are none.
func (e *Catalog) IngressHealth(ctx context.Context, who acl.Caller, f Find) ([]ServiceHealth, Meta, error) {
	meta, err := e.look(ctx, who, &f, ServiceHealth{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		return v.tx.WatchService(ws, f.Scope, f.Name)
	})
	return []ServiceHealth{}, meta, err
}

// NodeChecks returns the checks of a node, and those of its instances in a namespace.
func (e *Catalog) NodeChecks(ctx context.Context, who acl.Caller, f Find) ([]*catalog.Check, Meta, error) {
	return e.checks(ctx, who, f, func(v *view, ws memdb.WatchSet) ([]*catalog.Check, uint64, error) {
		n, index, err := v.node(ws)
		if err != nil || n == nil {
			return nil, index, err
		}
		rows, err := v.tx.NodeChecks(nil, f.Scope, n.Node)
		return rows, index, err
	})
}

// ServiceChecks returns the checks of a service's instances.
func (e *Catalog) ServiceChecks(ctx context.Context, who acl.Caller, f Find) ([]*catalog.Check, Meta, error) {
	return e.checks(ctx, who, f, func(v *view, ws memdb.WatchSet) ([]*catalog.Check, uint64, error) {
		index, err := v.tx.WatchService(ws, f.Scope, f.Name)
		if err != nil {
			return nil, 0, err
		}
		rows, err := v.tx.ServiceChecks(nil, f.Scope, f.Name)
		return rows, index, err
	})
}

// ChecksInState returns the checks of a namespace with a status, or all of them
// with "any". Those of maintenance mode are found as "maintenance". No check has any other status.
func (e *Catalog) ChecksInState(ctx context.Context, who acl.Caller, f Find) ([]*catalog.Check, Meta, error) {
	status := f.Name
	if status == catalog.Maintenance {
		status = catalog.Critical
	}
	return e.checks(ctx, who, f, func(v *view, ws memdb.WatchSet) ([]*catalog.Check, uint64, error) {
		rows, err := v.tx.ChecksInState(ws, f.Scope, status)
		if f.Name == catalog.Maintenance {
			rows = slices.DeleteFunc(rows, func(c *catalog.Check) bool { return !maintains(c.CheckID) })
		}
		return rows, v.tx.LastIndex(state.TableChecks), err
	})
}

// maintains reports whether a check is that of maintenance mode (agent.md section 16.4).
func maintains(checkID string) bool {
	return checkID == "_node_maintenance" || strings.HasPrefix(checkID, "_service_maintenance:")
}

// checks returns those of the checks that list returns that are asked for.
func (e *Catalog) checks(ctx context.Context, who acl.Caller, f Find, list func(*view, memdb.WatchSet) ([]*catalog.Check, uint64, error)) ([]*catalog.Check, Meta, error) {
	var out []*catalog.Check
	meta, err := e.look(ctx, who, &f, catalog.Check{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		rows, index, err := list(v, ws)
		out = make([]*catalog.Check, 0, len(rows))
		for _, c := range rows {
			if !v.readsCheck(c) || !v.filter.Match(c) {
				continue
			}
			if len(f.NodeMeta) > 0 {
				n, err := v.tx.Node(nil, c.Partition, c.Node)
				if err != nil {
					return 0, err
				}
				if n == nil || !v.suits(n) {
					continue
				}
			}
			out = append(out, c)
		}
		return index, err
	})
	sortNear(e, &f, out, func(c *catalog.Check) string { return c.Node })
	return out, meta, err
}
