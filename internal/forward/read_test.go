package forward_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// Every server has every write when it answers a default read, while leaders change.
func TestEveryServerReadsWhatWasWritten(t *testing.T) {
	c := newCluster(t, testHold)
	for i := range 30 {
		if i%10 == 9 {
			c.transfer()
		}
		name := fmt.Sprintf("policy-%d", i)
		writer := c.servers[rand.N(len(c.servers))]
		if rec := writer.call(management, http.MethodPut, "/v1/acl/policy", `{"Name": "`+name+`"}`); rec.Code != http.StatusOK {
			t.Fatalf("write %d through %s: %d %s", i, writer.id, rec.Code, rec.Body)
		}
		for _, s := range c.servers {
			for _, mode := range []string{"", "?consistent"} {
				rec := s.call(management, http.MethodGet, "/v1/acl/policy/name/"+name+mode, "")
				if rec.Code != http.StatusOK {
					t.Fatalf("read %d on %s%s: %d %s", i, s.id, mode, rec.Code, rec.Body)
				}
				h := rec.Header()
				index, err := strconv.ParseUint(h.Get("X-Consul-Index"), 10, 64)
				if err != nil || index < 2 || h.Get("X-Consul-Knownleader") != "true" || h.Get("X-Consul-Lastcontact") != "0" {
					t.Errorf("on %s%s: headers %v", s.id, mode, h)
				}
				if h.Get("X-Consul-Effective-Consistency") != "" {
					t.Errorf("on %s%s: this route does not say its consistency", s.id, mode)
				}
			}
		}
	}
}

func TestAStaleReadSaysHowStaleItIs(t *testing.T) {
	c := newCluster(t, 300*time.Millisecond)
	follower := c.followers(c.leader())[0]
	read := func(query string) (code int, known string, last int) {
		rec := follower.call(management, http.MethodGet, "/v1/acl/policies"+query, "")
		last, _ = strconv.Atoi(rec.Header().Get("X-Consul-Lastcontact"))
		return rec.Code, rec.Header().Get("X-Consul-Knownleader"), last
	}
	began := time.Now()
	for { // it holds a request for a short time, and may not have heard of the leader yet
		rec := follower.call(management, http.MethodGet, "/v1/acl/policies", "")
		if rec.Code == http.StatusOK {
			break
		}
		if time.Since(began) > testHold {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	if code, known, last := read("?stale"); code != http.StatusOK || known != "true" || last > 10_000 {
		t.Errorf("with a leader: %d, known %s, %d ms", code, known, last)
	}
	for _, s := range c.servers {
		if s != follower {
			s.stop()
		}
	}
	lost := time.Now()
	for known := "true"; known == "true"; { // until it misses the leader
		if time.Since(lost) > testHold {
			t.Fatal("it does not miss the leader")
		}
		_, known, _ = read("?stale")
	}
	if code, _, last := read("?stale"); code != http.StatusOK || last == 0 {
		t.Errorf("without a leader: %d, %d ms", code, last)
	}
	for _, query := range []string{"", "?consistent", "?index=1&wait=1s"} {
		rec := follower.call(management, http.MethodGet, "/v1/acl/policies"+query, "")
		if rec.Code != http.StatusInternalServerError || !strings.HasPrefix(rec.Body.String(), "No cluster leader") {
			t.Errorf("without a leader and %q: %d %s", query, rec.Code, rec.Body)
		}
	}
	if rec := follower.call("11111111-2222-4333-8444-000000000000", http.MethodGet, "/v1/acl/token/self?stale", ""); rec.Code != http.StatusInternalServerError {
		t.Errorf("a token that nobody can know of: %d %s", rec.Code, rec.Body)
	}
	if rec := follower.call(management, http.MethodPut, "/v1/acl/token", "{}"); rec.Code != http.StatusInternalServerError || rec.Body.String() != "No cluster leader" {
		t.Errorf("a write: %d %s", rec.Code, rec.Body)
	}
}

// A follower that is behind waits until it knows the token, also for a stale read.
func TestAFollowerThatIsBehindDoesNotRefuseAToken(t *testing.T) {
	c := newCluster(t, testHold)
	for _, change := range []bool{false, true} {
		t.Run(fmt.Sprintf("leader changes %v", change), func(t *testing.T) {
			leader := c.leader()
			behind := c.followers(leader)[0]
			asked := make(chan struct{}, 1000)
			behind.client.mu.Lock()
			behind.client.asked = func() { asked <- struct{}{} }
			behind.client.mu.Unlock()
			release := behind.hold()
			defer release()
			secret, _ := leader.newToken("late")
			answers := make(chan int, 3)
			for _, target := range []string{"/v1/acl/token/self?stale", "/v1/acl/token/self", "/v1/acl/policies?stale"} {
				go func() { answers <- behind.call(secret, http.MethodGet, target, "").Code }()
			}
			<-asked
			if change {
				var next string
				for _, s := range c.servers {
					if s != leader && s != behind {
						next = s.id
					}
				}
				if err := leader.node.TransferLeadership(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				<-asked
			}
			select {
			case code := <-answers:
				t.Fatalf("it answers %d before it knows", code)
			default:
			}
			release()
			codes := map[int]int{}
			for range 3 {
				codes[<-answers]++
			}
			if codes[http.StatusOK] != 2 || codes[http.StatusForbidden] != 1 { // the token may not list policies
				t.Errorf("answers %v", codes)
			}
		})
	}
}

// Many workers use tokens everywhere at once, while leaders change.
func TestNoIssuedTokenIsEverRefused(t *testing.T) {
	c := newCluster(t, testHold)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var tokens, uses, refused atomic.Int64
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for ctx.Err() == nil {
				issuer := c.servers[(w+int(tokens.Add(1)))%3]
				rec := issuer.call(management, http.MethodPut, "/v1/acl/token", "{}")
				if rec.Code != http.StatusOK {
					continue // leadership was lost under way
				}
				_, secret, _ := strings.Cut(rec.Body.String(), `"SecretID":"`)
				for _, s := range c.servers {
					rec := s.call(logging.Secret(secret[:36]), http.MethodGet, "/v1/acl/token/self?stale", "")
					if uses.Add(1); rec.Code != http.StatusOK {
						refused.Add(1)
						t.Errorf("on %s: %d %s", s.id, rec.Code, rec.Body)
					}
				}
			}
		})
	}
	for range 4 {
		c.transfer()
		for before := uses.Load(); uses.Load() < before+300 && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
	}
	stop()
	workers.Wait()
	t.Logf("%d uses of %d tokens, %d refused", uses.Load(), tokens.Load(), refused.Load())
	if rec := c.servers[0].call("11111111-2222-4333-8444-000000000000", http.MethodGet, "/v1/acl/token/self?stale", ""); rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "ACL not found") {
		t.Errorf("a token that was never issued: %d %s", rec.Code, rec.Body)
	}
}

func TestARevokedTokenIsRefusedEverywhere(t *testing.T) {
	c := newCluster(t, testHold)
	for i := range 20 {
		issuer := c.servers[i%3]
		secret, accessor := issuer.newToken("short")
		for _, s := range c.servers {
			if rec := s.call(secret, http.MethodGet, "/v1/acl/token/self", ""); rec.Code != http.StatusOK {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		if rec := issuer.call(management, http.MethodDelete, "/v1/acl/token/"+accessor, ""); rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for _, s := range c.servers {
			if rec := s.call(secret, http.MethodGet, "/v1/acl/token/self", ""); rec.Code != http.StatusForbidden {
				t.Errorf("on %s: %d %s", s.id, rec.Code, rec.Body)
			}
		}
	}
}

// BenchmarkDefaultRead reads by default on a follower of three servers, whose workers share
// read indexes, and as stale. It reports how many questions a read costs.
func BenchmarkDefaultRead(b *testing.B) {
	c := newCluster(b, testHold)
	follower := c.followers(c.leader())[0]
	var asked atomic.Int64
	follower.client.asked = func() { asked.Add(1) }
	for _, workers := range []int{1, 64} {
		for _, query := range []string{"", "?stale", "?consistent"} {
			b.Run(fmt.Sprintf("x%d%s", workers, query), func(b *testing.B) {
				asked.Store(0)
				b.SetParallelism((workers + 1) / 2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						rec := follower.call(management, http.MethodGet, "/v1/acl/token/self"+query, "")
						if rec.Code != http.StatusOK {
							b.Errorf("%d %s", rec.Code, rec.Body)
						}
					}
				})
				b.ReportMetric(float64(asked.Load())/float64(b.N), "questions/read")
			})
		}
	}
}

// BenchmarkIssueAndUse makes a token and uses it at once on the two other servers.
func BenchmarkIssueAndUse(b *testing.B) {
	c := newCluster(b, testHold)
	leader := c.leader()
	followers := c.followers(leader)
	for b.Loop() {
		secret, _ := leader.newToken("used at once")
		for _, s := range followers {
			if rec := s.call(secret, http.MethodGet, "/v1/acl/token/self?stale", ""); rec.Code != http.StatusOK {
				b.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
	}
}
