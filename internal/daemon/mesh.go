package daemon

import (
	"context"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/agent"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/leader"
	"github.com/lictor/lictor/internal/logging"
)

// mesh reports whether servers keep a mesh CA.
func (c *Config) mesh() bool { return c.ConnectEnabled || c.AutoEncrypt.AllowTLS }

// meshCA is what the leader begins a mesh CA with, nil for none.
func (s *server) meshCA() *leader.MeshCA {
	if !s.cfg.mesh() {
		return nil
	}
	initial := s.cfg.MeshCA
	if initial.Provider == "" {
		initial.Config = ca.DefaultConfig()
	}
	return &leader.MeshCA{Providers: ca.BuiltInProviders(), Initial: initial}
}

// serverMesh is a server's part in the service mesh: it signs, and is an agent beside.
type serverMesh struct {
	leafs      *agent.Leafs
	signs      *endpoint.Leafs
	authorizes *endpoint.ConnectAuthorizes
}

func (s *server) openMesh(backend *endpoint.Backend, intentions *endpoint.Intentions) {
	off := !s.cfg.mesh()
	s.roots = &endpoint.CARoots{Backend: backend, Off: off}
	s.mesh = &serverMesh{
		signs:      &endpoint.Leafs{Backend: backend, Providers: ca.BuiltInProviders(), Datacenter: s.cfg.Datacenter, Off: off},
		authorizes: &endpoint.ConnectAuthorizes{Intentions: intentions, Off: off},
	}
	s.mesh.leafs = &agent.Leafs{
		Roots: s.roots, Resolve: backend.Resolver.Resolve, Datacenter: s.cfg.Datacenter,
		Sign: func(ctx context.Context, token logging.Secret, req endpoint.LeafRequest) (*endpoint.LeafAnswer, error) {
			who, err := backend.Resolver.Resolve(ctx, token)
			if err != nil {
				return nil, err
			}
			return s.mesh.signs.Sign(ctx, who, req)
		},
	}
}

// Leaf implements httpapi.Mesh.
func (m *serverMesh) Leaf(ctx context.Context, q endpoint.LeafRead) (endpoint.Leaf, time.Duration, bool, error) {
	if m.signs.Off {
		return endpoint.Leaf{}, 0, false, endpoint.ErrNoMesh
	}
	return m.leafs.Leaf(ctx, q)
}

// run follows the roots for the leafs of this agent.
func (m *serverMesh) run(ctx context.Context) error {
	if m.signs.Off {
		return nil
	}
	return m.leafs.Run(ctx)
}

// Authorize implements httpapi.Mesh.
func (m *serverMesh) Authorize(ctx context.Context, who acl.Caller, _ logging.Secret, c endpoint.ConnectAuthorize) (*endpoint.ConnectDecision, error) {
	return m.authorizes.Authorize(ctx, who, c)
}

// clientMesh is a client agent's part in the service mesh: it has servers sign and decide.
type clientMesh struct {
	agent.Mesh
	leafs *agent.Leafs
}

func newClientMesh(c *client, servers agent.Servers) *clientMesh {
	m := &clientMesh{Mesh: agent.Mesh{Servers: servers}}
	m.leafs = &agent.Leafs{Sign: m.SignLeaf, Roots: c.roots, Resolve: c.resolver.Resolve, Datacenter: c.cfg.Datacenter}
	return m
}

// Leaf implements httpapi.Mesh.
func (m *clientMesh) Leaf(ctx context.Context, q endpoint.LeafRead) (endpoint.Leaf, time.Duration, bool, error) {
	return m.leafs.Leaf(ctx, q)
}
