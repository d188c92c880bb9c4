package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

// Gossip is this agent among the members of its cluster.
type Gossip interface {
	Membership
	Keyring
	Coordinates
}

// Membership is who belongs to the cluster. Join fails with gossip.Errors,
// ForceLeave with errs.NotFound for a name that nobody has.
type Membership interface {
	Members() []gossip.Member
	Join(ctx context.Context, addrs []string) (int, error)
	ForceLeave(name string, prune bool) error
}

var memberRoutes = []route{
	{http.MethodGet, "/v1/agent/members", Local, "node:read", "agent.members", (*API).agentMembers, anyPartition},
	{http.MethodPut, "/v1/agent/join/{addr}", Local, "agent:write", "agent.join", (*API).agentJoin, 0},
	{http.MethodPut, "/v1/agent/force-leave/{node}", Local, "operator:write", "agent.force_leave", (*API).agentForceLeave, 0},
}

// allSegments is the segment of a request for members of every one.
const allSegments = "_all"

var errNoWAN = errs.New(errs.Invalid, "there is no WAN to join: the cluster is one datacenter")

// AgentMember returns m as the API shows it.
func AgentMember(m gossip.Member) Member {
	return Member{
		Name: m.Name, Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: int(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

// agentMembers handles GET /v1/agent/members. A server shows the members of
// every partition unless it is asked for one.
func (a *API) agentMembers(r *request) (any, error) {
	wan := r.query.Has("wan")
	filter, err := memberFilter(r.query.Get("filter"))
	if err != nil {
		return nil, err
	}
	list := []Member{}
	for _, m := range a.Gossip.Members() {
		if wan && !m.Server || !inSegment(m, r.query.Get("segment")) || !r.inPool(m) {
			continue
		}
		if !r.caller.Allowed(memberScope(m), acl.NodeRead, m.Name) {
			r.filtered = !r.caller.Anonymous()
			continue
		}
		shown := AgentMember(m)
		if wan {
			shown.Name += "." + a.Datacenter
		}
		if filter(shown) {
			list = append(list, shown)
		}
	}
	return list, nil
}

// inPool reports whether m gossips in the partition that r names: the agents
// there, and every server.
func (r *request) inPool(m gossip.Member) bool {
	p := r.named.Partition
	return p == "" || m.Server || strings.EqualFold(p, m.Partition)
}

// inSegment reports whether m is in a network segment. Servers are in all.
func inSegment(m gossip.Member, segment string) bool {
	return segment == "" || segment == allSegments || m.Server || segment == m.Segment
}

// memberScope is where the permissions about a member are looked up.
func memberScope(m gossip.Member) tenancy.Scope {
	return tenancy.Scope{Partition: m.Partition, Namespace: tenancy.DefaultName}
}

// memberFilter returns whether a member matches text, a filter over Name, Addr,
// Port, Status and Tags.
func memberFilter(text string) (func(Member) bool, error) {
	f, err := filter.Parse(text, memberFields(Member{}))
	return func(m Member) bool { return f.Match(memberFields(m)) }, err
}

func memberFields(m Member) map[string]any {
	return map[string]any{
		"Name": m.Name, "Addr": m.Addr, "Port": strconv.Itoa(int(m.Port)), "Status": strconv.Itoa(m.Status), "Tags": m.Tags,
	}
}

// agentJoin handles PUT /v1/agent/join/:address.
func (a *API) agentJoin(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentWrite); err != nil {
		return nil, err
	}
	if r.query.Has("wan") {
		return nil, errNoWAN
	}
	_, err := a.Gossip.Join(r.Context(), []string{r.PathValue("addr")})
	var failures gossip.Errors
	if errors.As(err, &failures) {
		return nil, &statusError{http.StatusInternalServerError, failures.Error()}
	}
	return empty{}, err
}

// agentForceLeave handles PUT /v1/agent/force-leave/:node. In the WAN a
// server's name ends in its datacenter's.
func (a *API) agentForceLeave(r *request) (any, error) {
	if err := r.caller.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return nil, err
	}
	name := r.PathValue("node")
	if r.query.Has("wan") {
		name = strings.TrimSuffix(name, "."+a.Datacenter)
	}
	err := a.Gossip.ForceLeave(name, r.query.Has("prune"))
	if errs.KindOf(err) == errs.NotFound {
		return nil, &statusError{http.StatusInternalServerError, err.Error()}
	}
	return empty{}, err
}
