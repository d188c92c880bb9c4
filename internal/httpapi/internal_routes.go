package httpapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// Cluster is what a server's internal routes are answered from. All have to be set.
type Cluster struct {
	Raft         Raft
	Resolver     *endpoint.Resolver
	Changes      *endpoint.Changes
	AutoEncrypts *endpoint.AutoEncrypts
	Leafs        *endpoint.Leafs
	Authorizes   *endpoint.ConnectAuthorizes
}

// Raft is this server's part in replication.
type Raft interface {
	Commitment(ctx context.Context, verify bool) (raftnode.Commitment, error)
	Leader() (addr, id string)
	Configuration() (servers []raftnode.Server, index uint64)
	LogStats() autopilot.Stats
}

// internalRoutes are served on the server port alone, and never passed on.
var internalRoutes = []route{
	{http.MethodGet, "/internal/read-index", Local, "none: whoever may connect may ask for a number", "internal.read_index", (*API).readIndex, fromAgent},
	{http.MethodGet, "/internal/raft-log", Local, "none: how long a log is, is no secret", "internal.raft_log", (*API).raftLog, fromAgent},
	{http.MethodGet, "/internal/servers", Local, "none: agents have to find servers", "internal.servers", (*API).servers, fromAgent},
	{http.MethodPost, peer.SignPath, Local, "node:write", "internal.auto_encrypt.sign", (*API).signAgent, anyPartition},
	{http.MethodPost, "/internal/connect/sign", Local, "service:write", "internal.connect.sign", (*API).signLeaf, anyPartition | fromAgent},
	{http.MethodPost, "/internal/connect/authorize", Local, "service:write", "internal.connect.authorize", (*API).connectAuthorize, anyPartition | fromAgent},
	{http.MethodPost, "/internal/acl/resolve", Local, "none: the secret in the body is what is asked about", "internal.acl.resolve", (*API).aclResolve, fromAgent},
	{http.MethodGet, "/internal/acl/changes", Local, "none: accessors are no secrets", "internal.acl.changes", (*API).aclChanges, fromAgent},
}

var errNotPeer = errs.New(errs.Denied, "Permission denied: this needs the certificate of an agent of this datacenter")

// PeerHandler returns the handler of the server port: the internal routes, and
// every public one that other agents pass on. What the configuration says about the public ports
// does not count here: the agent that a request came to first has applied its own.
func (a *API) PeerHandler() http.Handler {
	p := *a
	p.peer, p.Config, p.UIEnabled = true, Config{}, false
	table := slices.Clone(internalRoutes)
	for _, r := range routes {
		if r.served != Local {
			table = append(table, r)
		}
	}
	h := p.handlerOf(table)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(endpoint.Hurried(r.Context()))
		if caller := forwardedFor(r); caller.IsValid() {
			r.RemoteAddr = net.JoinHostPort(caller.String(), "0")
		}
		h.ServeHTTP(w, r)
	})
}

// forwardedFor returns the address of the caller for whom an agent has passed
// r on. What stands before the last address was claimed by the caller itself.
func forwardedFor(r *http.Request) netip.Addr {
	if peer.From(r).Kind == peer.Nobody || r.Header.Get(peer.HopsHeader) == "" {
		return netip.Addr{}
	}
	chain := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	addr, _ := netip.ParseAddr(strings.TrimSpace(chain[strings.LastIndexByte(chain, ',')+1:]))
	return addr
}

// admits reports whether who is on the other end may use the route.
func (r *route) admits(req *http.Request) bool {
	return r.options&fromAgent == 0 || peer.From(req).Kind >= peer.Agent
}

// readIndex handles GET /internal/read-index: what a read has to have applied, by
// the leader's lease or with ?verify by proof.
func (a *API) readIndex(r *request) (any, error) {
	return a.Cluster.Raft.Commitment(r.Context(), r.query.Has("verify"))
}

// raftLog handles GET /internal/raft-log: how far this server's log is.
func (a *API) raftLog(*request) (any, error) { return a.Cluster.Raft.LogStats(), nil }

// peerServer is a server in the answer of /internal/servers.
type peerServer struct {
	ID      string
	Address string // of its server port
	Voter   bool
	Leader  bool
}

// servers handles GET /internal/servers.
func (a *API) servers(*request) (any, error) {
	_, leader := a.Cluster.Raft.Leader()
	known, _ := a.Cluster.Raft.Configuration()
	list := make([]peerServer, len(known))
	for i, s := range known {
		list[i] = peerServer{ID: s.ID, Address: s.Address, Voter: s.Voter, Leader: s.ID == leader}
	}
	return list, nil
}

// signAgent handles POST /internal/auto-encrypt/sign.
func (a *API) signAgent(r *request) (any, error) {
	var req endpoint.SignRequest
	if err := r.decodeScoped("Request decode failed", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Cluster.AutoEncrypts.Sign(r.Context(), r.caller, req)
}

// signLeaf handles POST /internal/connect/sign.
func (a *API) signLeaf(r *request) (any, error) {
	var req endpoint.LeafRequest
	if err := r.decode("Request decode failed", &req); err != nil {
		return nil, err
	}
	return a.Cluster.Leafs.Sign(r.Context(), r.caller, req)
}

// connectAuthorize handles POST /internal/connect/authorize.
func (a *API) connectAuthorize(r *request) (any, error) {
	var req endpoint.ConnectAuthorize
	if err := r.decodeScoped("Request decode failed", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Cluster.Authorizes.Authorize(r.Context(), r.caller, req)
}

// aclResolve handles POST /internal/acl/resolve.
func (a *API) aclResolve(r *request) (any, error) {
	var req endpoint.ResolveRequest
	if err := r.decode("Request decode failed", &req); err != nil {
		return nil, err
	}
	return a.Cluster.Resolver.Describe(r.Context(), req)
}

// stream is an answer that is written while it comes into being.
type stream func(w http.ResponseWriter)

// aclChanges handles GET /internal/acl/changes. The stream ends with the
// request, and with a client that does not take what it is told.
func (a *API) aclChanges(r *request) (any, error) {
	return stream(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		control, lines := http.NewResponseController(w), json.NewEncoder(w)
		feed := a.Cluster.Changes.Feed()
		for {
			changes, err := feed.Next(r.Context())
			if err != nil {
				return
			}
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
			for _, c := range changes {
				if err := lines.Encode(c); err != nil {
					return
				}
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
	}), nil
}
