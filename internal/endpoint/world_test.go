package endpoint

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// memoryRaft applies each command at once, through the log's encoding.
type memoryRaft struct {
	mu     sync.Mutex
	fsm    *fsm.FSM
	index  uint64
	before func(fsm.Command) // called without the lock
	now    func() time.Time  // nil is time.Now
}

func (r *memoryRaft) Propose(ctx context.Context, cmd fsm.Command) (uint64, error) {
	_, index, err := r.propose(ctx, cmd)
	return index, err
}

func (r *memoryRaft) Ask(ctx context.Context, cmd fsm.Answering) (any, uint64, error) {
	return r.propose(ctx, cmd)
}

func (r *memoryRaft) propose(ctx context.Context, cmd fsm.Command) (any, uint64, error) {
	if r.before != nil {
		r.before(cmd)
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, errs.Errorf(errs.Unavailable, "not proposed: %w", err)
	}
	data, err := fsm.Encode(cmd)
	if err != nil {
		return nil, 0, err
	}
	at := time.Now()
	if r.now != nil {
		at = r.now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	applied := r.fsm.Apply(&raft.Log{Index: r.index, Data: data, AppendedAt: at}).(fsm.Applied)
	return applied.Answers[0], r.index, applied.Errors[0]
}

// world is a server without edges.
type world struct {
	*Backend
	t     testing.TB
	state *state.Store
	raft  *memoryRaft
	clock time.Time
	kind  *fakeType

	tokens   *Tokens
	policies *Policies
	roles    *Roles
	methods  *AuthMethods
	rules    *BindingRules
	logins   *Logins
	parts    *Partitions
	spaces   *Namespaces

	root acl.Caller // may do everything
}

var ctx = context.Background()

// newWorld returns a server whose ACLs are initialized and bootstrapped.
func newWorld(t testing.TB) *world {
	w := emptyWorld(t)
	w.root = w.bootstrap()
	return w
}

// emptyWorld returns a server whose leader has initialized ACLs, before bootstrap.
func emptyWorld(t testing.TB) *world {
	store := state.New()
	w := &world{
		t:     t,
		state: store,
		raft:  &memoryRaft{fsm: fsm.New(store), index: 10},
		clock: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		kind:  &fakeType{},
	}
	now := func() time.Time { return w.clock }
	w.raft.now = now
	w.Backend = &Backend{Store: store, Raft: w.raft, Now: now, Resolver: &Resolver{
		Store: store, Now: now, Enabled: true, Datacenter: "dc1", NodeName: "n1", DownPolicy: "extend-cache",
	}}
	verifiers := &Verifiers{Types: []authmethod.Type{w.kind}}
	w.tokens = &Tokens{w.Backend}
	w.policies = &Policies{w.Backend}
	w.roles = &Roles{w.Backend}
	w.methods = &AuthMethods{Backend: w.Backend, Verifiers: verifiers}
	w.rules = &BindingRules{Backend: w.Backend, Verifiers: verifiers}
	w.logins = &Logins{Backend: w.Backend, Verifiers: verifiers}
	w.parts = &Partitions{w.Backend}
	w.spaces = &Namespaces{w.Backend}
	anonymous := acl.Token{
		AccessorID: acl.AnonymousAccessor, SecretID: acl.AnonymousSecret,
		Description: acl.AnonymousDescription, CreateTime: w.clock, Scope: tenancy.Default,
	}
	w.propose(fsm.ACLInit{Policies: acl.BuiltinPolicies(), Tokens: []acl.Token{anonymous}})
	return w
}

func (w *world) propose(cmd fsm.Command) {
	w.t.Helper()
	if _, err := w.raft.Propose(ctx, cmd); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) bootstrap() acl.Caller {
	w.t.Helper()
	token, err := (&Bootstraps{Backend: w.Backend}).Bootstrap(ctx, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.resolve(token.SecretID)
}

func (w *world) resolve(secret logging.Secret) acl.Caller {
	w.t.Helper()
	who, err := w.Resolver.Resolve(ctx, secret)
	if err != nil {
		w.t.Fatal(err)
	}
	return who
}

// in returns a scope and makes sure that it exists.
func (w *world) in(partition, namespace string) tenancy.Scope {
	w.t.Helper()
	s := tenancy.Scope{Partition: partition, Namespace: namespace}
	if p, _ := w.state.Read().Partition(nil, partition); p == nil {
		must(w.parts.Set(ctx, w.root, "", tenancy.Partition{Name: partition}))(w.t)
	}
	if n, _ := w.state.Read().Namespace(nil, partition, namespace); n == nil {
		must(w.spaces.Set(ctx, w.root, "", tenancy.Namespace{Name: namespace, Partition: partition}))(w.t)
	}
	return s
}

// policy makes a policy with a name of its own in s.
func (w *world) policy(s tenancy.Scope, name, rules string) *acl.Policy {
	w.t.Helper()
	return must(w.policies.Create(ctx, w.root, acl.Policy{Name: name, Rules: rules, Scope: s}))(w.t)
}

// role makes a role in s.
func (w *world) role(s tenancy.Scope, r acl.Role) *acl.Role {
	w.t.Helper()
	r.Scope = s
	return must(w.roles.Create(ctx, w.root, r))(w.t)
}

// token makes a token in s.
func (w *world) token(s tenancy.Scope, t acl.Token) *acl.Token {
	w.t.Helper()
	t.Scope = s
	return must(w.tokens.Create(ctx, w.root, TokenWrite{Token: t}))(w.t)
}

// caller returns one with a token and a policy in s that has rules.
func (w *world) caller(s tenancy.Scope, rules string) acl.Caller {
	w.t.Helper()
	p := w.policy(s, "p-"+uuid.New(), rules)
	return w.resolve(w.token(s, acl.Token{Policies: []acl.Link{{ID: p.ID}}}).SecretID)
}

// countTokens returns how many tokens there are in all scopes that exist.
func (w *world) countTokens() int {
	w.t.Helper()
	tx, n := w.state.Read(), 0
	for _, p := range must(tx.Partitions(nil))(w.t) {
		n += len(must(tx.Tokens(nil, tenancy.Scope{Partition: p.Name, Namespace: tenancy.Wildcard}, state.TokenFilter{}))(w.t))
	}
	return n
}

// must returns a function that returns v, or ends the test.
func must[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantError checks an error's kind and text; an empty text wants none.
func wantError(t *testing.T, err error, kind errs.Kind, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("no error, want %q", text)
	}
	if err.Error() != text || errs.KindOf(err) != kind {
		t.Fatalf("got %v error %q\nwant %v error %q", errs.KindOf(err), err, kind, text)
	}
}

// fakeType is an auth method type whose bearer token is what it proves: words
// like "name=web" that become attributes and variables; "id" is the unique ID, and
// "proof" the proof.
type fakeType struct {
	mu     sync.Mutex
	opened int
	during func() // called while a login is verified
}

func (*fakeType) Name() string { return "aws-iam" }

func (f *fakeType) Open(config map[string]any) (authmethod.Verifier, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	for key := range config {
		if key != "Trusted" {
			return nil, errs.Errorf(errs.Invalid, "error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: %s", key)
		}
	}
	return fakeVerifier{f}, nil
}

type fakeVerifier struct{ kind *fakeType }

var fakeVariables = []string{"entity_name", "account_id", "entity_tags.ns", "entity_tags.service"}

func (v fakeVerifier) Verify(ctx context.Context, bearer logging.Secret) (authmethod.Identity, error) {
	if v.kind.during != nil {
		v.kind.during()
	}
	if bearer == "refused" {
		return authmethod.Identity{}, errs.New(errs.Denied, "IAM principal is not trusted")
	}
	if err := ctx.Err(); err != nil {
		return authmethod.Identity{}, err
	}
	values := map[string]string{}
	for _, pair := range strings.Fields(bearer.Reveal()) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return authmethod.Identity{}, errs.New(errs.Invalid, "invalid token: unexpected end of JSON input")
		}
		values[name] = value
	}
	id := fakeIdentity(values)
	id.Principal, id.UniqueID, id.Account = values["entity_name"], values["id"], values["account_id"]
	id.Proof, id.ProofEnds = values["proof"], proofEnds
	return id, nil
}

// proofEnds is when each bearer token with a proof is worthless.
var proofEnds = time.Date(2030, 1, 2, 3, 19, 5, 0, time.UTC)

func (fakeVerifier) Example() authmethod.Identity {
	values := map[string]string{}
	for _, name := range fakeVariables {
		values[name] = authmethod.Placeholder
	}
	return fakeIdentity(values)
}

func fakeIdentity(values map[string]string) authmethod.Identity {
	id := authmethod.Identity{Variables: map[string]string{}, Attributes: map[string]any{}}
	tags := map[string]string{}
	for _, name := range fakeVariables {
		id.Variables[name] = values[name]
		if tag, ok := strings.CutPrefix(name, "entity_tags."); ok {
			tags[tag] = values[name]
		} else {
			id.Attributes[name] = values[name]
		}
	}
	id.Attributes["entity_tags"] = tags
	return id
}

// login makes method m of the default namespace, with a rule that binds
// everybody to a service, and returns the token of a login with it.
func (w *world) login(t testing.TB) *acl.Token {
	t.Helper()
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", MaxTokenTTL: time.Hour, Scope: tenancy.Default}))(t)
	w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "login-${entity_name}"})
	return must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web"}))(t)
}

// rule makes a binding rule, in the default namespace unless it says another.
func (w *world) rule(r authmethod.BindingRule) *authmethod.BindingRule {
	w.t.Helper()
	if r.Namespace == "" {
		r.Scope = tenancy.Default
	}
	return must(w.rules.Create(ctx, w.root, r))(w.t)
}
