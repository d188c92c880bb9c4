package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func partitionAt(p *tenancy.Partition) (tenancy.Scope, string) { return tenancy.Default, p.Name }

func namespaceAt(n *tenancy.Namespace) (tenancy.Scope, string) {
	return n.Scope().PartitionRoot(), n.Name
}

var (
	partitions = &resource[tenancy.Partition]{
		name:    TablePartitions,
		at:      partitionAt,
		rows:    store.NewTable("partitions", partitionAt),
		indexes: func(p *tenancy.Partition) (*uint64, *uint64) { return &p.CreateIndex, &p.ModifyIndex },
	}
	namespaces = &resource[tenancy.Namespace]{
		name:    TableNamespaces,
		at:      namespaceAt,
		rows:    store.NewTable("namespaces", namespaceAt),
		indexes: func(n *tenancy.Namespace) (*uint64, *uint64) { return &n.CreateIndex, &n.ModifyIndex },
	}
)

// Partition returns the partition with a name.
func (tx *Tx) Partition(ws memdb.WatchSet, name string) (*tenancy.Partition, error) {
	return partitions.rows.Get(tx.db, ws, tenancy.Default, name)
}

// Partitions returns all partitions, sorted by name.
func (tx *Tx) Partitions(ws memdb.WatchSet) ([]*tenancy.Partition, error) {
	return partitions.rows.List(tx.db, ws, tenancy.Default)
}

// PutPartition creates or replaces a partition. A new one gets its default namespace.
func (tx *Tx) PutPartition(p tenancy.Partition) error {
	if err := partitions.put(tx, p); err != nil {
		return err
	}
	n, err := tx.Namespace(nil, p.Name, tenancy.DefaultName)
	if err != nil || n != nil {
		return err
	}
	return tx.PutNamespace(tenancy.Namespace{
		Name: tenancy.DefaultName, Partition: p.Name, Description: tenancy.DefaultNamespaceDescription,
	})
}

// Namespace returns a namespace of a partition.
func (tx *Tx) Namespace(ws memdb.WatchSet, partition, name string) (*tenancy.Namespace, error) {
	return namespaces.rows.Get(tx.db, ws, tenancy.Scope{Partition: partition, Namespace: tenancy.DefaultName}, name)
}

// Namespaces returns the namespaces of a partition, sorted by name.
func (tx *Tx) Namespaces(ws memdb.WatchSet, partition string) ([]*tenancy.Namespace, error) {
	return namespaces.rows.List(tx.db, ws, tenancy.Scope{Partition: partition, Namespace: tenancy.DefaultName})
}

// PutNamespace creates or replaces a namespace, with the IDs of its links alone.
func (tx *Tx) PutNamespace(n tenancy.Namespace) error {
	if n.ACLs != nil {
		n.ACLs = &tenancy.NamespaceACLs{
			PolicyDefaults: storedTenancyLinks(n.ACLs.PolicyDefaults),
			RoleDefaults:   storedTenancyLinks(n.ACLs.RoleDefaults),
		}
	}
	return namespaces.put(tx, n)
}

func storedTenancyLinks(links []tenancy.Link) []tenancy.Link {
	var out []tenancy.Link
	for _, l := range links {
		out = append(out, tenancy.Link{ID: l.ID})
	}
	return out
}
