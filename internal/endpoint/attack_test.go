package endpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// What stands in place of a secret was stored as one, and everybody knew it.
func TestCVE_2019_8336_WhatStandsForASecretIsNone(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	for _, marker := range []logging.Secret{
		logging.Hidden, "hidden", "<redacted>", "redacted", "***", "null", "nil", "undefined", "0", " ", "<nil>", "{}", "root",
		"00000000-0000-0000-0000-000000000000", acl.AnonymousAccessor, acl.GlobalManagementID, logging.Secret(w.root.AccessorID),
	} {
		if who, err := w.Resolver.Resolve(ctx, marker); err == nil {
			t.Errorf("%q resolves to %s", marker.Reveal(), who.AccessorID)
		}
		if _, err := w.tokens.Create(ctx, w.root, TokenWrite{Token: acl.Token{SecretID: marker, Scope: tenancy.Default}}); err == nil && !uuid.Valid(marker.Reveal()) {
			t.Errorf("%q becomes a secret", marker.Reveal())
		}
	}
	token := w.token(tenancy.Default, acl.Token{})
	_, err := w.tokens.Update(ctx, w.root, token.AccessorID, TokenWrite{Token: acl.Token{SecretID: logging.Hidden, Scope: tenancy.Default}})
	wantError(t, err, errs.Invalid, "Changing a token's SecretID is not permitted")
}

// A token of one datacenter worked in another: rights that are limited to one count nowhere else.
func TestCVE_2020_13170_RightsOfAnotherDatacenterDoNotCount(t *testing.T) {
	w := newWorld(t)
	p := must(w.policies.Create(ctx, w.root, acl.Policy{Name: "p", Rules: `key_prefix "" { policy = "write" }`, Datacenters: []string{"dc2"}, Scope: tenancy.Default}))(t)
	secret := w.token(tenancy.Default, acl.Token{
		Policies:          []acl.Link{{ID: p.ID}},
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web", Datacenters: []string{"dc2"}}},
		NodeIdentities:    []acl.NodeIdentity{{NodeName: "n", Datacenter: "dc2"}},
		TemplatedPolicies: []acl.TemplatedPolicy{{TemplateName: "builtin/service", TemplateVariables: &acl.TemplateVariables{Name: "api"}, Datacenters: []string{"dc2"}}},
	}).SecretID
	for _, dc := range []string{"dc1", "dc2"} {
		r := &Resolver{Store: w.Store, Now: w.Now, Enabled: true, Datacenter: dc}
		who := must(r.Resolve(ctx, secret))(t)
		for _, q := range []struct {
			p       acl.Permission
			segment string
		}{{keyRead, "a"}, {acl.ServiceWrite, "web"}, {acl.NodeWrite, "n"}, {acl.ServiceWrite, "api"}} {
			if got := who.Allowed(tenancy.Default, q.p, q.segment); got != (dc == "dc2") {
				t.Errorf("in %s, %s on %s is %v", dc, q.p, q.segment, got)
			}
		}
	}
}

// Unknown tokens filled a cache without bound.
func TestCVE_2020_13250_UnknownSecretsFillNoCache(t *testing.T) {
	w := newWorld(t)
	w.resolve(w.root.Token.SecretID)
	before := cached(w.Resolver)
	for i := range 20_000 {
		if _, err := w.Resolver.Resolve(ctx, logging.Secret(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i))); err == nil {
			t.Fatal("an unknown secret resolves")
		}
	}
	if after := cached(w.Resolver); after != before {
		t.Errorf("%d entries, %d before", after, before)
	}
}

// cached returns how many tokens r remembers.
func cached(r *Resolver) int {
	n := 0
	for i := range r.tokens.shards {
		n += len(r.tokens.shards[i].young) + len(r.tokens.shards[i].old)
	}
	return n
}

// What a cache held for one caller was given to another without a decision.
func TestCVE_2026_105608_WhatIsCachedForOneIsDecidedForAnother(t *testing.T) {
	w := newWorld(t)
	nobody := w.resolve(w.token(tenancy.Default, acl.Token{}).SecretID)
	for _, op := range w.operations() {
		_ = op.run(w.root, tenancy.Default) // fills what there is to fill
		if err := op.run(nobody, tenancy.Default); !denied(err) {
			t.Errorf("%s: %v", op.name, err)
		}
	}
	alike := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: acl.GlobalManagementID}}})
	who := w.resolve(alike.SecretID) // shares the authorizer of root
	must(w.tokens.Update(ctx, w.root, alike.AccessorID, TokenWrite{Token: acl.Token{Scope: tenancy.Default}}))(t)
	if w.resolve(alike.SecretID).Allowed(tenancy.Default, acl.ACLRead, "") || !w.resolve(w.root.Token.SecretID).Allowed(tenancy.Default, acl.ACLRead, "") {
		t.Errorf("rights of %s did not end, or those of root did", who.AccessorID)
	}
}

// A binding rule matched an account of the same name in another namespace.
func TestCVE_2026_110720_RulesCountForTheirOwnMethodAndIdentity(t *testing.T) {
	w := newWorld(t)
	scopes := []tenancy.Scope{tenancy.Default, w.in("default", "team"), w.in("p", "default"), w.in("p", "team")}
	for i, s := range scopes {
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: s}))(t)
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: fmt.Sprintf("of-%d", i), Selector: fmt.Sprintf(`account_id == "%d" and entity_name == "app"`, i), Scope: s})
	}
	for i, s := range scopes {
		for account := range scopes {
			for _, name := range []string{"app", "App", "app2", "path/app", ""} {
				bearer := logging.Secret(fmt.Sprintf("entity_name=%s account_id=%d", name, account))
				token, err := w.logins.Login(ctx, LoginRequest{Scope: s, AuthMethod: "m", BearerToken: bearer})
				if account == i && name == "app" {
					if err != nil || token.ServiceIdentities[0].ServiceName != fmt.Sprintf("of-%d", i) || token.Scope != s {
						t.Errorf("%s in account %d: %v", s, account, err)
					}
					continue
				}
				wantError(t, err, errs.Denied, "Permission denied")
			}
		}
	}
}

// Tokens could be renewed and revoked from other namespaces.
func TestCVE_2026_40264_RenewalsAndRevocationsStayInTheirNamespace(t *testing.T) {
	w := newWorld(t)
	victim := w.login(t)
	for _, s := range []tenancy.Scope{w.in("default", "team"), w.in("p", "default")} {
		admin := w.caller(s, `acl = "write"`)
		for _, at := range []tenancy.Scope{s, tenancy.Default} {
			if err := w.tokens.Delete(ctx, admin, at, victim.AccessorID); err == nil {
				t.Errorf("an admin of %s deletes it in %s", s, at)
			}
			if _, err := w.tokens.Update(ctx, admin, victim.AccessorID, TokenWrite{Token: acl.Token{Local: true, Scope: at}}); err == nil {
				t.Errorf("an admin of %s changes it in %s", s, at)
			}
			if _, err := w.tokens.Clone(ctx, admin, victim.AccessorID, TokenWrite{Token: acl.Token{Scope: at}}); err == nil {
				t.Errorf("an admin of %s clones it in %s", s, at)
			}
			if _, _, err := w.tokens.Read(ctx, admin, TokenRead{Scope: at, AccessorID: victim.AccessorID}); err == nil {
				t.Errorf("an admin of %s reads it in %s", s, at)
			}
		}
		if err := w.logins.Logout(ctx, admin, admin.Token.SecretID); err == nil {
			t.Error("a token that no login made logs out")
		}
		if _, err := w.tokens.Renew(ctx, admin); err == nil {
			t.Error("a token that no login made is renewed")
		}
	}
	if got := w.resolve(victim.SecretID).Token; !got.ExpirationTime.Equal(*victim.ExpirationTime) {
		t.Errorf("its end is %s", got.ExpirationTime)
	}
}

// A token was revoked from another namespace, by what looks alike there: an accessor that
// is asked for, a method and a task of the same names, a request that says where it is.
func TestCVE_2026_55774_NothingAlikeElsewhereRevokesAToken(t *testing.T) {
	w := newWorld(t)
	scopes := []tenancy.Scope{tenancy.Default, w.in("default", "team"), w.in("p", "default"), w.in("p", "team")}
	var leases []*acl.Token
	login := func(s tenancy.Scope) *acl.Token {
		return must(w.logins.Login(ctx, LoginRequest{Scope: s, AuthMethod: "m", BearerToken: "entity_name=web id=u1", IdempotencyKey: "t1"}))(t)
	}
	for _, s := range scopes {
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", MaxTokenTTL: time.Hour, Config: map[string]any{"LeaseMetaKey": taskKey}, Scope: s}))(t)
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "${entity_name}", Scope: s})
		leases = append(leases, login(s))
	}
	for i, s := range scopes {
		next := login(s) // takes the place of its own lease
		admin := w.caller(s, `acl = "write"`)
		for j, victim := range leases {
			if j == i {
				continue
			}
			if next.AccessorID == victim.AccessorID {
				t.Errorf("%s and %s share an accessor", s, scopes[j])
			}
			taken := acl.Token{AccessorID: victim.AccessorID, Scope: s}
			_, err := w.tokens.Create(ctx, admin, TokenWrite{Token: taken})
			wantError(t, err, errs.Invalid, "Invalid Token: AccessorID is already in use")
			taken = acl.Token{SecretID: victim.SecretID, Scope: s}
			_, err = w.tokens.Create(ctx, admin, TokenWrite{Token: taken})
			wantError(t, err, errs.Invalid, "Invalid Token: SecretID is already in use")
			if err := w.tokens.Delete(ctx, admin, s, victim.AccessorID); err == nil {
				t.Errorf("an admin of %s deletes a token of %s", s, scopes[j])
			}
			if got := w.resolve(victim.SecretID); got.Token.Scope != scopes[j] {
				t.Errorf("a token of %s is one of %s", scopes[j], got.Token.Scope)
			}
		}
		leases[i] = next
	}
	for i, s := range scopes { // deleting what is alike ends what is there alone
		if err := w.methods.Delete(ctx, w.root, s, "m"); err != nil {
			t.Fatal(err)
		}
		for j, token := range leases {
			if _, err := w.Resolver.Resolve(ctx, token.SecretID); (err != nil) != (j <= i) {
				t.Errorf("after the method of %s, the token of %s: %v", s, scopes[j], err)
			}
		}
	}
}

// Revocations were known only after their first use, so that a restart forgot them.
func TestCVE_2022_41316_RevokedTokensStayRevokedAfterARestart(t *testing.T) {
	w := newWorld(t)
	loggedOut, deleted, lived := w.login(t), w.token(tenancy.Default, acl.Token{}), w.token(tenancy.Default, acl.Token{})
	end := w.clock.Add(time.Minute)
	expired := w.token(tenancy.Default, acl.Token{ExpirationTime: &end})
	if err := w.logins.Logout(ctx, w.resolve(loggedOut.SecretID), loggedOut.SecretID); err != nil {
		t.Fatal(err)
	}
	if err := w.tokens.Delete(ctx, w.root, tenancy.Default, deleted.AccessorID); err != nil {
		t.Fatal(err)
	}
	w.clock = end
	next := restart(t, w)
	for name, secret := range map[string]logging.Secret{"logged out": loggedOut.SecretID, "deleted": deleted.SecretID, "expired and not reaped": expired.SecretID} {
		_, err := next.Resolver.Resolve(ctx, secret)
		t.Run(name, func(t *testing.T) { wantError(t, err, errs.Denied, "ACL not found") })
	}
	next.resolve(lived.SecretID)
}

// A token lives until its end, to the nanosecond, and nothing moves it from there.
func TestCVE_2021_32923_ATokenDoesNotOutliveItsEnd(t *testing.T) {
	w := newWorld(t)
	token := w.login(t)
	end := *token.ExpirationTime
	w.clock = end.Add(-time.Nanosecond)
	who := w.resolve(token.SecretID) // warms the cache
	w.clock = end
	_, err := w.Resolver.Resolve(ctx, token.SecretID)
	wantError(t, err, errs.Denied, "ACL not found")
	_, err = w.tokens.Renew(ctx, who)
	wantError(t, err, errs.Denied, "ACL not found")
	_, _, err = w.tokens.Self(ctx, token.SecretID, Read{})
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	_, err = w.tokens.Clone(ctx, w.root, token.AccessorID, TokenWrite{Token: acl.Token{Scope: tenancy.Default}})
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	_, err = (&Authorizes{w.Backend}).Explain(ctx, w.root, ExplainRequest{Scope: tenancy.Default, AccessorID: token.AccessorID, Resource: "key", Access: "read"})
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	if list, _, err := w.tokens.List(ctx, w.root, TokenList{Scope: tenancy.Default, AuthMethod: "m"}); err != nil || len(list) != 0 {
		t.Errorf("listed: %v, %v", list, err)
	}
}

// One client's token was used for another's request.
func TestCVE_2026_16326_ConcurrentCallersKeepTheirOwnRights(t *testing.T) {
	w := newWorld(t)
	const callers = 32
	var secrets []logging.Secret
	for i := range callers {
		secrets = append(secrets, w.token(tenancy.Default, acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: fmt.Sprintf("s%d", i)}}}).SecretID)
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := range 200 {
				who, err := w.Resolver.Resolve(context.Background(), secrets[i])
				if err != nil {
					t.Error(err)
					return
				}
				other := (i + 1 + n%(callers-1)) % callers
				if !who.Allowed(tenancy.Default, acl.ServiceWrite, fmt.Sprintf("s%d", i)) || who.Allowed(tenancy.Default, acl.ServiceWrite, fmt.Sprintf("s%d", other)) || who.Token.SecretID != secrets[i] {
					t.Errorf("caller %d has the rights of another", i)
					return
				}
			}
		})
	}
	all.Wait()
}

// Names with text of the rule language in them stay names: in identities that become
// rules, and in what explains them.
func TestAttack_NamesCannotAddRules(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{`a" { policy = "write" } operator = "write" #`, "a\"\n}\nacl = \"write\"", `a\" { }`, "${entity_name}", `a"`} {
		_, err := w.tokens.Create(ctx, w.root, TokenWrite{Token: acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: name}}, Scope: tenancy.Default}})
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("a service %q: %v", name, err)
		}
		token, err := w.tokens.Create(ctx, w.root, TokenWrite{Token: acl.Token{Scope: tenancy.Default, TemplatedPolicies: []acl.TemplatedPolicy{
			{TemplateName: "builtin/workload-identity", TemplateVariables: &acl.TemplateVariables{Name: name}}}}})
		if err != nil {
			continue
		}
		x := must((&Authorizes{w.Backend}).Explain(ctx, w.root, ExplainRequest{Scope: tenancy.Default, AccessorID: token.AccessorID, Resource: "operator", Access: "write"}))(t)
		if x.Allow || !strings.Contains(x.Reason, "no rule speaks about it") {
			t.Errorf("the workload %q: %s", name, asJSON(t, x))
		}
	}
}
