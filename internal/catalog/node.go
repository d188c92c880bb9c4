// Package catalog is the domain of what is found where: nodes, the service
// instances on them, and their checks (spec: catalog.md sections 2 to 4). It has
// no I/O and no clock.
package catalog

import "github.com/lictor/lictor/internal/tenancy"

// Node is a machine or a task that services run on. It lives in the default
// namespace of its partition; its name is unique there in any case.
type Node struct {
	ID              string // a UUID; "" for nodes without an agent
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	Locality        *Locality `json:",omitempty"`
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}
