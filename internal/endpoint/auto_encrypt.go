package endpoint

import (
	"context"
	"net"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// AutoEncrypts gives client agents the certificates that they talk to servers
// with (agent.md section 13.2). Any server signs, with the replicated root.
type AutoEncrypts struct {
	*Backend
	Allowed    bool // auto_encrypt.allow_tls
	Datacenter string
	Domain     string // of DNS, without dots at its ends
	Providers  ca.Providers

	// TLS returns what agents have to know of the configured TLS: the CA
	// certificates, one PEM text each, and whether they verify a server's name.
	TLS func() (roots []string, verifyServerHostname bool)
}

// SignRequest asks for a certificate for the client agent on NodeName, which
// lives in the scope's partition.
type SignRequest struct {
	CSR        string // PEM
	NodeName   string
	Datacenter string
	DNSSAN     []string `json:",omitempty"` // beside localhost
	IPSAN      []net.IP `json:",omitempty"` // beside 127.0.0.1 and ::1
	tenancy.Scope
}

// SignAnswer is a certificate and what its owner verifies servers with.
type SignAnswer struct {
	Certificate          string     // PEM: the certificate, then what leads to its root from older ones
	Mesh                 CARootList // the mesh CA
	ManualCARoots        []string   // PEM, of the configured CA
	VerifyServerHostname bool
}

var errNoAutoEncrypt = errs.New(errs.Denied, "auto_encrypt.allow_tls is not enabled on this server")

// Sign signs a certificate with the names of the request, never those of its
// CSR. It needs node:write on the node. It returns errs.Unavailable before the
// mesh CA has a root, and where this server cannot catch up with the leader: a certificate
// outlives the token, so that it is not signed for one whose end this server has not heard of.
func (e *AutoEncrypts) Sign(ctx context.Context, who acl.Caller, req SignRequest) (*SignAnswer, error) {
	if e.Fresh != nil {
		if err := e.Fresh(ctx, Read{}); err != nil {
			return nil, err
		}
	}
	tx := e.Store.Read()
	who, err := e.Resolver.again(tx, nil, who)
	if err != nil {
		return nil, err
	}
	if err := who.Require(req.Scope.PartitionRoot(), acl.NodeWrite, req.NodeName); err != nil {
		return nil, err
	}
	if !e.Allowed {
		return nil, errNoAutoEncrypt
	}
	if req.Datacenter != e.Datacenter {
		return nil, errs.Errorf(errs.Invalid, "this server is in datacenter %q, not in %q", e.Datacenter, req.Datacenter)
	}
	if err := tx.CheckScope(req.Scope.PartitionRoot()); err != nil {
		return nil, err
	}
	signer, _, err := caSigner(tx, e.Providers)
	if err != nil {
		return nil, err
	}
	names := ca.AgentNames{
		ID:  ca.AgentID{TrustDomain: signer.Root.TrustDomain, Partition: req.Partition, Datacenter: e.Datacenter, Node: req.NodeName},
		DNS: req.DNSSAN,
		IPs: req.IPSAN,
	}
	if err := names.Check(e.Domain); err != nil {
		return nil, err
	}
	cert, err := signer.SignAgent(ctx, []byte(req.CSR), names, e.now())
	if err != nil {
		return nil, err
	}
	a := &SignAnswer{Certificate: cert.Chain}
	if a.Mesh, err = listCARoots(tx, nil); err != nil {
		return nil, err
	}
	if e.TLS != nil {
		a.ManualCARoots, a.VerifyServerHostname = e.TLS()
	}
	return a, nil
}
