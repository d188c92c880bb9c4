package endpoint

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

const taskKey = "consul.hashicorp.com/task-id"

// leasing makes auth method m with a config and a rule for everybody.
func (w *world) leasing(name string, ttl time.Duration, config map[string]any) {
	w.t.Helper()
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: name, Type: "aws-iam", MaxTokenTTL: ttl, Config: config, Scope: tenancy.Default}))(w.t)
	w.rule(authmethod.BindingRule{AuthMethod: name, BindType: "service", BindName: "${entity_name}"})
}

func TestLoginsForTheSameTaskShareAnAccessor(t *testing.T) {
	w := newWorld(t)
	lease := map[string]any{"LeaseMetaKey": taskKey}
	w.leasing("m", time.Hour, lease)
	w.leasing("other", time.Hour, lease)
	w.leasing("plain", time.Hour, nil)
	first := must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web id=u1", Meta: map[string]string{taskKey: "t1"}}))(t)
	for _, c := range []struct {
		name string
		req  LoginRequest
		same bool
	}{
		{"the same task", LoginRequest{AuthMethod: "M", BearerToken: "entity_name=web id=u1", Meta: map[string]string{taskKey: "t1", "more": "x"}}, true},
		{"the task as a field", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u1", IdempotencyKey: "t1"}, true},
		{"the field goes before the meta", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u1", IdempotencyKey: "t1", Meta: map[string]string{taskKey: "t2"}}, true},
		{"another task", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u1", Meta: map[string]string{taskKey: "t2"}}, false},
		{"no task", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u1"}, false},
		{"another identity of the same name", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u2", Meta: map[string]string{taskKey: "t1"}}, false},
		{"another account", LoginRequest{AuthMethod: "m", BearerToken: "entity_name=web id=u1 account_id=2", Meta: map[string]string{taskKey: "t1"}}, false},
		{"another method", LoginRequest{AuthMethod: "other", BearerToken: "entity_name=web id=u1", Meta: map[string]string{taskKey: "t1"}}, false},
		{"a method that does not ask for it", LoginRequest{AuthMethod: "plain", BearerToken: "entity_name=web id=u1", Meta: map[string]string{taskKey: "t1"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.countTokens()
			c.req.Scope = tenancy.Default
			token := must(w.logins.Login(ctx, c.req))(t)
			if (token.AccessorID == first.AccessorID) != c.same || (w.countTokens() == before) != c.same {
				t.Errorf("accessor %s, first %s, %d tokens more", token.AccessorID, first.AccessorID, w.countTokens()-before)
			}
			if token.SecretID == first.SecretID || !w.resolve(token.SecretID).Allowed(tenancy.Default, acl.ServiceWrite, "web") {
				t.Error("the secret is not a new one that works")
			}
			if _, err := w.Resolver.Resolve(ctx, first.SecretID); (err != nil) != c.same {
				t.Errorf("the first secret: %v", err)
			}
			if c.same {
				first = token
			}
		})
	}
	_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web", IdempotencyKey: "t1"})
	wantError(t, err, errs.Invalid, `auth method "m" cannot lease tokens: its identities have no unique ID`)

	if err := w.methods.Delete(ctx, w.root, tenancy.Default, "m"); err != nil {
		t.Fatal(err)
	}
	w.leasing("m", time.Hour, lease)
	token := must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web id=u1", IdempotencyKey: "t1"}))(t)
	if token.AccessorID == first.AccessorID {
		t.Error("a method that was made anew has the old one's accessors")
	}
}

// A login that fails does no harm to the token that its task has.
func TestAttack_AFailingLoginDoesNotEndALease(t *testing.T) {
	w := newWorld(t)
	w.leasing("m", time.Hour, map[string]any{"LeaseMetaKey": taskKey, "SingleUseTokens": true})
	login := func(ctx context.Context, bearer logging.Secret) (*acl.Token, error) {
		return w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: bearer, IdempotencyKey: "t1"})
	}
	token := must(login(ctx, "entity_name=web id=u1 proof=1"))(t)
	works := func(after string) {
		t.Helper()
		if _, err := w.Resolver.Resolve(ctx, token.SecretID); err != nil {
			t.Fatalf("after %s: %v", after, err)
		}
	}
	_, err := login(ctx, "entity_name=web id=u1 proof=1")
	wantError(t, err, errs.Denied, "Permission denied: bearer token was used before")
	works("a replay")
	_, err = login(ctx, "refused")
	wantError(t, err, errs.Denied, "IAM principal is not trusted")
	works("a refusal")
	canceled, cancel := context.WithCancel(ctx)
	w.raft.before = func(cmd fsm.Command) {
		if _, ok := cmd.(fsm.Login); ok {
			cancel()
		}
	}
	before := w.countTokens()
	if _, err = login(canceled, "entity_name=web id=u1 proof=2"); err == nil {
		t.Fatal("a login without a caller succeeds")
	}
	w.raft.before = nil
	if n := w.countTokens(); n > before {
		t.Errorf("%d tokens, %d before", n, before)
	}
	again := must(login(ctx, "entity_name=web id=u1 proof=3"))(t)
	if again.AccessorID != token.AccessorID {
		t.Error("another accessor")
	}
}

func TestConcurrentLoginsForOneTaskLeaveOneToken(t *testing.T) {
	w := newWorld(t)
	w.leasing("m", time.Hour, map[string]any{"LeaseMetaKey": taskKey})
	before := w.countTokens()
	secrets := make([]logging.Secret, 16)
	var all sync.WaitGroup
	for i := range secrets {
		all.Go(func() {
			token, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web id=u1", IdempotencyKey: "t1"})
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = token.SecretID
		})
	}
	all.Wait()
	working := 0
	for _, secret := range secrets {
		if _, err := w.Resolver.Resolve(ctx, secret); err == nil {
			working++
		}
	}
	if n := w.countTokens() - before; n != 1 || working != 1 {
		t.Errorf("%d tokens, %d secrets work", n, working)
	}
}

// A captured bearer token is refused by every method that demands single use, on
// this server, on one that began from its snapshot, and whichever method saw it first.
func TestAttack_ReplayedBearerTokens(t *testing.T) {
	w := newWorld(t)
	once := map[string]any{"SingleUseTokens": true}
	w.leasing("stock", time.Hour, nil)
	w.leasing("once", time.Hour, once)
	w.leasing("once-too", time.Hour, once)
	login := func(w *world, method string, bearer logging.Secret) error {
		_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: method, BearerToken: bearer})
		return err
	}
	const used = "Permission denied: bearer token was used before"
	for _, c := range []struct {
		name, method string
		bearer       logging.Secret
		want         string
	}{
		{"first at a stock method", "stock", "entity_name=a proof=1", ""},
		{"again there", "stock", "entity_name=a proof=1", ""},
		{"then where it is used once", "once", "entity_name=a proof=1", used},
		{"another one", "once", "entity_name=a proof=2", ""},
		{"again", "once", "entity_name=a proof=2", used},
		{"wrapped in another way", "once", "proof=2  entity_name=a", used},
		{"at a second method", "once-too", "entity_name=a proof=2", used},
		{"at a stock method", "stock", "entity_name=a proof=2", ""},
		{"one without a proof", "once", "entity_name=a", `Permission denied: auth method "once" demands bearer tokens that are used once, and its type cannot tell them apart`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.countTokens()
			wantError(t, login(w, c.method, c.bearer), errs.Denied, c.want)
			if made := w.countTokens() - before; made != 0 && c.want != "" {
				t.Error("a refused login makes a token")
			}
		})
	}
	w.clock = proofEnds.Add(-time.Second)
	wantError(t, login(w, "once", "entity_name=a proof=2"), errs.Denied, used)

	restarted := restart(t, w)
	wantError(t, login(restarted, "once", "entity_name=a proof=2"), errs.Denied, used)
	wantError(t, login(restarted, "once-too", "entity_name=a proof=1"), errs.Denied, used)
	wantError(t, login(restarted, "once", "entity_name=a proof=3"), 0, "")

	got := must(w.logins.Explain(ctx, w.root, LoginExplain{LoginRequest: LoginRequest{Scope: tenancy.Default, AuthMethod: "once", BearerToken: "entity_name=a proof=2"}}))(t)
	if got.Reason != used || got.Identity.ProofUsedBy == "" {
		t.Errorf("explained as %s", asJSON(t, got))
	}
	for range 2 { // a dry run uses nothing up
		got = must(w.logins.Explain(ctx, w.root, LoginExplain{LoginRequest: LoginRequest{Scope: tenancy.Default, AuthMethod: "once", BearerToken: "entity_name=a proof=9"}}))(t)
		if !got.Allowed || got.Identity.ProofUsedBy != "" {
			t.Errorf("explained as %s", asJSON(t, got))
		}
	}
	wantError(t, login(w, "once", "entity_name=a proof=9"), 0, "")
}

// restart returns a world that began from w's snapshot.
func restart(t *testing.T, w *world) *world {
	t.Helper()
	var data bytes.Buffer
	if err := fsm.WriteSnapshot(&data, w.state.Read()); err != nil {
		t.Fatal(err)
	}
	next := emptyWorld(t)
	if err := next.raft.fsm.Restore(io.NopCloser(&data)); err != nil {
		t.Fatal(err)
	}
	next.raft.index, next.clock = w.raft.index, w.clock
	next.root = next.resolve(w.root.Token.SecretID)
	return next
}

func TestRenew(t *testing.T) {
	w := newWorld(t)
	w.leasing("m", time.Hour, map[string]any{"MaxTokenLifetime": "150m"})
	began := w.clock
	token := must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web id=u1"}))(t)
	for _, c := range []struct {
		name  string
		after time.Duration // since the login
		end   time.Duration // of the token's life, since the login
		write bool
		text  string
	}{
		{"at once", 0, time.Hour, false, ""},
		{"when little would be won", 5 * time.Minute, time.Hour, false, ""},
		{"when it is worth it", 6 * time.Minute, 66 * time.Minute, true, ""},
		{"shortly before the end", 65 * time.Minute, 125 * time.Minute, true, ""},
		{"up to the lifetime", 100 * time.Minute, 150 * time.Minute, true, ""},
		{"beyond it", 101 * time.Minute, 150 * time.Minute, false, "Permission denied: the token cannot be renewed beyond 2h30m0s from its login: log in again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.clock = began.Add(c.after)
			index := w.raft.index
			got, err := w.tokens.Renew(ctx, w.resolve(token.SecretID))
			wantError(t, err, errs.Denied, c.text)
			stored := w.resolve(token.SecretID).Token
			if !stored.ExpirationTime.Equal(began.Add(c.end)) || (w.raft.index > index) != c.write {
				t.Errorf("the life ends at %s, %d writes", stored.ExpirationTime, w.raft.index-index)
			}
			if err == nil && (got.AccessorID != token.AccessorID || got.SecretID != token.SecretID || !got.ExpirationTime.Equal(*stored.ExpirationTime) ||
				!bytes.Equal(got.Hash, token.Hash) || got.CreateTime != token.CreateTime) {
				t.Errorf("got %s", asJSON(t, got))
			}
		})
	}
	w.clock = began.Add(150 * time.Minute)
	_, err := w.tokens.Renew(ctx, acl.Caller{Token: token, Authorizer: acl.DenyAll()})
	wantError(t, err, errs.Denied, "ACL not found")
}

func TestRenewRefuses(t *testing.T) {
	w := newWorld(t)
	w.leasing("m", time.Hour, nil)
	w.leasing("endless", 0, nil)
	login := func(method string) *acl.Token {
		return must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: method, BearerToken: "entity_name=web id=u1", IdempotencyKey: "t"}))(t)
	}
	end := w.clock.Add(time.Hour)
	for _, c := range []struct {
		name string
		who  acl.Caller
		kind errs.Kind
		text string
	}{
		{"nobody", w.resolve(""), errs.Denied, "Permission denied: token wasn't created via login"},
		{"a token that an operator made", w.resolve(w.token(tenancy.Default, acl.Token{ExpirationTime: &end}).SecretID), errs.Denied, "Permission denied: token wasn't created via login"},
		{"a token without an end", w.resolve(login("endless").SecretID), errs.Invalid, `there is nothing to renew: tokens of auth method "endless" have no end`},
	} {
		_, err := w.tokens.Renew(ctx, c.who)
		t.Run(c.name, func(t *testing.T) { wantError(t, err, c.kind, c.text) })
	}
	old := w.resolve(login("m").SecretID)
	login("m") // takes its place
	w.clock = w.clock.Add(30 * time.Minute)
	_, err := w.tokens.Renew(ctx, old)
	wantError(t, err, errs.Denied, "ACL not found")

	live := w.resolve(login("m").SecretID)
	changed := 0
	w.clock = w.clock.Add(30 * time.Minute)
	w.raft.before = func(cmd fsm.Command) {
		if _, ok := cmd.(fsm.TokenRenew); ok && changed == 0 {
			changed++
			w.raft.before = nil
			must(w.tokens.Update(ctx, w.root, live.AccessorID, TokenWrite{Token: acl.Token{Description: "new", Local: true, Scope: tenancy.Default}}))(t)
		}
	}
	got := must(w.tokens.Renew(ctx, live))(t)
	if changed != 1 || got.Description != "new" {
		t.Errorf("a renewal beside an update: %s", asJSON(t, got))
	}
	if err := w.methods.Delete(ctx, w.root, tenancy.Default, "m"); err != nil {
		t.Fatal(err)
	}
	_, err = w.tokens.Renew(ctx, live)
	wantError(t, err, errs.Denied, "ACL not found")
	if rows := must(w.state.Read().TokensExpiring(w.clock.Add(24*time.Hour), 10))(t); len(rows) != 1 {
		t.Errorf("%d tokens are to be reaped, want the operator's", len(rows))
	}
}
