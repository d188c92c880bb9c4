package endpoint

import (
	"context"
	"net/url"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ConnectAuthorizes is the operation that decides about a connection between two services. Both fields have to be set.
type ConnectAuthorizes struct {
	Intentions *Intentions
	Off        bool // the service mesh is
}

// ConnectAuthorize asks about a connection to the service Target of a scope by whoever
// presents a certificate.
type ConnectAuthorize struct {
	Target           string
	ClientCertURI    string
	ClientCertSerial string
	tenancy.Scope
}

// ConnectDecision is the answer, and why.
type ConnectDecision struct {
	Authorized bool
	Reason     string
}

// Check returns errs.Invalid where no decision can be made about the connection, else who
// wants to connect.
func (c *ConnectAuthorize) Check() (source ca.ServiceID, err error) {
	if c.Target == "" {
		return source, errs.New(errs.Invalid, "Target service must be specified")
	}
	uri, err := url.Parse(c.ClientCertURI)
	if err != nil {
		return source, errNoIdentifier
	}
	if source, err = ca.ParseServiceID(uri); err != nil {
		return source, errNoIdentifier
	}
	return source, nil
}

var errNoIdentifier = errs.New(errs.Invalid, "ClientCertURI not a valid Connect identifier")

// Authorize decides by the intentions, and by the default policy where none speaks. Whoever is
// of another trust domain is refused. It needs service:write on the target.
func (e *ConnectAuthorizes) Authorize(ctx context.Context, who acl.Caller, c ConnectAuthorize) (*ConnectDecision, error) {
	source, err := c.Check()
	if err != nil {
		return nil, err
	}
	b := e.Intentions.Backend
	if b.Fresh != nil {
		if err := b.Fresh(ctx, Read{}); err != nil {
			return nil, err
		}
	}
	tx := b.Store.Read()
	if who, err = b.Resolver.again(tx, nil, who); err != nil {
		return nil, err
	}
	if err := who.Require(c.Scope, acl.ServiceWrite, c.Target); err != nil {
		return nil, err
	}
	if e.Off {
		return nil, ErrNoMesh
	}
	root, err := tx.ActiveCARoot(nil)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, errNoRoot
	}
	if source.TrustDomain != root.TrustDomain {
		return &ConnectDecision{Reason: "The client's certificate is of trust domain " + source.TrustDomain + ", not of this cluster's"}, nil
	}
	return e.decide(tx, configentry.Service{Name: source.Service, Scope: source.Scope}, configentry.Service{Name: c.Target, Scope: c.Scope})
}

func (e *ConnectAuthorizes) decide(tx *state.Tx, from, to configentry.Service) (*ConnectDecision, error) {
	rules, err := IntentionsTo(tx, to)
	if err != nil {
		return nil, err
	}
	d := configentry.Decide(from, to, rules, e.Intentions.DefaultAllow())
	reason := "Default behavior configured by ACLs"
	switch {
	case d.By != nil && len(d.By.Permissions) > 0:
		reason = "Matched L7 intention: " + d.By.String()
	case d.By != nil:
		reason = "Matched L4 intention: " + d.By.String()
	}
	return &ConnectDecision{Authorized: d.Allowed, Reason: reason}, nil
}
