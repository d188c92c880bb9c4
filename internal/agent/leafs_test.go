package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// meshServer signs leafs as servers do, as far as agents see it. Its tokens are the names of the
// services that they may write.
type meshServer struct {
	t       testing.TB
	mu      sync.Mutex
	root    ca.Root
	index   uint64
	woken   chan struct{}
	life    time.Duration
	fails   error                // of every request to sign
	forge   func(*ca.ServiceCSR) // changes what is signed
	signed  []time.Time
	revoked map[logging.Secret]bool
	before  func() // is called before anything is signed
}

func newMeshServer(t testing.TB) *meshServer {
	s := &meshServer{t: t, woken: make(chan struct{}), revoked: map[logging.Secret]bool{}, life: 72 * time.Hour, index: 5}
	var err error
	s.root, err = ca.BuiltIn{}.NewRoot(t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: clusterID}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rotate lets another root sign.
func (s *meshServer) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := ca.BuiltIn{}.NewRoot(s.t.Context(), ca.RootSpec{TrustDomain: s.root.TrustDomain, Settings: ca.Settings{Config: ca.DefaultConfig()}, Now: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.root, err = ca.CrossSign(s.t.Context(), ca.BuiltIn{}, &s.root, next, 1000*time.Hour, time.Now()); err != nil {
		s.t.Fatal(err)
	}
	s.index++
	close(s.woken)
	s.woken = make(chan struct{})
}

// List is a blocking query for the roots.
func (s *meshServer) List(ctx context.Context, _ acl.Caller, r endpoint.Read) (endpoint.CARootList, endpoint.Meta, error) {
	for {
		s.mu.Lock()
		list := endpoint.CARootList{ActiveRootID: s.root.ID, TrustDomain: s.root.TrustDomain}
		index, woken := s.index, s.woken
		s.mu.Unlock()
		if index > r.MinIndex {
			return list, endpoint.Meta{Index: index}, nil
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return list, endpoint.Meta{}, ctx.Err()
		}
	}
}

func (s *meshServer) resolve(_ context.Context, token logging.Secret) (acl.Caller, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked[token] {
		return acl.Caller{}, acl.ErrNotFound
	}
	rules, err := acl.ParseRules(fmt.Sprintf(`service %q { policy = "write" }`, token.Reveal()))
	if err != nil {
		return acl.Caller{}, err
	}
	return acl.Caller{AccessorID: token.Reveal(), Authorizer: acl.Compile([]acl.Grant{{Rules: rules, Scope: tenancy.Default}}, nil, acl.Defaults{})}, nil
}

func (s *meshServer) sign(ctx context.Context, token logging.Secret, req endpoint.LeafRequest) (*endpoint.LeafAnswer, error) {
	if s.before != nil {
		s.before()
	}
	if strings.Contains(req.CSR, "PRIVATE") {
		s.t.Error("the key leaves the agent")
	}
	csr, err := ca.ReadServiceCSR([]byte(req.CSR))
	if err != nil {
		return nil, err
	}
	who, err := s.resolve(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := who.Require(csr.ID.Scope, acl.ServiceWrite, csr.ID.Service); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed = append(s.signed, time.Now())
	if s.fails != nil {
		return nil, s.fails
	}
	if s.forge != nil {
		s.forge(&csr)
	}
	leaf, err := ca.Signer{Provider: ca.BuiltIn{}, Root: &s.root, Life: s.life}.SignService(ctx, csr, time.Now())
	return &endpoint.LeafAnswer{
		CertPEM: leaf.Chain, SerialNumber: leaf.Serial, Service: csr.ID.Service, ServiceURI: csr.ID.URI().String(),
		ValidAfter: leaf.NotBefore, ValidBefore: leaf.NotAfter, RootID: s.root.ID, Index: s.index,
	}, err
}

func (s *meshServer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *meshServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.signed)
}

// leafs returns what an agent has, with its task under way until the end of the test.
func (s *meshServer) leafs(ctx context.Context) *Leafs {
	l := &Leafs{Sign: s.sign, Roots: s, Resolve: s.resolve, Datacenter: "dc1"}
	go func() { _ = l.Run(ctx) }()
	return l
}

func (s *meshServer) read(service, token string) endpoint.LeafRead {
	who, err := s.resolve(context.Background(), logging.Secret(token))
	if err != nil {
		s.t.Fatal(err)
	}
	return endpoint.LeafRead{Caller: who, Token: logging.Secret(token), Service: service, Scope: tenancy.Default}
}

// inMesh runs test in a bubble with a server and an agent.
func inMesh(t *testing.T, test func(t *testing.T, s *meshServer, l *Leafs)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newMeshServer(t)
		test(t, s, s.leafs(ctx))
		cancel()
		synctest.Wait()
	})
}

func mustLeaf(t *testing.T, l *Leafs, q endpoint.LeafRead) endpoint.Leaf {
	t.Helper()
	leaf, _, _, err := l.Leaf(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestALeafIsSignedOnceForAllWhoAsk(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		s.before = func() { time.Sleep(time.Second) } // of the bubble: no real time passes
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				if leaf, _, _, err := l.Leaf(t.Context(), s.read("web", "web")); err != nil || leaf.Service != "web" {
					t.Errorf("got %+v, %v", leaf, err)
				}
			})
		}
		callers.Wait()
		if n := s.times(); n != 1 {
			t.Errorf("%d were signed", n)
		}
		time.Sleep(90 * time.Second) // of the bubble: no real time passes
		leaf, age, hit, err := l.Leaf(t.Context(), s.read("web", "web"))
		if err != nil || !hit || age != 90*time.Second || leaf.ModifyIndex == 0 {
			t.Errorf("hit %v, age %v, %v", hit, age, err)
		}
		if _, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM.Reveal())); err != nil {
			t.Error(err)
		}
		if _, _, hit, err := l.Leaf(t.Context(), s.read("db", "db")); err != nil || hit || s.times() != 2 {
			t.Errorf("another service: hit %v, %v", hit, err)
		}
	})
}

// A cache may not answer for a permission (released as 2.1.0 of the original).
func TestCVE_2026_105608_ALeafThatIsThereNeedsThePermissionToo(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		mustLeaf(t, l, s.read("web", "web"))
		if leaf, _, _, err := l.Leaf(t.Context(), s.read("web", "db")); errs.KindOf(err) != errs.Denied || leaf.PrivateKeyPEM != "" {
			t.Errorf("got %v", err)
		}
		other := s.read("web", "web")
		other.Scope.Namespace = "team"
		if _, _, _, err := l.Leaf(t.Context(), other); errs.KindOf(err) != errs.Denied {
			t.Errorf("in another namespace: %v", err)
		}
	})
}

func TestALeafIsRenewedForWhoeverWaits(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		s.life = 10 * time.Hour
		q := s.read("web", "web")
		old := mustLeaf(t, l, q)
		begun := time.Now()
		for range 20 {
			q.MinIndex, q.MaxWait = old.ModifyIndex, 10*time.Minute
			next := mustLeaf(t, l, q)
			if next.ModifyIndex > old.ModifyIndex {
				after := time.Since(begun)
				const between = 30 * time.Minute // nobody waits that long at a time
				if after < 6*time.Hour || after > 9*time.Hour+between+time.Second || next.PrivateKeyPEM == old.PrivateKeyPEM {
					t.Errorf("renewed after %v", after)
				}
				begun, old = time.Now(), next
				continue
			}
			time.Sleep(30 * time.Minute) // of the bubble: no real time passes
		}
		if n := s.times(); n < 2 {
			t.Errorf("%d were signed", n)
		}
	})
}

func TestAWaitEndsWithTheLeafThatIsThere(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		q := s.read("web", "web")
		old := mustLeaf(t, l, q)
		q.MinIndex, q.MaxWait = old.ModifyIndex, 16*time.Second
		begun := time.Now()
		if leaf := mustLeaf(t, l, q); leaf.ModifyIndex != old.ModifyIndex || time.Since(begun) < 16*time.Second || time.Since(begun) > 18*time.Second {
			t.Errorf("after %v: index %d", time.Since(begun), leaf.ModifyIndex)
		}
		q.MinIndex = old.ModifyIndex - 1
		if leaf, _, hit, err := l.Leaf(t.Context(), q); err != nil || !hit || leaf.ModifyIndex != old.ModifyIndex {
			t.Errorf("for an older index: %v", err)
		}
	})
}

func TestWhoeverWaitsHearsOfAnotherRootAtOnce(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		q := s.read("web", "web")
		for range 3 {
			q.MinIndex = mustLeaf(t, l, q).ModifyIndex
			got := make(chan time.Time, 1)
			go func() {
				if leaf, _, _, err := l.Leaf(t.Context(), q); err != nil || strings.Count(leaf.CertPEM, "BEGIN") < 2 {
					t.Errorf("got %+v, %v", leaf, err)
				}
				got <- time.Now()
			}()
			synctest.Wait()
			begun := time.Now()
			s.rotate()
			if after := (<-got).Sub(begun); after > leafSpread {
				t.Errorf("after %v", after)
			}
			q.MinIndex = 0
		}
		if n := s.times(); n != 4 {
			t.Errorf("%d were signed", n)
		}
	})
}

// What leads to a root that this agent has not heard of yet makes nothing due.
func TestALeafOfARootThatIsNewerThanWhatWasHeard(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		q := s.read("web", "web")
		mustLeaf(t, l, q)
		l.mu.Lock()
		l.roots = rootsHeard{active: "older", trustDomain: s.root.TrustDomain, index: s.index - 1}
		l.entries = nil
		l.mu.Unlock()
		mustLeaf(t, l, q)
		time.Sleep(time.Minute) // of the bubble: no real time passes
		if _, _, hit, err := l.Leaf(t.Context(), q); err != nil || !hit || s.times() != 2 {
			t.Errorf("hit %v after %d, %v", hit, s.times(), err)
		}
		l.hear(endpoint.CARootList{ActiveRootID: "newer", TrustDomain: s.root.TrustDomain}, s.index+1)
		time.Sleep(leafSpread) // of the bubble: no real time passes
		if _, _, hit, err := l.Leaf(t.Context(), q); err != nil || hit {
			t.Errorf("after another root was heard of: hit %v, %v", hit, err)
		}
	})
}

func TestWhileServersCannotSign(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		q := s.read("web", "web")
		s.fail(errs.New(errs.Throttled, "Rate limit reached, try again later"))
		begun := time.Now()
		if _, _, _, err := l.Leaf(t.Context(), q); errs.KindOf(err) != errs.Throttled || time.Since(begun) != leafHold {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if n := s.times(); n < 2 || n > 12 {
			t.Errorf("%d attempts in %v", n, leafHold)
		}
		s.fail(nil)
		old := mustLeaf(t, l, q)
		s.fail(errs.New(errs.Unavailable, "no server"))
		s.rotate()
		time.Sleep(time.Minute) // of the bubble: no real time passes
		leaf, _, _, err := l.Leaf(t.Context(), q)
		if err != nil || leaf.ModifyIndex != old.ModifyIndex {
			t.Errorf("a leaf that is still valid: %v", err)
		}
		before := s.times()
		for range 100 {
			mustLeaf(t, l, q)
		}
		if n := s.times() - before; n > 1 {
			t.Errorf("%d attempts at once", n)
		}
		q.MinIndex, q.MaxWait = old.ModifyIndex, 10*time.Minute
		before = s.times()
		mustLeaf(t, l, q)
		if n := s.times() - before; n < 5 || n > 60 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		q.MinIndex = 0
		time.Sleep(72 * time.Hour) // of the bubble: no real time passes
		if _, _, _, err := l.Leaf(t.Context(), q); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("a leaf that is not valid any more: %v", err)
		}
		s.fail(nil)
		time.Sleep(time.Minute) // of the bubble: no real time passes
		if leaf := mustLeaf(t, l, q); leaf.ModifyIndex <= old.ModifyIndex {
			t.Error("nothing was signed")
		}
	})
}

// However long servers could not sign, whoever asks when they can again has a leaf in time.
func TestALeafIsThereSoonAfterServersSignAgain(t *testing.T) {
	for range 50 {
		inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
			s.fail(errs.New(errs.Throttled, "Rate limit reached, try again later"))
			for range 10 {
				if _, _, _, err := l.Leaf(t.Context(), s.read("web", "web")); errs.KindOf(err) != errs.Throttled {
					t.Errorf("got %v", err)
				}
			}
			s.fail(nil)
			mustLeaf(t, l, s.read("web", "web"))
		})
	}
}

func TestAttack_ATokenThatEndsWhileItsOwnerWaits(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		q := s.read("web", "web")
		q.MinIndex = mustLeaf(t, l, q).ModifyIndex
		got := make(chan error, 1)
		go func() {
			_, _, _, err := l.Leaf(t.Context(), q)
			got <- err
		}()
		synctest.Wait()
		s.mu.Lock()
		s.revoked["web"] = true
		s.mu.Unlock()
		s.rotate()
		if err := <-got; !errors.Is(err, acl.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// What a server signs is taken only if it is for this agent's key and for the service.
func TestAttack_ALeafForSomebodyElse(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		s.forge = func(csr *ca.ServiceCSR) { csr.ID.Service = "db" }
		if leaf, _, _, err := l.Leaf(t.Context(), s.read("web", "web")); err == nil || errs.KindOf(err) != errs.Internal {
			t.Errorf("got %+v, %v", leaf, err)
		}
		s.forge = nil
		mustLeaf(t, l, s.read("web", "web"))
	})
}

func TestAServiceWhoseNameFitsNoCertificate(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		for _, name := range []string{"a b", "a/b", "..", "ｗeb"} {
			if _, _, _, err := l.Leaf(t.Context(), s.read(name, name)); errs.KindOf(err) != errs.Invalid {
				t.Errorf("%q: %v", name, err)
			}
		}
		if s.times() > 0 {
			t.Error("a server was asked")
		}
	})
}

func TestBeforeThereAreRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMeshServer(t)
		l := &Leafs{Sign: s.sign, Roots: s, Resolve: s.resolve, Datacenter: "dc1"}
		if _, _, _, err := l.Leaf(t.Context(), s.read("web", "web")); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("got %v", err)
		}
		got := make(chan error, 1)
		go func() {
			_, _, _, err := l.Leaf(t.Context(), s.read("web", "web"))
			got <- err
		}()
		synctest.Wait()
		l.hear(endpoint.CARootList{ActiveRootID: s.root.ID, TrustDomain: s.root.TrustDomain}, 5)
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

func TestIndexesRiseAcrossRestarts(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		old := mustLeaf(t, l, s.read("web", "web"))
		time.Sleep(time.Second) // of the bubble: no real time passes
		again := mustLeaf(t, s.leafs(t.Context()), s.read("web", "web"))
		if again.ModifyIndex <= old.ModifyIndex {
			t.Errorf("%d after %d", again.ModifyIndex, old.ModifyIndex)
		}
	})
}

func TestLeafsThatNobodyUsesAreForgotten(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		s.life = 200 * time.Hour
		mustLeaf(t, l, s.read("web", "web"))
		time.Sleep(leafUnused + time.Second) // of the bubble: no real time passes
		mustLeaf(t, l, s.read("db", "db"))
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.entries) != 1 {
			t.Errorf("%d are kept", len(l.entries))
		}
		for n := range maxLeafs + 10 {
			l.mu.Unlock()
			l.exit(l.enter(ca.ServiceID{Service: fmt.Sprint(n)}))
			l.mu.Lock()
		}
		if n := len(l.entries); n > maxLeafs {
			t.Errorf("%d are kept", n)
		}
	})
}

// Three times the root is changed, while leafs are fetched and connections are made between all
// who have one: by every root that was known since, and with every leaf.
func TestThreeRotationsUnderTraffic(t *testing.T) {
	inMesh(t, func(t *testing.T, s *meshServer, l *Leafs) {
		var leafs []tls.Certificate
		roots := []string{s.root.RootCert}
		q := s.read("web", "web")
		fetch := func() {
			leaf := mustLeaf(t, l, q)
			pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM.Reveal()))
			if err != nil {
				t.Fatal(err)
			}
			leafs, q.MinIndex = append(leafs, pair), leaf.ModifyIndex
		}
		fetch()
		for range 3 {
			s.rotate()
			roots = append(roots, s.root.RootCert)
			fetch()
		}
		// An end that has a leaf knows the roots up to then at least; no end has forgotten one.
		for mine := range leafs {
			for theirs := range leafs {
				for knows := min(mine, theirs); knows < len(roots); knows++ {
					known := x509.NewCertPool()
					for _, r := range roots[:knows+1] {
						known.AppendCertsFromPEM([]byte(r))
					}
					if err := connect(t, leafs[mine], leafs[theirs], known); err != nil {
						t.Errorf("leaf %d calls leaf %d, both know %d roots: %v", mine, theirs, knows+1, err)
					}
				}
			}
		}
	})
}

// connect makes a connection with mutual TLS, as proxies do.
func connect(t *testing.T, mine, theirs tls.Certificate, roots *x509.CertPool) error {
	t.Helper()
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		between := x509.NewCertPool()
		var leaf *x509.Certificate
		for i, der := range raw {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			if i == 0 {
				leaf = cert
			} else {
				between.AddCert(cert)
			}
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{theirs}, ClientAuth: tls.RequireAnyClientCert, VerifyPeerCertificate: verify})
	client := tls.Client(near, &tls.Config{Certificates: []tls.Certificate{mine}, InsecureSkipVerify: true, VerifyPeerCertificate: verify})
	failed := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("hello"))
		failed <- err
	}()
	_, err := io.ReadFull(client, make([]byte, 5))
	near.Close()
	return errors.Join(err, <-failed)
}
