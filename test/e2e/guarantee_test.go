package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
)

const (
	revocationLimit = time.Second            // that the 99th percentile has to keep
	busyLimit       = 5 * time.Second        // of a short run, beside other tests
	faultyTime      = 500 * time.Millisecond // for an answer from a host that is down or cut off
	keptSecrets     = 4000                   // that are asked about once more at the end
)

// limitOfTheMoment is how long a change that has to be seen within a second may take.
func limitOfTheMoment() time.Duration {
	if os.Getenv("LICTOR_LONG") != "" {
		return revocationLimit
	}
	return busyLimit
}

// TestTokenGuarantee logs in on one server and at once uses the token on every
// other server, with ?stale, and through client agents, while servers pause, the leader
// is killed and a server is cut off from all others. No token that was issued is
// ever refused. After logout it measures how long each of them goes on taking the token.
func TestTokenGuarantee(t *testing.T) {
	load := load{logins: 2000, workers: 24, measured: 1, calm: 250}
	if os.Getenv("LICTOR_LONG") != "" {
		load.logins, load.workers, load.measured, load.calm = 100_000, 64, 4, 1000
		load.always = true
	}
	if testing.Short() {
		load.logins, load.calm = 300, 50
	}
	run := newGuaranteeRun(t, load)
	began := time.Now()
	run.work()
	elapsed := time.Since(began)
	run.verify()
	run.report(elapsed)
}

// load is how much a run does.
type load struct {
	logins   int64
	workers  int
	measured int64 // of so many logouts one is measured
	calm     int64 // logins between faults
	always   bool  // revocationLimit holds whether or not the leader changes
}

// place is a host as the test's workers know it.
type place struct {
	*host
	agent  bool
	faults atomic.Int64 // odd while the host is down or cut off
}

func (p *place) faulty() bool { return p.faults.Load()%2 == 1 }

// guaranteeRun is a cluster under load and under faults, and what was seen.
type guaranteeRun struct {
	t       *testing.T
	load    load
	cluster *cluster
	servers []*place
	places  []*place
	bearer  atomic.Pointer[string]

	logins, accepted, unanswered, unmeasured atomic.Int64
	pauses, kills, cuts                      int
	changes                                  atomic.Int64           // of the leader; odd while there may be none
	doing                                    atomic.Pointer[string] // the fault of the moment
	ctx                                      context.Context
	cancel                                   context.CancelFunc // when target is reached

	mu         sync.Mutex
	refusals   []string
	revocation map[bool][]revoked // true: on client agents
	gone       []string           // secrets of acknowledged logouts
}

// revoked is how long a place took a token after its logout was acknowledged.
type revoked struct {
	after         time.Duration
	during, place string
	changed       bool // the leader did meanwhile
}

func newGuaranteeRun(t *testing.T, l load) *guaranteeRun {
	t.Helper()
	r := &guaranteeRun{t: t, load: l, cluster: prepareCluster(t, 3, 2), revocation: map[bool][]revoked{}}
	r.cluster.start(r.cluster.servers...)
	r.cluster.awaitLeader()
	r.cluster.startAgents()
	for _, h := range r.cluster.servers {
		r.servers = append(r.servers, &place{host: h})
	}
	r.places = slices.Clone(r.servers)
	for _, h := range r.cluster.agents {
		r.places = append(r.places, &place{host: h, agent: true})
	}
	r.say("nothing")
	r.setUp()
	r.sign()
	return r
}

// setUp makes the auth method, and a role whose tokens may read the client agents.
func (r *guaranteeRun) setUp() {
	client := r.servers[0].api().ACL()
	_, _, err := client.PolicyCreate(&api.ACLPolicy{Name: "agents", Rules: `agent_prefix "" { policy = "read" }`}, nil)
	if err == nil {
		_, _, err = client.RoleCreate(&api.ACLRole{Name: "tasks", Policies: []*api.ACLRolePolicyLink{{Name: "agents"}}}, nil)
	}
	if err == nil {
		_, _, err = client.AuthMethodCreate(&api.ACLAuthMethod{
			Name: "m", Type: "aws-iam",
			Config: map[string]any{
				"BoundIAMPrincipalARNs": []string{"arn:aws:iam::123456789012:role/consul-ecs/*"}, "EnableIAMEntityDetails": true,
			},
		}, nil)
	}
	if err == nil {
		_, _, err = client.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "m", BindType: "role", BindName: "tasks"}, nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	task, err := r.cluster.aws.startTask("consul-ecs/web")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, pair := range append(r.cluster.aws.environ(), "AWS_CONTAINER_CREDENTIALS_FULL_URI="+task.CredentialsURI) {
		name, value, _ := strings.Cut(pair, "=")
		r.t.Setenv(name, value)
	}
}

// sign makes a new bearer token.
func (r *guaranteeRun) sign() {
	token, err := awsiam.NewBearerToken(context.Background(), awsiam.BearerInput{Region: region, IncludeEntity: true})
	if err != nil {
		r.t.Error(err)
		return
	}
	body, err := json.Marshal(map[string]any{"AuthMethod": "m", "BearerToken": token.Reveal()})
	if err != nil {
		r.t.Error(err)
		return
	}
	text := string(body)
	r.bearer.Store(&text)
}

// work runs the workers, and faults one after the other, until enough logins
// were answered and used.
func (r *guaranteeRun) work() {
	r.ctx, r.cancel = context.WithCancel(context.Background())
	defer r.cancel()
	var workers sync.WaitGroup
	for range r.load.workers {
		workers.Go(func() {
			for r.ctx.Err() == nil && !r.t.Failed() {
				r.life()
			}
			r.cancel()
		})
	}
	for round := 0; r.ctx.Err() == nil && !r.t.Failed(); round++ {
		r.sign()
		r.fault(round)
	}
	workers.Wait()
}

// life is that of one token: login, its use everywhere at once, logout, and its
// refusal everywhere.
func (r *guaranteeRun) life() {
	secret, at, err := r.login()
	if err != nil {
		r.t.Error(err)
		return
	}
	r.everywhere(func(p *place) {
		r.use(p, at, "/v1/acl/token/self?stale", secret)
		if p.agent {
			r.use(p, at, "/v1/agent/self", secret)
		}
	})
	n := r.logins.Add(1)
	if n == r.load.logins {
		r.cancel()
	}
	out, err := r.logout(secret)
	if err != nil {
		r.t.Error(err)
		return
	}
	if n%r.load.measured == 0 {
		r.everywhere(func(p *place) { r.awaitRefusal(p, secret, out) })
	}
}

func (r *guaranteeRun) everywhere(f func(*place)) {
	var all sync.WaitGroup
	for _, p := range r.places {
		all.Go(func() { f(p) })
	}
	all.Wait()
}

// anywhere returns a place that nothing has been done to.
func (r *guaranteeRun) anywhere() *place {
	for {
		if p := r.places[rand.IntN(len(r.places))]; !p.faulty() {
			return p
		}
	}
}

// login logs in somewhere, again elsewhere while there is no answer.
func (r *guaranteeRun) login() (secret string, at *place, err error) {
	err = every(10*time.Millisecond, func(ctx context.Context) error {
		at = r.anywhere()
		status, answer, err := at.ask(ctx, http.MethodPost, "/v1/acl/login", "", *r.bearer.Load())
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("login at %s: status %d: %s: %w", at.name, status, answer, err)
		}
		var token struct{ SecretID string }
		if err := json.Unmarshal([]byte(answer), &token); err != nil {
			return err
		}
		secret = token.SecretID
		return nil
	})
	return secret, at, err
}

// use uses a token that was just issued until it is answered, or once where the
// host is down or cut off.
func (r *guaranteeRun) use(p *place, from *place, path, secret string) {
	err := every(5*time.Millisecond, func(ctx context.Context) error {
		faulty := p.faulty()
		if faulty {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, faultyTime)
			defer cancel()
		}
		status, answer, err := p.ask(ctx, http.MethodGet, path, secret, "")
		switch {
		case err == nil && status == http.StatusOK:
			r.accepted.Add(1)
			return nil
		case err == nil && status < http.StatusInternalServerError:
			r.refused(fmt.Sprintf("%s %s refuses a token issued by %s: status %d: %s", p.name, path, from.name, status, answer))
			return nil
		case faulty:
			r.unanswered.Add(1)
			return nil
		}
		return fmt.Errorf("%s %s does not answer: status %d: %s: %w", p.name, path, status, answer, err)
	})
	if err != nil {
		r.t.Error(err)
	}
}

func (r *guaranteeRun) refused(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals = append(r.refusals, what)
	r.t.Error(what)
}

// logout logs out somewhere and returns when that was acknowledged.
func (r *guaranteeRun) logout(secret string) (at time.Time, err error) {
	tries := 0
	err = every(10*time.Millisecond, func(ctx context.Context) error {
		p := r.anywhere()
		status, answer, err := p.ask(ctx, http.MethodPost, "/v1/acl/logout", secret, "")
		tries++
		at = time.Now()
		if err == nil && (status == http.StatusOK || tries > 1 && status == http.StatusForbidden) {
			return nil
		}
		return fmt.Errorf("logout at %s: status %d: %s: %w", p.name, status, answer, err)
	})
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.gone) < keptSecrets {
			r.gone = append(r.gone, secret)
		} else {
			r.gone[rand.IntN(keptSecrets)] = secret
		}
	}
	return at, err
}

// awaitRefusal measures how long a place takes a token after its logout. A host
// that is down or cut off meanwhile cannot know of it and is not measured.
func (r *guaranteeRun) awaitRefusal(p *place, secret string, out time.Time) {
	path := "/v1/acl/token/self?stale"
	if p.agent {
		path = "/v1/agent/self"
	}
	faults, changes := p.faults.Load(), r.changes.Load()
	disturbed := func() bool { return p.faulty() || p.faults.Load() != faults }
	err := every(5*time.Millisecond, func(ctx context.Context) error {
		if disturbed() {
			r.unmeasured.Add(1)
			return nil
		}
		status, answer, err := p.ask(ctx, http.MethodGet, path, secret, "")
		switch {
		case disturbed():
			return errors.New("disturbed")
		case err == nil && status == http.StatusForbidden:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.revocation[p.agent] = append(r.revocation[p.agent], revoked{
				after: time.Since(out), during: *r.doing.Load(), place: p.name,
				changed: changes%2 == 1 || changes != r.changes.Load(),
			})
			return nil
		}
		return fmt.Errorf("%s %s does not refuse a token that was logged out: status %d: %s: %w", p.name, path, status, answer, err)
	})
	if err != nil {
		r.t.Error(err)
	}
}

// verify asks every place, now that nothing disturbs them, for tokens that were logged out.
func (r *guaranteeRun) verify() {
	for _, p := range r.places {
		if err := p.answers(); err != nil {
			r.t.Fatalf("%s: %v", p.name, err)
		}
	}
	r.everywhere(func(p *place) {
		for _, secret := range r.gone {
			err := every(10*time.Millisecond, func(ctx context.Context) error {
				status, answer, err := p.ask(ctx, http.MethodGet, "/v1/acl/token/self?stale", secret, "")
				if err == nil && status == http.StatusOK {
					r.t.Errorf("%s takes a token that was logged out: %s", p.name, answer)
					return nil
				}
				if err == nil && status != http.StatusForbidden {
					err = fmt.Errorf("%s: status %d: %s", p.name, status, answer)
				}
				return err
			})
			if err != nil {
				r.t.Error(err)
			}
		}
	})
}

// report prints the figures, and fails where revocation was slow. A short run
// consists of little but faults: what was measured while the leader changed does not count in it.
func (r *guaranteeRun) report(elapsed time.Duration) {
	r.t.Logf("%s; %d logins in %v, %d pauses of followers, %d kills of the leader, %d partitions",
		r.cluster.network.name(), r.logins.Load(), elapsed.Round(time.Second), r.pauses, r.kills, r.cuts)
	r.t.Logf("uses of a token at once: %d accepted, %d refused; %d unanswered by a host that was down or cut off",
		r.accepted.Load(), len(r.refusals), r.unanswered.Load())
	for _, agents := range []bool{false, true} {
		where := map[bool]string{false: "servers", true: "client agents"}[agents]
		all := r.revocation[agents]
		p99 := r.percentiles("logout to refusal on "+where, all)
		steady := r.percentiles("the same while one server leads", slices.DeleteFunc(slices.Clone(all), func(s revoked) bool { return s.changed }))
		limit := revocationLimit
		if !r.load.always {
			p99, limit = steady, busyLimit
		}
		if p99 >= limit {
			r.t.Errorf("the 99th percentile of logout to refusal on %s is %v, want less than %v", where, p99, limit)
		}
	}
	r.t.Logf("not measured, because the host was down or cut off: %d", r.unmeasured.Load())
}

// percentiles prints what was measured and returns the 99th percentile.
func (r *guaranteeRun) percentiles(what string, times []revoked) time.Duration {
	slices.SortFunc(times, func(a, b revoked) int { return cmp.Compare(a.after, b.after) })
	if len(times) == 0 {
		r.t.Fatalf("%s: nothing was measured", what)
	}
	at := func(share float64) revoked { return times[int(share*float64(len(times)-1))] }
	round := func(s revoked) time.Duration { return s.after.Round(100 * time.Microsecond) }
	r.t.Logf("%s: %d measured, p50 %v, p99 %v, max %v on %s (during: %s)",
		what, len(times), round(at(0.5)), round(at(0.99)), round(at(1)), at(1).place, at(1).during)
	return at(0.99).after
}
