package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/leader"
	"github.com/lictor/lictor/internal/logging"
)

// serverAPI is the API as callers see it, and as other agents do.
type serverAPI struct{ public, peer http.Handler }

// assemble builds the operations and their edges, and the leader's tasks.
func (s *server) assemble() *httpapi.API {
	s.forward = &forward.Forwarder{Client: s.peers, Leader: s.raft.Route, Hold: s.cfg.RPCHold}
	s.consistency = &endpoint.Consistency{Raft: s.raft, Ask: s.forward.ReadIndex, Hold: s.cfg.RPCHold}
	s.changes = &endpoint.Changes{CatchUp: s.consistency.CatchUp}
	s.store.Observe(s.changes.Note)
	s.asker = &autopilot.Asker{Self: s.nodeID, Local: s.raft.LogStats, Remote: s.forward.LogStats, Log: logging.Named(s.log, "server")}
	pilot := &leader.Autopilot{Peers: s.raft, Members: s.gossip.Members, Changed: s.members, Asker: s.asker, Initial: s.cfg.Autopilot}
	resolver := &endpoint.Resolver{
		Store:              s.store,
		CatchUp:            s.consistency.CatchUp,
		Applied:            s.raft.Applied,
		Enabled:            s.cfg.ACL.Enabled,
		DefaultPolicyAllow: s.cfg.ACL.DefaultPolicy == "allow",
		DownPolicy:         s.cfg.ACL.DownPolicy,
		Datacenter:         s.cfg.Datacenter,
		NodeName:           s.cfg.NodeName,
		Recovery:           func() logging.Secret { return s.tokens.Get(httpapi.TokenRecovery) },
		Metrics:            s.metrics,
	}
	backend := &endpoint.Backend{
		Store:       s.store,
		Raft:        s.raft,
		Resolver:    resolver,
		Fresh:       s.consistency.Fresh,
		Contact:     s.contact,
		DefaultWait: s.cfg.DefaultQueryTime,
		MaxWait:     s.cfg.MaxQueryTime,
	}
	verifiers := &endpoint.Verifiers{Types: []authmethod.Type{&awsiam.Type{
		STSEndpoint: awsEndpoint("STS"),
		IAMEndpoint: awsEndpoint("IAM"),
		Metrics:     s.metrics,
		Admit:       s.admitLogin(),
	}}}
	s.leader = &leader.Leader{
		Raft:              s.raft,
		Store:             s.store,
		Log:               logging.Named(s.log, "server"),
		Node:              s.cfg.NodeName,
		ACLs:              s.cfg.ACL.Enabled,
		InitialManagement: s.cfg.ACL.Tokens.InitialManagement,
		MeshCA:            s.meshCA(),
		Entries:           s.cfg.BootstrapEntries,
		Autopilot:         pilot,
		Renewals:          &kv.Renewals{},
		Nodes:             &leader.Nodes{Members: s.gossip.Members, Changed: s.nodes, Datacenter: s.cfg.Datacenter},
		Began:             sync.OnceFunc(func() { close(s.led) }),
	}
	intentions := &endpoint.Intentions{Backend: backend, DefaultPolicy: s.cfg.DefaultIntentionPolicy}
	s.openMesh(backend, intentions)
	agent := s.agent(s.stats)
	agent.Peers = s.raft.Peers
	agent.Ready = s.canRead
	agent.Leader = func() string {
		addr, _ := s.raft.Leader()
		return addr
	}
	a := &httpapi.API{
		Resolver:     resolver,
		Tokens:       &endpoint.Tokens{Backend: backend},
		Policies:     &endpoint.Policies{Backend: backend},
		Roles:        &endpoint.Roles{Backend: backend},
		Templates:    &endpoint.Templates{Backend: backend},
		AuthMethods:  &endpoint.AuthMethods{Backend: backend, Verifiers: verifiers},
		BindingRules: &endpoint.BindingRules{Backend: backend, Verifiers: verifiers},
		Logins:       s.logins(backend, verifiers),
		Bootstraps:   s.bootstraps(backend),
		Partitions:   &endpoint.Partitions{Backend: backend},
		Namespaces:   &endpoint.Namespaces{Backend: backend},
		Authorizes:   &endpoint.Authorizes{Backend: backend},
		CARoots:      s.roots,
		CAConfigs:    &endpoint.CAConfigs{Backend: backend, Providers: ca.BuiltInProviders(), Off: !s.cfg.mesh()},
		Mesh:         s.mesh,
		KVs:          &endpoint.KVs{Backend: backend, ListPolicy: s.cfg.ACL.EnableKeyListPolicy},
		Sessions:     &endpoint.Sessions{Backend: backend, Renewals: s.leader.Renewals, MinTTL: s.cfg.SessionTTLMin},
		Txns: &endpoint.Txns{
			Backend: backend, Asker: s.raft, ListPolicy: s.cfg.ACL.EnableKeyListPolicy, Datacenter: s.cfg.Datacenter,
		},
		Snapshots:   &endpoint.Snapshots{Backend: backend, Node: s.raft, TempDir: s.cfg.DataDir},
		RaftServers: &endpoint.RaftServers{Backend: backend, Peers: s.raft, Members: s.servers, Asker: s.asker},
		Catalog:     &endpoint.Catalog{Backend: backend, Datacenter: s.cfg.Datacenter, Coordinates: s.gossip.Coordinates},
		Coordinates: &endpoint.Coordinates{Backend: backend, Measured: s.gossip.Coordinates},
		Entries:     &endpoint.ConfigEntries{Backend: backend},
		Intentions:  intentions,
		Autopilots:  &endpoint.Autopilots{Backend: backend, Initial: s.cfg.Autopilot, Look: pilot.State},
		Local:       s.local,
		Events:      s.events,
		Datacenter:  s.cfg.Datacenter,
		NodeName:    s.cfg.NodeName,
		Partition:   s.cfg.Partition,
		Dev:         s.cfg.Dev,
		UIEnabled:   s.cfg.UIEnabled,
		Debug:       s.cfg.EnableDebug,
		Log:         logging.Named(s.log, "http"),
		Server:      true,
		Agent:       agent,
		Gossip:      s.gossip,
		Config:      s.httpConfig(),
		Audit:       s.audit,
		Limits:      s.limits,
		Forward:     s.forward,
		Cluster: httpapi.Cluster{
			Raft:         s.raft,
			Resolver:     resolver,
			Changes:      s.changes,
			AutoEncrypts: s.autoEncrypts(backend),
			Leafs:        s.mesh.signs,
			Authorizes:   s.mesh.authorizes,
		},
	}
	s.metrics.OnRead(func() { s.observeServer(backend, pilot) })
	s.own.handler = a.OwnHandler()
	s.api = serverAPI{public: a.Handler(), peer: a.PeerHandler()}
	return a
}

func (s *server) servers() []autopilot.Member { return leader.ServerMembers(s.gossip.Members()) }

// autoEncrypts gives client agents their certificates, and the configured CA.
func (s *server) autoEncrypts(backend *endpoint.Backend) *endpoint.AutoEncrypts {
	return &endpoint.AutoEncrypts{
		Backend: backend, Allowed: s.cfg.AutoEncrypt.AllowTLS, Datacenter: s.cfg.Datacenter, Domain: s.cfg.Domain,
		Providers: ca.BuiltInProviders(),
		TLS: func() (roots []string, verifyServerHostname bool) {
			cfg := s.current.Load()
			rpc, err := rpcTLS(*cfg)
			if err != nil {
				s.log.Error("the configured CA cannot be read", logging.Err, err)
			}
			for _, pem := range rpc.CAs {
				roots = append(roots, string(pem))
			}
			return roots, rpc.VerifyServerHostname
		},
	}
}

// stats are the sections of consul info that only a server has.
func (s *server) stats() map[string]map[string]string {
	leader, _ := s.raft.Leader()
	return map[string]map[string]string{
		"consul": {
			"server": "true", "bootstrap": strconv.FormatBool(s.cfg.Bootstrap),
			"known_datacenters": "1", "leader": strconv.FormatBool(s.raft.IsLeader()), "leader_addr": leader,
		},
		"raft": s.raft.Stats(),
	}
}

// awsEndpoint returns where this server sends the requests of a service of
// AWS: the SDK's own variables, the one for the service first.
func awsEndpoint(service string) string {
	if url := os.Getenv("AWS_ENDPOINT_URL_" + service); url != "" {
		return url
	}
	return os.Getenv("AWS_ENDPOINT_URL")
}

// bootstraps lets an operator allow another bootstrap by a file in the data directory.
func (s *server) bootstraps(backend *endpoint.Backend) *endpoint.Bootstraps {
	b := &endpoint.Bootstraps{Backend: backend}
	if s.cfg.DataDir == "" {
		return b
	}
	path := filepath.Join(s.cfg.DataDir, "acl-bootstrap-reset")
	b.ResetIndex = func() (uint64, error) {
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		index, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s does not hold a reset index: %w", path, err)
		}
		return index, nil
	}
	b.ResetDone = func() error { return os.Remove(path) }
	return b
}

// canRead reports whether reads are answered: this server has begun, and knows a leader.
func (s *server) canRead() bool {
	select {
	case <-s.usable:
	default:
		return false
	}
	addr, _ := s.raft.Leader()
	return addr != ""
}

// contact says whether there is a leader and how long ago it was heard of.
func (s *server) contact() (knownLeader bool, last time.Duration) {
	addr, _ := s.raft.Leader()
	return addr != "", s.raft.LastContact()
}
