package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	mayRead = `agent "n1" { policy = "read" }`
	mayAll  = `agent "n1" { policy = "write" }`
)

// newResolver returns one that knows c, with logs in out.
func newResolver(c *cluster, policy string, out *lines) *Resolver {
	return &Resolver{Servers: c.servers(), Enabled: true, DownPolicy: policy, NodeName: "n1", Log: out.logger()}
}

// listening is newResolver with a stream of changes, which stop ends.
func listening(t testing.TB, c *cluster, policy string) (r *Resolver, stop func()) {
	r = newResolver(c, policy, &lines{})
	stop = run(t, r.Run)
	synctest.Wait()
	return r, stop
}

func may(t testing.TB, r *Resolver, secret string, p acl.Permission) error {
	t.Helper()
	who, err := r.Resolve(t.Context(), logging.Secret(secret))
	if err != nil {
		return err
	}
	return who.Require(tenancy.Default, p, "n1")
}

func wantMay(t testing.TB, r *Resolver, secret string) {
	t.Helper()
	if err := may(t, r, secret, acl.AgentRead); err != nil {
		t.Errorf("%s: %v", secret, err)
	}
}

func wantNotFound(t testing.TB, r *Resolver, secret string) {
	t.Helper()
	if err := may(t, r, secret, acl.AgentRead); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("%s: %v", secret, err)
	}
}

const asked = "/internal/acl/resolve"

func TestACallerIsAskedForOnceInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		r.TokenTTL, r.PolicyTTL = time.Minute, 20*time.Second
		wantMay(t, r, "s")
		sleep.For(t.Context(), 19*time.Second)
		wantMay(t, r, "s")
		if n := c.count(asked); n != 1 {
			t.Errorf("%d questions within the shortest time", n)
		}
		sleep.For(t.Context(), 2*time.Second)
		wantMay(t, r, "s")
		if n := c.count(asked); n != 2 {
			t.Errorf("%d questions after it", n)
		}
		if err := may(t, r, "s", acl.AgentWrite); err == nil || !strings.Contains(err.Error(), "accessor-s") {
			t.Errorf("more than the rules say: %v", err)
		}
	})
}

func TestNotFoundIsNeverRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		wantNotFound(t, r, "s")
		wantNotFound(t, r, "s")
		c.set("s", mayRead)
		wantMay(t, r, "s")
	})
}

func TestDownPolicies(t *testing.T) {
	const (
		allowed = ""
		denied  = `Permission denied: token with AccessorID 'primary-dc-down' lacks permission 'agent:read' on "n1"`
	)
	tests := []struct {
		policy     string
		known, new string // what a token known before, and another one, get
	}{
		{DownExtendCache, allowed, denied},
		{"", allowed, denied},
		{DownAsyncCache, allowed, denied},
		{DownDeny, denied, denied},
		{DownAllow, allowed, allowed},
	}
	for _, tc := range tests {
		t.Run("policy "+tc.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.set("known", mayRead)
				c.set("new", mayRead)
				r, stop := listening(t, c, tc.policy)
				defer stop()
				wantMay(t, r, "known")
				c.with(func(c *cluster) { c.down[""] = true })
				sleep.For(t.Context(), time.Hour)
				for secret, want := range map[string]string{"known": tc.known, "new": tc.new, "": tc.new} {
					got := ""
					if err := may(t, r, secret, acl.AgentRead); err != nil {
						got = err.Error()
					}
					if got != want {
						t.Errorf("%q: got %q", secret, got)
					}
				}
				c.with(func(c *cluster) { c.down[""] = false })
				sleep.For(t.Context(), 10*time.Second)
				wantMay(t, r, "known")
				wantMay(t, r, "new")
			})
		})
	}
}

func TestARevokedTokenStopsWorkingWhenItIsTold(t *testing.T) {
	for _, policy := range []string{DownExtendCache, DownAsyncCache, DownDeny, DownAllow} {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.set("s", mayRead)
				c.set("other", mayRead)
				r, stop := listening(t, c, policy)
				defer stop()
				wantMay(t, r, "s")
				wantMay(t, r, "other")
				c.revoke("s")
				synctest.Wait()
				wantNotFound(t, r, "s")
				before := c.count(asked)
				wantMay(t, r, "other")
				if c.count(asked) != before {
					t.Error("another token was asked about again")
				}
			})
		})
	}
}

func TestChangedRightsCountWhenTheyAreTold(t *testing.T) {
	for _, policy := range []string{DownExtendCache, DownAsyncCache} {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.set("s", mayAll)
				r, stop := listening(t, c, policy)
				defer stop()
				if err := may(t, r, "s", acl.AgentWrite); err != nil {
					t.Fatal(err)
				}
				c.set("s", mayRead)
				synctest.Wait()
				if err := may(t, r, "s", acl.AgentWrite); err == nil {
					t.Error("the old rights count after the token changed")
				}
				c.with(func(c *cluster) {
					c.index++
					c.tokens["s"].Grants[0].Rules = mayAll
					c.tell(endpoint.Change{Kind: endpoint.ChangeAll, Index: c.index})
				})
				synctest.Wait()
				if err := may(t, r, "s", acl.AgentWrite); err != nil {
					t.Errorf("after the policy changed: %v", err)
				}
			})
		})
	}
}

// While nobody tells, a revoked token stops working because it is verified.
func TestALostStream(t *testing.T) {
	lose := map[string]func(*cluster){
		"ends": func(c *cluster) {
			c.with(func(c *cluster) { c.mute = true; close(c.streams[0].lines) })
		},
		"falls silent": func(c *cluster) { c.with(func(c *cluster) { c.mute = true }) },
	}
	for _, policy := range []string{DownExtendCache, DownAsyncCache} {
		for how, lost := range lose {
			t.Run(policy+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t)
					c.set("s", mayRead)
					r, stop := listening(t, c, policy)
					defer stop()
					wantMay(t, r, "s")
					lost(c)
					c.revoke("s")
					sleep.For(t.Context(), time.Second)
					wantNotFound(t, r, "s")
				})
			})
		}
	}
}

func TestWhileNobodyTellsEveryRequestIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r := newResolver(c, DownExtendCache, &lines{})
		for range 5 {
			wantMay(t, r, "s")
		}
		if n := c.count(asked); n != 5 {
			t.Errorf("%d questions for 5 requests", n)
		}
		defer run(t, r.Run)()
		synctest.Wait()
		for range 5 {
			wantMay(t, r, "s")
		}
		if n := c.count(asked); n != 6 {
			t.Errorf("%d questions once somebody tells", n)
		}
	})
}

func TestTheStreamMovesToAServerThatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r := newResolver(c, DownExtendCache, &lines{})
		r.Servers = c.servers("s1:8300", "s2:8300")
		defer run(t, r.Run)()
		synctest.Wait()
		wantMay(t, r, "s")
		c.with(func(c *cluster) { c.down["s1:8300"] = true })
		sleep.For(t.Context(), time.Second)
		before := c.count(asked)
		wantMay(t, r, "s")
		wantMay(t, r, "s")
		if n := c.count(asked) - before; n != 2 { // s1 fails, s2 answers, and tells of changes
			t.Errorf("%d questions", n)
		}
		c.revoke("s")
		synctest.Wait()
		wantNotFound(t, r, "s")
	})
}

func TestAsyncCacheDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r, stop := listening(t, c, DownAsyncCache)
		defer stop()
		wantMay(t, r, "s")
		sleep.For(t.Context(), time.Minute)
		gate := make(chan struct{})
		c.with(func(c *cluster) { c.gate = gate })
		began := time.Now()
		wantMay(t, r, "s")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it waited %v for a server to say the same again", waited)
		}
		c.with(func(c *cluster) {
			c.index++
			c.tell(endpoint.Change{Kind: endpoint.ChangeAll, Index: c.index})
		})
		synctest.Wait()
		began = time.Now()
		wantMay(t, r, "s")
		if waited := time.Since(began); waited != patience {
			t.Errorf("it waited %v for news", waited)
		}
		close(gate)
		sleep.For(t.Context(), time.Second)
		before := c.count(asked)
		wantMay(t, r, "s")
		wantMay(t, r, "s")
		if n := c.count(asked) - before; n > 1 {
			t.Errorf("%d questions after the answer", n)
		}
	})
}

func TestATokenRevokedWhileItIsAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		gate := make(chan struct{})
		c.with(func(c *cluster) { c.gate = gate })
		got := make(chan error)
		go func() { got <- may(t, r, "s", acl.AgentRead) }()
		synctest.Wait() // the server has read its state
		c.revoke("s")
		synctest.Wait() // the agent was told
		close(gate)
		if err := <-got; !errors.Is(err, acl.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		wantNotFound(t, r, "s")
	})
}

func TestRightsChangedWhileTheyAreAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayAll)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		gate := make(chan struct{})
		c.with(func(c *cluster) { c.gate = gate })
		got := make(chan error)
		go func() { got <- may(t, r, "s", acl.AgentWrite) }()
		synctest.Wait()
		c.set("s", mayRead)
		synctest.Wait()
		close(gate)
		if err := <-got; err == nil {
			t.Error("the old rights count")
		}
		if err := may(t, r, "s", acl.AgentWrite); err == nil {
			t.Error("the old rights are remembered")
		}
	})
}

// Who joins a question that was answered before their token was made is not refused.
func TestATokenMadeWhileItIsAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		gate := make(chan struct{})
		c.with(func(c *cluster) { c.gate = gate })
		early, late := make(chan error), make(chan error)
		go func() { early <- may(t, r, "s", acl.AgentRead) }()
		synctest.Wait()
		c.set("s", mayRead)
		go func() { late <- may(t, r, "s", acl.AgentRead) }()
		synctest.Wait()
		close(gate)
		if err := <-early; !errors.Is(err, acl.ErrNotFound) {
			t.Errorf("before it was made: %v", err)
		}
		if err := <-late; err != nil {
			t.Errorf("after it was made: %v", err)
		}
	})
}

func TestAnExpiredTokenIsTheServersMatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		ends := time.Now().Add(5 * time.Second)
		c.set("s", mayRead).ExpirationTime = &ends
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		wantMay(t, r, "s")
		sleep.For(t.Context(), 6*time.Second)
		wantMay(t, r, "s") // this agent's clock may be ahead
		if n := c.count(asked); n != 2 {
			t.Errorf("%d questions", n)
		}
		c.with(func(c *cluster) { c.down[""] = true })
		if err := may(t, r, "s", acl.AgentRead); err == nil {
			t.Error("an expired token works while no server can be asked")
		}
	})
}

func TestAnElectionRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.set("s", mayRead)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		c.with(func(c *cluster) { c.failure = "No cluster leader" })
		got := make(chan error)
		go func() { got <- may(t, r, "s", acl.AgentRead) }()
		sleep.For(t.Context(), 4*time.Second)
		c.with(func(c *cluster) { c.failure = "" })
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

func TestALongOutageHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		c.with(func(c *cluster) { c.down[""] = true })
		began := time.Now()
		_ = may(t, r, "s", acl.AgentRead)
		if held := time.Since(began); held != defaultHold {
			t.Errorf("the first caller was held for %v", held)
		}
		began = time.Now()
		_ = may(t, r, "s", acl.AgentRead)
		if held := time.Since(began); held > 0 {
			t.Errorf("the next one was held for %v", held)
		}
	})
}

func TestACallerWhoGoesIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.with(func(c *cluster) { c.down[""] = true })
		r := newResolver(c, DownExtendCache, &lines{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Resolve(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWithoutServers(t *testing.T) {
	t.Run("the recovery token works on this agent", func(t *testing.T) {
		r := newResolver(newCluster(t), DownExtendCache, &lines{})
		r.Recovery = func() logging.Secret { return "recovery" }
		r.Servers.Addrs = func() []string { return nil }
		for _, p := range []acl.Permission{acl.AgentRead, acl.AgentWrite, acl.NodeRead} {
			if err := may(t, r, "recovery", p); err != nil {
				t.Error(err)
			}
		}
		if err := may(t, r, "recovery", acl.ACLWrite); err == nil || !strings.Contains(err.Error(), "agent-recovery:n1") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the recovery token of an agent in a partition works there alone", func(t *testing.T) {
		r := newResolver(newCluster(t), DownExtendCache, &lines{})
		r.Partition, r.Recovery = "pay", func() logging.Secret { return "recovery" }
		who, err := r.Resolve(t.Context(), "recovery")
		if err != nil {
			t.Fatal(err)
		}
		pay := tenancy.Scope{Partition: "pay", Namespace: tenancy.DefaultName}
		if err := who.Require(pay, acl.AgentWrite, "n1"); err != nil {
			t.Error(err)
		}
		if who.Allowed(tenancy.Default, acl.AgentWrite, "n1") {
			t.Error("it reaches an agent of the default partition")
		}
	})
	t.Run("ACLs that are off ask nobody", func(t *testing.T) {
		r := &Resolver{}
		if err := may(t, r, "whatever", acl.AgentWrite); err != nil {
			t.Error(err)
		}
	})
	t.Run("no recovery token is not the empty one", func(t *testing.T) {
		c := newCluster(t)
		r := newResolver(c, DownExtendCache, &lines{})
		r.Recovery = func() logging.Secret { return "" }
		c.set(acl.AnonymousSecret, "")
		if err := may(t, r, "", acl.AgentWrite); err == nil || !strings.Contains(err.Error(), "accessor-anonymous") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAServersWordsReachTheCaller(t *testing.T) {
	const text = "ACL system must be bootstrapped before making any requests that require authorization: ACL not found"
	err := notFound(&refusal{status: http.StatusForbidden, text: text})
	if err == nil || err.Error() != text || !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, other := range []error{
		&refusal{status: http.StatusForbidden, text: "Permission denied"},
		&refusal{status: http.StatusInternalServerError, text: "ACL not found"},
		errRefused,
	} {
		if err := notFound(other); err != nil {
			t.Errorf("%v is taken for %v", other, err)
		}
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r, stop := listening(t, c, DownExtendCache)
		defer stop()
		for i := range maxCached + 100 {
			secret := fmt.Sprint("s", i)
			c.set(secret, mayRead)
			wantMay(t, r, secret)
		}
		if n := len(r.known); n != maxCached {
			t.Errorf("%d callers are remembered", n)
		}
		if n := len(r.flights); n != 0 {
			t.Errorf("%d questions are left", n)
		}
	})
}

func TestManyChangesWhileOneAsks(t *testing.T) {
	f := &flight{}
	for i := range 3 * maxNoted {
		f.note(endpoint.Change{Kind: endpoint.ChangeToken, Accessor: fmt.Sprint(i), Index: uint64(i)})
	}
	if len(f.changes) > maxNoted+1 {
		t.Errorf("%d changes are kept", len(f.changes))
	}
	if v := (verdict{}); !f.outdated(&endpoint.ResolveAnswer{AccessorID: "0"}, &v) {
		t.Error("a change that was not kept does not count")
	}
}

func TestCVE_2026_16326_NobodyGetsTheRightsOfAnother(t *testing.T) {
	c := newCluster(t)
	const tokens = 20
	for i := range tokens {
		c.set(fmt.Sprint("s", i), mayRead)
	}
	out := &lines{}
	r := newResolver(c, DownExtendCache, out)
	stop := run(t, r.Run)
	var callers sync.WaitGroup
	for i := range tokens {
		callers.Go(func() {
			secret := fmt.Sprint("s", i)
			for range 200 {
				who, err := r.Resolve(t.Context(), logging.Secret(secret))
				if err != nil || who.AccessorID != "accessor-"+secret || who.Token.SecretID.Reveal() != secret {
					t.Errorf("%s: %s, %v", secret, who.AccessorID, err)
					return
				}
			}
		})
	}
	callers.Go(func() {
		for i := range 200 {
			c.set(fmt.Sprint("s", i%tokens), mayRead)
		}
	})
	callers.Wait()
	stop()
	if strings.Contains(out.String(), "s19") {
		t.Errorf("a secret is in the log: %s", out)
	}
}
