package endpoint

import (
	"context"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Leafs sign the leaf certificates of services. Any server signs, with the replicated root. The
// zero value works for all fields but Backend, Providers and Datacenter.
type Leafs struct {
	*Backend
	Providers  ca.Providers
	Datacenter string
	Off        bool // the service mesh is: it has no CA

	limit csrLimit
}

// LeafRequest asks for the leaf of the service that its CSR names.
type LeafRequest struct{ CSR string } // PEM

// LeafAnswer is a leaf that was signed.
type LeafAnswer struct {
	CertPEM      string // the certificate, then what leads to its root from older ones
	SerialNumber string // hex with colons
	Service      string
	ServiceURI   string
	ValidAfter   time.Time
	ValidBefore  time.Time
	RootID       string // of the root that signed
	Index        uint64 // of the roots that it was chosen from
}

// Leaf is a leaf with its key as an agent gives it to whom it belongs (catalog.md section 14).
type Leaf struct {
	SerialNumber  string
	CertPEM       string // a chain, as in LeafAnswer
	PrivateKeyPEM logging.Secret
	Service       string
	ServiceURI    string
	ValidAfter    time.Time
	ValidBefore   time.Time
	CreateIndex   uint64
	ModifyIndex   uint64
}

// LeafRead asks an agent for the leaf of a service. Caller is who Token makes of whoever asks.
type LeafRead struct {
	Caller  acl.Caller
	Token   logging.Secret
	Service string
	tenancy.Scope
	Read
}

// Sign signs the leaf of the service that the request's CSR names by exactly one URI, of this
// cluster and datacenter. It needs service:write on it. Nothing of the request gets into the leaf but what was verified. It
// returns errs.Throttled where more is asked for than the configuration allows, and errs.Unavailable
// before the mesh CA has a root or where this server cannot catch up with the leader: a leaf
// outlives the token, so that none is signed for a token whose end this server has not heard of.
func (e *Leafs) Sign(ctx context.Context, who acl.Caller, req LeafRequest) (*LeafAnswer, error) {
	csr, err := ca.ReadServiceCSR([]byte(req.CSR))
	if err != nil {
		return nil, err
	}
	if e.Fresh != nil {
		if err := e.Fresh(ctx, Read{}); err != nil {
			return nil, err
		}
	}
	tx := e.Store.Read()
	if who, err = e.Resolver.again(tx, nil, who); err != nil {
		return nil, err
	}
	if err := who.Require(csr.ID.Scope, acl.ServiceWrite, csr.ID.Service); err != nil {
		return nil, err
	}
	if e.Off {
		return nil, ErrNoMesh
	}
	signer, config, err := caSigner(tx, e.Providers)
	if err != nil {
		return nil, err
	}
	if err := e.checkID(tx, csr.ID, signer.Root); err != nil {
		return nil, err
	}
	done, err := e.limit.enter(config)
	if err != nil {
		return nil, err
	}
	defer done()
	leaf, err := signer.SignService(ctx, csr, e.now())
	if err != nil {
		return nil, err
	}
	return &LeafAnswer{
		CertPEM: leaf.Chain, SerialNumber: leaf.Serial,
		Service: csr.ID.Service, ServiceURI: csr.ID.URI().String(),
		ValidAfter: leaf.NotBefore, ValidBefore: leaf.NotAfter,
		RootID: signer.Root.ID, Index: tx.LastIndex(state.TableCARoots),
	}, nil
}

// checkID returns errs.Invalid unless the service is one of this cluster and datacenter.
func (e *Leafs) checkID(tx *state.Tx, id ca.ServiceID, root *ca.Root) error {
	if id.TrustDomain != root.TrustDomain {
		return errs.Errorf(errs.Invalid, "Invalid CSR: trust domain %q is not that of this cluster, %q", id.TrustDomain, root.TrustDomain)
	}
	if id.Datacenter != e.Datacenter {
		return errs.Errorf(errs.Invalid, "Invalid CSR: this server is in datacenter %q, not in %q", e.Datacenter, id.Datacenter)
	}
	return tx.CheckScope(id.Scope)
}

// csrLimit bounds how much this server signs, as the configuration says at the time.
type csrLimit struct {
	mu     sync.Mutex // guards what follows
	rate   *limit.Rate
	signed int // at a time
}

const csrRefused = "Rate limit reached, try again later: CSRMaxPerSecond of the mesh CA"

var errTooManyCSRs = errs.New(errs.Throttled, "Rate limit reached, try again later: CSRMaxConcurrent of the mesh CA")

// enter returns what to call when the signing is done, or errs.Throttled.
func (l *csrLimit) enter(c *ca.Config) (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.CSRMaxConcurrent > 0 {
		if l.signed >= c.CSRMaxConcurrent {
			return nil, errTooManyCSRs
		}
		l.signed++
		return func() {
			l.mu.Lock()
			l.signed--
			l.mu.Unlock()
		}, nil
	}
	if l.rate == nil || l.rate.PerSecond != c.CSRMaxPerSecond {
		l.rate = &limit.Rate{PerSecond: c.CSRMaxPerSecond}
	}
	return func() {}, l.rate.Allow("", csrRefused)
}
