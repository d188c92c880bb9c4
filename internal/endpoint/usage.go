package endpoint

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Usage is how many nodes and services there are, in all and by partition and
// namespace. Its JSON is the API's (agent.md section 17).
type Usage struct {
	Nodes                    int
	Services                 int // names
	ServiceInstances         int
	ConnectServiceInstances  map[string]int // by kind
	BillableServiceInstances int            // of applications

	PartitionNamespaceServices                 byScope[int]
	PartitionNamespaceServiceInstances         byScope[int]
	PartitionNamespaceBillableServiceInstances byScope[int]
	PartitionNamespaceConnectServiceInstances  byScope[map[string]int]
}

// byScope is something of each namespace, by partition.
type byScope[V any] map[string]map[string]V

// Usage says how much the catalog holds. It needs operator:read.
func (e *Catalog) Usage(ctx context.Context, who acl.Caller, r Read) (*Usage, Meta, error) {
	r.MinIndex = 0
	var out *Usage
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, _ memdb.WatchSet) (uint64, error) {
		if err := who.Require(tenancy.Default, acl.OperatorRead, ""); err != nil {
			return 0, err
		}
		rows, err := tx.Usage()
		out = sumUsage(rows)
		return tx.LastIndex(state.TableNodes, state.TableInstances), err
	})
	return out, meta, err
}

func sumUsage(rows []*catalog.Usage) *Usage {
	u := &Usage{
		ConnectServiceInstances:                    map[string]int{},
		PartitionNamespaceServices:                 byScope[int]{},
		PartitionNamespaceServiceInstances:         byScope[int]{},
		PartitionNamespaceBillableServiceInstances: byScope[int]{},
		PartitionNamespaceConnectServiceInstances:  byScope[map[string]int]{},
	}
	for _, kind := range catalog.MeshKinds() {
		u.ConnectServiceInstances[kind] = 0
	}
	for _, row := range rows {
		u.Nodes += row.Nodes
		u.Services += row.Services
		u.ServiceInstances += row.Instances
		u.BillableServiceInstances += row.Billable
		kinds := map[string]int{}
		for _, kind := range catalog.MeshKinds() {
			kinds[kind] = row.Connect[kind]
			u.ConnectServiceInstances[kind] += row.Connect[kind]
		}
		u.PartitionNamespaceServices.set(row.Scope, row.Services)
		u.PartitionNamespaceServiceInstances.set(row.Scope, row.Instances)
		u.PartitionNamespaceBillableServiceInstances.set(row.Scope, row.Billable)
		u.PartitionNamespaceConnectServiceInstances.set(row.Scope, kinds)
	}
	return u
}

func (m byScope[V]) set(s tenancy.Scope, v V) {
	if m[s.Partition] == nil {
		m[s.Partition] = map[string]V{}
	}
	m[s.Partition][s.Namespace] = v
}
