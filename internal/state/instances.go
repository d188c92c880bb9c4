package state

import (
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// onNode is the key of something with an ID on a node. No node's name has a zero byte.
func onNode(node, id string) string { return fold(node) + "\x00" + id }

func instanceAt(i *catalog.Instance) (tenancy.Scope, string) { return i.Scope, onNode(i.Node, i.ID) }

var (
	instancesByNode = store.Many("node", func(i *catalog.Instance, add func(tenancy.Scope, string)) {
		add(i.PartitionRoot(), fold(i.Node))
	})
	instancesByService = store.Many("service", func(i *catalog.Instance, add func(tenancy.Scope, string)) {
		add(i.Scope, fold(i.Service.Service))
	})
	instancesByConnect = store.Many("connect", func(i *catalog.Instance, add func(tenancy.Scope, string)) {
		if name := i.ConnectName(); name != "" {
			add(i.Scope, fold(name))
		}
	})

	instances = &resource[catalog.Instance]{
		name:    TableInstances,
		at:      instanceAt,
		rows:    store.NewTable("instances", instanceAt, instancesByNode, instancesByService, instancesByConnect),
		indexes: func(i *catalog.Instance) (*uint64, *uint64) { return &i.CreateIndex, &i.ModifyIndex },
	}
)

// Instance returns the instance with an ID on a node.
func (tx *Tx) Instance(ws memdb.WatchSet, s tenancy.Scope, node, id string) (*catalog.Instance, error) {
	return instances.rows.Get(tx.db, ws, s, onNode(node, id))
}

// Instances returns the instances of s by node and ID. s may be the wildcard namespace.
func (tx *Tx) Instances(ws memdb.WatchSet, s tenancy.Scope) ([]*catalog.Instance, error) {
	return instances.rows.List(tx.db, ws, s)
}

// NodeInstances returns the instances on a node that are in s, which may be the wildcard
// namespace. ws hears of those in other namespaces too.
func (tx *Tx) NodeInstances(ws memdb.WatchSet, s tenancy.Scope, node string) ([]*catalog.Instance, error) {
	all, err := instances.rows.By(tx.db, ws, instancesByNode, s.PartitionRoot(), fold(node))
	return inNamespace(all, s, func(i *catalog.Instance) tenancy.Scope { return i.Scope }), err
}

// inNamespace returns the rows that are in s, which may be the wildcard namespace of their partition.
func inNamespace[R any](rows []*R, s tenancy.Scope, scope func(*R) tenancy.Scope) []*R {
	if s.Namespace == tenancy.Wildcard {
		return rows
	}
	var out []*R
	for _, r := range rows {
		if scope(r) == s {
			out = append(out, r)
		}
	}
	return out
}

// ServiceInstances returns the instances with a service name, in any case, by node and ID.
// Their service's mark is the better thing to watch: see WatchService.
func (tx *Tx) ServiceInstances(ws memdb.WatchSet, s tenancy.Scope, name string) ([]*catalog.Instance, error) {
	return instances.rows.By(tx.db, ws, instancesByService, s, fold(name))
}

// ConnectInstances returns the instances that take mesh traffic for a service: its
// sidecar proxies, and its instances that are native. See WatchConnect.
func (tx *Tx) ConnectInstances(ws memdb.WatchSet, s tenancy.Scope, name string) ([]*catalog.Instance, error) {
	return instances.rows.By(tx.db, ws, instancesByConnect, s, fold(name))
}

// PutInstance creates or replaces the instance with its ID on its node, which has to exist. One
// that takes mesh traffic gets its service's virtual IP. Its checks get its name and tags.
func (tx *Tx) PutInstance(i catalog.Instance) error {
	old, err := tx.Instance(nil, i.Scope, i.Node, i.ID)
	if err != nil {
		return err
	}
	if name := i.ConnectName(); name != "" {
		address, err := tx.assignVirtualIP(i.Scope, name)
		if err != nil {
			return err
		}
		i.TaggedAddresses = maps.Clone(i.TaggedAddresses)
		if i.TaggedAddresses == nil {
			i.TaggedAddresses = map[string]catalog.ServiceAddress{}
		}
		i.TaggedAddresses[catalog.VirtualTag] = catalog.ServiceAddress{Address: address, Port: i.Port}
	}
	changed, err := instances.change(tx, i)
	if err != nil || !changed {
		return err
	}
	if err := tx.instanceChanged(old, &i); err != nil || old == nil {
		return err
	}
	return tx.relabelChecks(&i)
}

// DeleteInstance removes an instance, if it exists, with its checks.
func (tx *Tx) DeleteInstance(s tenancy.Scope, node, id string) error {
	old, err := tx.Instance(nil, s, node, id)
	if err != nil || old == nil {
		return err
	}
	its, err := tx.ownChecks(nil, old)
	if err != nil {
		return err
	}
	for _, c := range its {
		if err := tx.DeleteCheck(c.Scope, c.Node, c.CheckID); err != nil {
			return err
		}
	}
	if err := instances.remove(tx, s, onNode(node, id)); err != nil {
		return err
	}
	return tx.instanceChanged(old, nil)
}

// instanceChanged brings in step with the instances what is kept about their names. Either may be nil.
func (tx *Tx) instanceChanged(old, now *catalog.Instance) error {
	i := old
	if now != nil {
		i = now
	}
	if err := tx.mark(i.PartitionRoot(), markNode, i.Node); err != nil {
		return err
	}
	if err := tx.countInstance(old, now); err != nil {
		return err
	}
	if now != nil {
		if err := tx.joinName(now); err != nil {
			return err
		}
		if err := tx.markServices(now); err != nil {
			return err
		}
	}
	if old == nil {
		return nil
	}
	return tx.leaveNames(old, now)
}
