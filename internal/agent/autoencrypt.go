package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	signTime   = 10 * time.Second // for one server to sign
	firstRetry = time.Second
	lastRetry  = 30 * time.Second

	// checkEvery is how often the clock is compared with the certificate: it
	// may jump, and timers do not follow it.
	checkEvery = time.Minute
	// spreadRenewal bounds the jitter after a change of the roots, which all
	// agents hear of at once.
	spreadRenewal = 20 * time.Second
	// shortestLife is how long a certificate is kept at least.
	shortestLife = time.Minute
)

// ErrInterrupted is returned by Obtain when its context ends first.
var ErrInterrupted = errs.New(errs.Unavailable, "interrupted during retrieval of auto-encrypt certificates")

// Obtained is what servers gave a client agent through auto_encrypt. It is read-only.
type Obtained struct {
	Pair                 ca.Pair   // for the agent's requests to servers and its own HTTPS
	NotAfter             time.Time // of the certificate, by the servers' clock
	MeshRoots            [][]byte  // PEM; they signed Pair
	ManualRoots          [][]byte  // PEM, of the configured CA; servers are verified with them
	VerifyServerHostname bool      // servers want their name to be verified
}

// AutoEncrypt obtains the certificate of a client agent and renews it
// (agent.md section 13.2). Set the fields before the first call. The zero value
// works for those that say what nil is.
type AutoEncrypt struct {
	// Client presents no certificate of this agent: a server refuses a
	// connection with one that has expired, or that a root signed which it does
	// not know any more. The agent's token is what counts.
	Client Client

	RetryJoin  []string                                                     // hosts and "provider=…"; ports are ignored
	ServerPort int                                                          // the agent's own ports.server
	Discover   func(ctx context.Context, entry string) ([]string, error)    // of "provider=…"; nil knows none
	Lookup     func(ctx context.Context, name string) ([]netip.Addr, error) // nil asks the system
	Servers    func() []string                                              // server ports known from gossip; nil knows none

	NodeName   string
	Datacenter string
	Partition  string // "" is default
	DNSSAN     []string
	IPSAN      []net.IP
	Token      func() logging.Secret // of the agent

	Use   func(Obtained) error // takes over a certificate and roots
	Roots *Roots               // hears of the roots, and tells of their change; may be nil
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now

	mu      sync.Mutex // guards what follows
	renewAt time.Time  // by Now
	checked time.Time  // when Now was looked at last
	rootID  string     // of the root that signed
}

// Obtain asks until there is a certificate and gives it to Use. It tries for
// ever; it returns ErrInterrupted when ctx is done.
func (a *AutoEncrypt) Obtain(ctx context.Context) error {
	pause := backOff{first: firstRetry, last: lastRetry}
	for {
		if a.attempt(ctx) {
			a.Log.Info("automatically upgraded to TLS")
			return nil
		}
		if !pause.wait(ctx) {
			return ErrInterrupted
		}
	}
}

// Run renews what Obtain has obtained, until ctx is done: after about two thirds
// of its life, when the clock has jumped over that or back, when another root
// signs, and when a server refuses the certificate.
func (a *AutoEncrypt) Run(ctx context.Context) error {
	pause := backOff{first: firstRetry, last: lastRetry}
	for ctx.Err() == nil {
		if a.rootChanged() {
			sleep.For(ctx, rand.N(spreadRenewal))
		} else if left := a.untilDue(); left > 0 {
			a.watch(ctx, left)
			continue
		}
		if a.attempt(ctx) {
			pause.reset()
			continue
		}
		pause.wait(ctx)
	}
	return nil
}

// watch returns after a while, or earlier when the roots have changed.
func (a *AutoEncrypt) watch(ctx context.Context, left time.Duration) {
	var changed, refused <-chan struct{}
	if a.Roots != nil {
		_, _, changed = a.Roots.current()
		refused = a.Roots.refusals()
		if a.rootChanged() {
			return
		}
	}
	timer := time.NewTimer(min(left, checkEvery))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-refused:
		a.Log.Warn("a server refused this agent's certificate")
		a.mu.Lock()
		a.renewAt = time.Time{}
		a.mu.Unlock()
	case <-ctx.Done():
	}
}

// rootChanged reports whether another root signs than the one that signed.
func (a *AutoEncrypt) rootChanged() bool {
	if a.Roots == nil {
		return false
	}
	list, _, _ := a.Roots.current()
	a.mu.Lock()
	defer a.mu.Unlock()
	return list.ActiveRootID != "" && list.ActiveRootID != a.rootID
}

// untilDue returns how long the certificate need not be renewed. A clock that
// went back says nothing about how old the certificate is: then it is due.
func (a *AutoEncrypt) untilDue() time.Duration {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	wentBack := now.Before(a.checked.Add(-checkEvery))
	a.checked = now
	if wentBack {
		a.renewAt = now
	}
	return a.renewAt.Sub(now)
}

// attempt asks every server once, until one signs.
func (a *AutoEncrypt) attempt(ctx context.Context) bool {
	csr, key, err := ca.NewCSR()
	if err != nil {
		a.Log.Error("AutoEncrypt.Sign RPC failed", "error", err)
		return false
	}
	for _, addr := range a.addrs(ctx) {
		if err = a.sign(ctx, addr, csr, key); err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		a.Log.Error("AutoEncrypt.Sign RPC failed", "addr", addr, "error", err)
	}
	a.Log.Error("No servers successfully responded to the auto-encrypt request")
	return false
}

// sign asks one server, verifies its answer and takes it over.
func (a *AutoEncrypt) sign(ctx context.Context, addr string, csr []byte, key logging.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	header := http.Header{}
	if token := a.Token(); token != "" {
		header.Set("X-Consul-Token", token.Reveal())
	}
	req := endpoint.SignRequest{
		CSR: string(csr), NodeName: a.NodeName, Datacenter: a.Datacenter, DNSSAN: a.DNSSAN, IPSAN: a.IPSAN,
		Scope: tenancy.Scope{Partition: a.Partition},
	}
	var answer endpoint.SignAnswer
	path := peer.SignPath
	if a.Partition != "" {
		path += "?partition=" + url.QueryEscape(a.Partition)
	}
	if _, err := call(ctx, a.Client, addr, http.MethodPost, path, header, req, &answer); err != nil {
		return err
	}
	got := Obtained{
		Pair:                 ca.Pair{Cert: []byte(answer.Certificate), Key: key},
		VerifyServerHostname: answer.VerifyServerHostname,
	}
	for _, root := range answer.Mesh.Roots {
		got.MeshRoots = append(got.MeshRoots, []byte(root.RootCert))
	}
	for _, root := range answer.ManualCARoots {
		got.ManualRoots = append(got.ManualRoots, []byte(root))
	}
	leaf, err := a.verify(got, answer.Mesh.TrustDomain)
	if err != nil {
		return fmt.Errorf("the answer is not what was asked for: %w", err)
	}
	got.NotAfter = leaf.NotAfter
	if err := a.Use(got); err != nil {
		return err
	}
	a.took(leaf, answer.Mesh)
	return nil
}

// verify checks that a certificate is for this agent's key and name and
// that one of its roots signed it. Time is the servers' matter: this agent's
// clock may be wrong.
func (a *AutoEncrypt) verify(got Obtained, trustDomain string) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(got.Pair.Cert, []byte(got.Pair.Key.Reveal()))
	if err != nil {
		return nil, err
	}
	leaf := pair.Leaf
	if _, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || len(leaf.URIs) != 1 {
		return nil, errors.New("not the certificate of an agent")
	}
	want := ca.AgentID{TrustDomain: trustDomain, Partition: a.Partition, Datacenter: a.Datacenter, Node: a.NodeName}
	if leaf.URIs[0].String() != want.URI().String() {
		return nil, fmt.Errorf("a certificate for %s", leaf.URIs[0])
	}
	roots := x509.NewCertPool()
	for _, root := range got.MeshRoots {
		roots.AppendCertsFromPEM(root)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return leaf, err
}

// took notes when a certificate is to be renewed: its life counts from now,
// whatever this agent's clock says.
func (a *AutoEncrypt) took(leaf *x509.Certificate, mesh endpoint.CARootList) {
	now := a.now()
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		a.Log.Warn("the certificate is not valid by this agent's clock", "not_before", leaf.NotBefore, "not_after", leaf.NotAfter)
	}
	a.mu.Lock()
	a.renewAt = now.Add(max(shortestLife, life*2/3-rand.N(life/12+1)))
	a.checked = now
	a.rootID = mesh.ActiveRootID
	a.mu.Unlock()
	if a.Roots != nil {
		a.Roots.set(mesh, 1)
	}
}

// now returns the time of day. Without its monotonic part a jump of the clock shows.
func (a *AutoEncrypt) now() time.Time {
	if a.Now == nil {
		return time.Now().Round(0)
	}
	return a.Now()
}

// addrs returns the server ports to ask, each once, in random order, those
// that gossip knows first.
func (a *AutoEncrypt) addrs(ctx context.Context) []string {
	var known []string
	if a.Servers != nil {
		known = shuffled(a.Servers())
	}
	var found []string
	for _, host := range a.hosts(ctx) {
		found = append(found, a.resolve(ctx, host)...)
	}
	var all []string
	for _, addr := range append(known, shuffled(found)...) {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

func shuffled(addrs []string) []string {
	addrs = slices.Clone(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs
}
