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
	r := reconciler{Leader: l, met: map[nodeName]bool{}, wrong: map[nodeName]time.Time{}, youngUntil: l.now().Add(strangerTime)}
	for ctx.Err() == nil {
		changed := memdb.NewWatchSet()
		changed.Add(l.Nodes.Changed)
		l.retry(ctx, "the catalog could not be brought in step with the members", func(ctx context.Context) error {
			return r.round(ctx, changed)
		})
		wait, cancel := context.WithTimeout(ctx, reconcileEvery)
		_ = changed.WatchCtx(wait) // what ended the wait does not matter
		cancel()
	}
}

// reconciler is what a term has seen so far.
type reconciler struct {
	*Leader
	met        map[nodeName]bool      // members
	wrong      map[nodeName]time.Time // nodes at another address than their member, since when
	youngUntil time.Time              // there may be members that it has not met
}

// round looks at every member once, and then at the nodes that are no
// member's. It adds to changed what tells that a partition came or went.
func (r *reconciler) round(ctx context.Context, changed memdb.WatchSet) error {
	members := r.Nodes.Members()
	there := map[nodeName]bool{}
	partitions, err := r.Store.Read().Partitions(changed)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Status == gossip.None {
			continue
		}
		r.met[nameOf(m)] = true
		if m.Status != gossip.Left {
			there[nameOf(m)] = true
		}
		if !slices.ContainsFunc(partitions, func(p *tenancy.Partition) bool { return p.Name == m.Partition && p.DeletedAt == nil }) {
			continue
		}
		if err := r.member(ctx, m); err != nil {
			return err
		}
	}
	for _, p := range partitions {
		if p.DeletedAt != nil {
			continue
		}
		if err := r.dropStrangers(ctx, p.Name, there); err != nil {
			return err
		}
	}
	return nil
}

// member writes what the catalog lacks about one member.
func (r *reconciler) member(ctx context.Context, m gossip.Member) error {
	tx := r.Store.Read()
	node, err := tx.Node(nil, m.Partition, m.Name)
	if err != nil {
		return err
	}
	switch m.Status {
	case gossip.Left:
		if node == nil || another(node, m) || m.Name == r.Node {
			return nil // this server takes itself out only by leading no more
		}
		return r.dropAgent(ctx, node)
	case gossip.Failed:
		if node == nil || another(node, m) {
			return nil
		}
	case gossip.Alive:
		if node != nil && another(node, m) {
			// Two members cannot have one name: the node that had it is no more.
			if err := r.dropNode(ctx, node); err != nil {
				return err
			}
			tx, node = r.Store.Read(), nil
		}
	case gossip.Leaving, gossip.None:
		return nil
	}
	cmd, due, err := r.registration(tx, node, m)
	if err != nil || !due {
		return err
	}
	_, err = r.Raft.Propose(ctx, cmd)
	return err
}

// another reports whether a node is not the member of its name.
func another(n *catalog.Node, m gossip.Member) bool {
	return n.ID != "" && m.ID != "" && !strings.EqualFold(n.ID, m.ID)
}

// registration returns what has to be written about a member that is alive or has
// failed, and whether anything has. What its agent has told about the node stays, also
// where it does so at this moment; only an address that it does not correct is corrected.
func (r *reconciler) registration(tx *state.Tx, node *catalog.Node, m gossip.Member) (cmd fsm.Register, due bool, err error) {
	cmd.Node, cmd.SkipNodeUpdate = r.newNode(node, m), true
	if due = node == nil; !due && r.staysWrong(node, m) {
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

// staysWrong reports whether the catalog has had a node at another address than its living
// member, or without its id, for so long that its agent will not say so itself.
func (r *reconciler) staysWrong(n *catalog.Node, m gossip.Member) bool {
	name := nameOf(m)
	if m.Status != gossip.Alive || sameAddress(n.Address, m.Addr) && (n.ID != "" || m.ID == "") {
		delete(r.wrong, name)
		return false
	}
	since, known := r.wrong[name]
	if !known {
		r.wrong[name] = r.now()
	}
	return known && r.now().Sub(since) >= reconcileEvery
}

// newNode returns the node of a member: as it is in the catalog, but where the member says
// that it is now, or new.
func (r *reconciler) newNode(old *catalog.Node, m gossip.Member) catalog.Node {
	lan, wan := "lan_ipv4", "wan_ipv4"
	if addr, err := netip.ParseAddr(m.Addr); err == nil && addr.Unmap().Is6() {
		lan, wan = "lan_ipv6", "wan_ipv6"
	}
	addresses := map[string]string{"lan": m.Addr, lan: m.Addr, "wan": m.Addr, wan: m.Addr}
	release, _, _ := strings.Cut(m.Tags["build"], ":")
	n := catalog.Node{
		Node: m.Name, Datacenter: r.Nodes.Datacenter,
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
func (r *reconciler) dropStrangers(ctx context.Context, partition string, there map[nodeName]bool) error {
	tx := r.Store.Read()
	nodes, err := tx.Nodes(nil, partition)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		name := nodeName{partition, strings.ToLower(n.Node)}
		if there[name] || r.now().Before(r.youngUntil) && !r.met[name] || n.Node == r.Node {
			continue
		}
		if err := r.dropAgent(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// dropAgent removes a node, unless it never had an agent.
func (r *reconciler) dropAgent(ctx context.Context, n *catalog.Node) error {
	check, err := r.Store.Read().Check(nil, n.Scope, n.Node, catalog.SerfHealth)
	if err != nil || check == nil {
		return err
	}
	return r.dropNode(ctx, n)
}

func (r *reconciler) dropNode(ctx context.Context, n *catalog.Node) error {
	if _, err := r.Raft.Propose(ctx, fsm.Deregister{Scope: n.Scope, Node: n.Node}); err != nil {
		return err
	}
	r.Log.Info("removed a node from the catalog", "node", n.Node, logging.Partition, n.Partition)
	return nil
}
