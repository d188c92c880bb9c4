package leader

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	// reconcileEvery is the time between looks at the members where nothing has changed.
	reconcileEvery = time.Minute

	// strangerTime is how long a node that gossip has never heard of keeps its place:
	// a leader that has just started has not met everybody yet.
	strangerTime = 2 * time.Minute

	serverService = "consul" // the service that every server is an instance of
)

// Nodes keeps the catalog's nodes in step with the members that gossip knows
// (catalog.md section 5). All its fields have to be set.
type Nodes struct {
	Members    func() []gossip.Member
	Changed    <-chan struct{} // receives after a member has changed
	Datacenter string
}

// nodeName names a node.
type nodeName struct{ partition, name string }

func nameOf(m gossip.Member) nodeName { return nodeName{m.Partition, strings.ToLower(m.Name)} }

// reconcile brings the catalog in step each time that a member or a partition has
// changed, until ctx is done. What agrees is not written.
func (l *Leader) reconcile(ctx context.Context) {
	met := map[nodeName]bool{} // members that were seen in this term
	began := l.now()
	for ctx.Err() == nil {
		changed := memdb.NewWatchSet()
		changed.Add(l.Nodes.Changed)
		l.retry(ctx, "the catalog could not be brought in step with the members", func(ctx context.Context) error {
			return l.reconcileAll(ctx, changed, met, l.now().Sub(began) < strangerTime)
		})
		wait, cancel := context.WithTimeout(ctx, reconcileEvery)
		_ = changed.WatchCtx(wait) // what ended the wait does not matter
		cancel()
	}
}

// reconcileAll looks at every member once, and then at the nodes that are no
// member's. It adds to changed what tells that a partition came or went.
func (l *Leader) reconcileAll(ctx context.Context, changed memdb.WatchSet, met map[nodeName]bool, young bool) error {
	members := l.Nodes.Members()
	there := map[nodeName]bool{}
	partitions, err := l.Store.Read().Partitions(changed)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Status == gossip.None {
			continue
		}
		met[nameOf(m)] = true
		if m.Status != gossip.Left {
			there[nameOf(m)] = true
		}
		if !slices.ContainsFunc(partitions, func(p *tenancy.Partition) bool { return p.Name == m.Partition && p.DeletedAt == nil }) {
			continue
		}
		if err := l.reconcileMember(ctx, m); err != nil {
			return err
		}
	}
	for _, p := range partitions {
		if p.DeletedAt != nil {
			continue
		}
		if err := l.dropStrangers(ctx, p.Name, there, met, young); err != nil {
			return err
		}
	}
	return nil
}

// reconcileMember writes what the catalog lacks about one member.
func (l *Leader) reconcileMember(ctx context.Context, m gossip.Member) error {
	tx := l.Store.Read()
	node, err := tx.Node(nil, m.Partition, m.Name)
	if err != nil {
		return err
	}
	switch m.Status {
	case gossip.Left:
		if node == nil || another(node, m) || m.Name == l.Node {
			return nil // this server takes itself out only by leading no more
		}
		return l.dropAgent(ctx, node)
	case gossip.Failed:
		if node == nil || another(node, m) {
			return nil
		}
	case gossip.Alive:
		if node != nil && another(node, m) {
			// Two members cannot have one name: the node that had it is no more.
			if err := l.dropNode(ctx, node); err != nil {
				return err
			}
			tx, node = l.Store.Read(), nil
		}
	case gossip.Leaving, gossip.None:
		return nil
	}
	cmd, due, err := l.registration(tx, node, m)
	if err != nil || !due {
		return err
	}
	_, err = l.Raft.Propose(ctx, cmd)
	return err
}

// another reports whether a node is not the member of its name.
func another(n *catalog.Node, m gossip.Member) bool {
	return n.ID != "" && m.ID != "" && !strings.EqualFold(n.ID, m.ID)
}

// registration returns what has to be written about a member that is alive or has
// failed, and whether anything has. What its agent has told about the node stays.
func (l *Leader) registration(tx *state.Tx, node *catalog.Node, m gossip.Member) (cmd fsm.Register, due bool, err error) {
	cmd.Node, cmd.SkipNodeUpdate = l.newNode(node, m), true
	if node == nil || m.Status == gossip.Alive && !sameAddress(node.Address, m.Addr) || node.ID == "" && m.ID != "" {
		cmd.SkipNodeUpdate, due = false, true
	}
	check := serfHealth(m)
	old, err := tx.Check(nil, check.Scope, m.Name, check.CheckID)
	if err != nil {
		return cmd, false, err
	}
	if old == nil || old.Status != check.Status || old.Output != check.Output {
		cmd.Checks, due = []catalog.Check{check}, true
	}
	if !m.Server || m.Status != gossip.Alive {
		return cmd, due, nil
	}
	server := serverInstance(m)
	had, err := tx.Instance(nil, server.Scope, m.Name, server.ID)
	if err != nil {
		return cmd, false, err
	}
	if had == nil || had.Port != server.Port || !maps.Equal(had.Meta, server.Meta) {
		cmd.Instance, due = server, true
	}
	return cmd, due, nil
}

// newNode returns the node of a member: as it is in the catalog, but where the member says
// that it is now, or new.
func (l *Leader) newNode(old *catalog.Node, m gossip.Member) catalog.Node {
	lan, wan := "lan_ipv4", "wan_ipv4"
	if addr, err := netip.ParseAddr(m.Addr); err == nil && addr.Unmap().Is6() {
		lan, wan = "lan_ipv6", "wan_ipv6"
	}
	addresses := map[string]string{"lan": m.Addr, lan: m.Addr, "wan": m.Addr, wan: m.Addr}
	release, _, _ := strings.Cut(m.Tags["build"], ":")
	n := catalog.Node{
		Node: m.Name, Datacenter: l.Nodes.Datacenter,
		Meta:  map[string]string{"consul-network-segment": m.Segment, "consul-version": release},
		Scope: tenancy.Scope{Partition: m.Partition, Namespace: tenancy.DefaultName},
	}
	if old != nil {
		n = *old
	}
	n.ID = strings.ToLower(m.ID)
	n.Address, n.TaggedAddresses = m.Addr, addresses
	return n
}

func sameAddress(a, b string) bool {
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return a == b || err1 == nil && err2 == nil && x.Unmap() == y.Unmap()
}

// serfHealth is the check that says whether gossip reaches a member.
func serfHealth(m gossip.Member) catalog.Check {
	c := catalog.Check{
		Node: m.Name, CheckID: catalog.SerfHealth, Name: "Serf Health Status",
		Status: catalog.Passing, Output: "Agent alive and reachable",
		Scope: tenancy.Scope{Partition: m.Partition, Namespace: tenancy.DefaultName},
	}
	if m.Status == gossip.Failed {
		c.Status, c.Output = catalog.Critical, "Agent not live or unreachable"
	}
	return c
}

// serverInstance is what a server is registered as (catalog.md section 2).
func serverInstance(m gossip.Member) *catalog.Instance {
	_, text, _ := net.SplitHostPort(m.ServerAddr)
	port, _ := strconv.Atoi(text) // 0 of a server that does not say
	release, _, _ := strings.Cut(m.Tags["build"], ":")
	meta := map[string]string{
		"raft_version": m.Tags["raft_vsn"], "non_voter": "false", "read_replica": "false", "version": release,
		"serf_protocol_current": strconv.Itoa(int(m.ProtocolCur)),
		"serf_protocol_min":     strconv.Itoa(int(m.ProtocolMin)),
		"serf_protocol_max":     strconv.Itoa(int(m.ProtocolMax)),
	}
	for _, tag := range []string{"grpc_port", "grpc_tls_port"} {
		if value := m.Tags[tag]; value != "" {
			meta[tag] = value
		}
	}
	return &catalog.Instance{Node: m.Name, Service: catalog.Service{
		ID: serverService, Service: serverService, Port: port, Meta: meta,
		Weights: catalog.Weights{Passing: 1, Warning: 1}, Scope: tenancy.Default,
	}}
}

// dropStrangers removes the nodes of a partition that had an agent, of which
// gossip knows nothing: those that it has forgotten at once, those that this
// leader has never met when it is not young any more.
func (l *Leader) dropStrangers(ctx context.Context, partition string, there, met map[nodeName]bool, young bool) error {
	tx := l.Store.Read()
	nodes, err := tx.Nodes(nil, partition)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		name := nodeName{partition, strings.ToLower(n.Node)}
		if there[name] || young && !met[name] || n.Node == l.Node {
			continue
		}
		if err := l.dropAgent(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// dropAgent removes a node, unless it never had an agent.
func (l *Leader) dropAgent(ctx context.Context, n *catalog.Node) error {
	check, err := l.Store.Read().Check(nil, n.Scope, n.Node, catalog.SerfHealth)
	if err != nil || check == nil {
		return err
	}
	return l.dropNode(ctx, n)
}

func (l *Leader) dropNode(ctx context.Context, n *catalog.Node) error {
	if _, err := l.Raft.Propose(ctx, fsm.Deregister{Scope: n.Scope, Node: n.Node}); err != nil {
		return err
	}
	l.Log.Info("removed a node from the catalog", "node", n.Node, logging.Partition, n.Partition)
	return nil
}
