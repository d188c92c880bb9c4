package gossip

import (
	"fmt"
	"sync"

	"github.com/hashicorp/serf/serf"

	"github.com/lictor/lictor/internal/tenancy"
)

// merge keeps out members that belong elsewhere, or that have the identity of
// another. It is asked for every message that says that a member lives, and
// each member says so many times over: it looks at all members only for an id that moves.
type merge struct {
	datacenter string
	name, id   string               // of this agent
	known      func() []serf.Member // nil knows nobody
	conflict   func(err error)      // is told of a member that has this agent's id; may be nil

	mu      sync.Mutex
	holders map[string]string // the member that last came with an id
	limit   int               // of holders, before those who are forgotten are dropped
}

// minHolders is for how many members none is dropped.
const minHolders = 64

// NotifyMerge refuses to merge with a cluster, or to hear of a member, of
// another datacenter, and to hear of a member with the id of another one that is there.
func (d *merge) NotifyMerge(members []*serf.Member) error {
	for _, m := range members {
		if dc := m.Tags["dc"]; dc != d.datacenter {
			return fmt.Errorf("Member '%s' part of wrong datacenter '%s'", m.Name, dc)
		}
		partition := orDefault(m.Tags["ap"])
		if partition == tenancy.DefaultName {
			continue
		}
		if m.Tags["role"] == roleServer {
			return fmt.Errorf("Member '%s' is a server in partition '%s'", m.Name, partition)
		}
		if err := tenancy.ValidatePartition(partition); err != nil {
			return fmt.Errorf("Member '%s' part of wrong partition: %w", m.Name, err)
		}
	}
	if len(members) == 1 {
		return d.another(members[0])
	}
	return nil // who of several is there and who is long gone is not said; of each that is, it is asked alone
}

// another refuses a member that is there and has the id of another: its data directory is a copy.
func (d *merge) another(m *serf.Member) error {
	id := m.Tags["id"]
	if id == "" || m.Status == serf.StatusLeft {
		return nil
	}
	if id == d.id && m.Name != d.name {
		err := fmt.Errorf("Member '%s' has conflicting node ID '%s' with this agent's ID", m.Name, id)
		if d.conflict != nil {
			d.conflict(err)
		}
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	holder, ok := d.holders[id]
	if holder == m.Name {
		return nil
	}
	if ok && d.alive(holder, id) {
		return fmt.Errorf("Member '%s' has conflicting node ID '%s' with member '%s'", m.Name, id, holder)
	}
	d.hold(id, m.Name)
	return nil
}

// alive reports whether a member lives and has that id.
func (d *merge) alive(name, id string) bool {
	for _, m := range d.members() {
		if m.Name == name {
			return m.Status == serf.StatusAlive && m.Tags["id"] == id
		}
	}
	return false
}

func (d *merge) members() []serf.Member {
	if d.known == nil {
		return nil
	}
	return d.known()
}

// hold keeps who has an id, and drops those whom the cluster has forgotten once they are half of all.
func (d *merge) hold(id, name string) {
	if len(d.holders) >= d.limit {
		kept := map[string]string{}
		for _, m := range d.members() {
			if key := m.Tags["id"]; key != "" && d.holders[key] == m.Name {
				kept[key] = m.Name
			}
		}
		d.holders, d.limit = kept, max(minHolders, 2*len(kept))
	}
	d.holders[id] = name
}
