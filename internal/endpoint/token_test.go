package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

const someID = "11111111-2222-3333-4444-555555555555"

// decodeToken reads the body of a token write.
func decodeToken(t *testing.T, body string) TokenWrite {
	t.Helper()
	var req TokenWrite
	if err := json.Unmarshal([]byte(body), &req); err != nil {
		t.Fatal(err)
	}
	req.Scope = tenancy.Default
	return req
}

func TestTokenCreateRefuses(t *testing.T) {
	w := newWorld(t)
	used := w.token(tenancy.Default, acl.Token{AccessorID: someID, SecretID: "22222222-2222-3333-4444-555555555555"})
	before := w.countTokens()
	for _, c := range []struct{ name, body, want string }{
		{"an accessor that is no UUID", `{"AccessorID":"x"}`, "Invalid Token: AccessorID - not a valid UUID"},
		{"a secret that is no UUID", `{"SecretID":"<hidden>"}`, "Invalid Token: SecretID - not a valid UUID"},
		{"a reserved accessor", `{"AccessorID":"00000000-0000-0000-0000-0000000000aa"}`,
			`Invalid Token: AccessorID - UUIDs with the prefix "00000000-0000-0000-0000-0000000000" are reserved`},
		{"an accessor in use", `{"AccessorID":"` + someID + `"}`, "Invalid Token: AccessorID is already in use"},
		{"an accessor in use in capitals", `{"AccessorID":"` + strings.ToUpper(someID) + `"}`, "Invalid Token: AccessorID is already in use"},
		{"an accessor that is a secret", `{"AccessorID":"` + used.SecretID.Reveal() + `"}`, "Invalid Token: AccessorID is already in use"},
		{"a secret in use", `{"SecretID":"` + used.SecretID.Reveal() + `"}`, "Invalid Token: SecretID is already in use"},
		{"a secret that is an accessor", `{"SecretID":"` + someID + `"}`, "Invalid Token: SecretID is already in use"},
		{"a policy name that does not exist", `{"Policies":[{"Name":"x"}]}`, `No such ACL policy with name "x"`},
		{"a policy ID that does not exist", `{"Policies":[{"ID":"y"}]}`, `No such ACL policy with ID "y"`},
		{"an empty policy link", `{"Policies":[{}]}`, `No such ACL policy with name ""`},
		{"a role name that does not exist", `{"Roles":[{"Name":"x"}]}`, `No such ACL role with name "x"`},
		{"a role ID that does not exist", `{"Roles":[{"ID":"y"}]}`, `No such ACL role with ID "y"`},
		{"a service identity without a name", `{"ServiceIdentities":[{}]}`, "Service identity is missing the service name field on this token"},
		{"a service identity with a bad name", `{"ServiceIdentities":[{"ServiceName":"Bad"}]}`,
			`Service identity "Bad" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"datacenters on a local token", `{"Local":true,"ServiceIdentities":[{"ServiceName":"a","Datacenters":["dc1"]}]}`,
			`Service identity "a" cannot specify a list of datacenters on a local token`},
		{"a node identity without a datacenter", `{"NodeIdentities":[{"NodeName":"a"}]}`, "Node identity is missing the datacenter field on this token"},
		{"a node identity without a name", `{"NodeIdentities":[{"Datacenter":"dc1"}]}`, "Node identity is missing the node name field on this token"},
		{"a node identity with a bad name", `{"NodeIdentities":[{"NodeName":"A","Datacenter":"dc1"}]}`,
			"Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed"},
		{"an unknown template", `{"TemplatedPolicies":[{"TemplateName":"x"}]}`, `no such ACL templated policy with Name "x"`},
		{"a template without a name", `{"TemplatedPolicies":[{}]}`, "templated policy is missing the template name field on this token"},
		{"a template without its variable", `{"TemplatedPolicies":[{"TemplateName":"builtin/service"}]}`,
			`validation error for templated policy "builtin/service": service identity "" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"a life that is too short", `{"ExpirationTTL":"30s"}`, "ExpirationTime cannot be less than 1m0s in the future (was 30s)"},
		{"a life in nanoseconds that is too short", `{"ExpirationTTL":1000000000}`, "ExpirationTime cannot be less than 1m0s in the future (was 1s)"},
		{"a negative life", `{"ExpirationTTL":"-1h"}`, "Token Expiration TTL '-1h0m0s' should be > 0"},
		{"an end in the past", `{"ExpirationTime":"2001-01-01T00:00:00Z"}`, "ExpirationTime cannot be before CreateTime"},
		{"both a life and an end", `{"ExpirationTTL":"1h","ExpirationTime":"2031-01-01T00:00:00Z"}`,
			"Token Expiration TTL and Expiration Time cannot both be set"},
		{"an auth method", `{"AuthMethod":"m"}`, "AuthMethod field is disallowed outside of login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.tokens.Create(ctx, w.root, decodeToken(t, c.body))
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	if n := w.countTokens(); n != before {
		t.Errorf("%d tokens, before %d", n, before)
	}
}

func TestTokenCreate(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p1", "")
	r := w.role(tenancy.Default, acl.Role{Name: "r1"})
	token := must(w.tokens.Create(ctx, w.root, decodeToken(t, `{
		"AccessorID": "AAAAAAAA-2222-3333-4444-555555555555", "SecretID": "bbbbbbbb-2222-3333-4444-555555555555",
		"Description": "d", "Policies": [{"Name": "P1"}, {"ID": "`+p.ID+`"}], "Roles": [{"Name": "r1"}],
		"ServiceIdentities": [{"ServiceName": "web"}, {"ServiceName": "web", "Datacenters": ["dc1"]}],
		"TemplatedPolicies": [{"TemplateName": "builtin/dns"}],
		"ExpirationTTL": "25h", "CreateIndex": 7, "Hash": "AA==", "CreateTime": "2001-01-01T00:00:00Z"}`)))(t)
	end := w.clock.Add(25 * time.Hour)
	want := acl.Token{
		AccessorID: "aaaaaaaa-2222-3333-4444-555555555555", SecretID: "bbbbbbbb-2222-3333-4444-555555555555", Description: "d",
		Policies: []acl.Link{{ID: p.ID, Name: "p1"}}, Roles: []acl.Link{{ID: r.ID, Name: "r1"}},
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web", Datacenters: []string{"dc1"}}},
		TemplatedPolicies: []acl.TemplatedPolicy{{TemplateID: acl.ReservedUUIDPrefix + "05", TemplateName: "builtin/dns"}},
		ExpirationTime:    &end, CreateTime: w.clock, Scope: tenancy.Default,
		CreateIndex: token.CreateIndex, ModifyIndex: token.CreateIndex,
	}
	want.SetHash()
	if got, want := asJSON(t, token), asJSON(t, want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if token.CreateIndex < 10 {
		t.Errorf("index %d", token.CreateIndex)
	}
	plain := must(w.tokens.Create(ctx, w.root, decodeToken(t, `{}`)))(t)
	if !uuid.Valid(plain.AccessorID) || !uuid.Valid(plain.SecretID.Reveal()) || plain.AccessorID == plain.SecretID.Reveal() {
		t.Errorf("ids %s and %s", plain.AccessorID, plain.SecretID.Reveal())
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	return string(must(json.Marshal(v))(t))
}

func TestTokenLinksFollowTheirObjects(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "old", "")
	r := w.role(tenancy.Default, acl.Role{Name: "old", Policies: []acl.Link{{ID: p.ID}}})
	token := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}, Roles: []acl.Link{{ID: r.ID}}})
	renamed := *p
	renamed.Name = "new"
	must(w.policies.Update(ctx, w.root, p.ID, renamed))(t)
	self := func() *acl.Token {
		t.Helper()
		got, _, err := w.tokens.Self(ctx, token.SecretID, Read{})
		return must(got, err)(t)
	}
	if got := self().Policies; len(got) != 1 || got[0].Name != "new" {
		t.Errorf("policies after the rename: %v", got)
	}
	for _, err := range []error{
		w.policies.Delete(ctx, w.root, tenancy.Default, p.ID), w.roles.Delete(ctx, w.root, tenancy.Default, r.ID),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := self(); len(got.Policies)+len(got.Roles) != 0 {
		t.Errorf("links after the deletion: %v %v", got.Policies, got.Roles)
	}
}

func TestTokenRead(t *testing.T) {
	w := newWorld(t)
	token := w.token(tenancy.Default, acl.Token{})
	reader := w.caller(tenancy.Default, `acl = "read"`)
	read := func(who acl.Caller, id string) (*TokenReadResult, error) {
		got, _, err := w.tokens.Read(ctx, who, TokenRead{Scope: tenancy.Default, AccessorID: id})
		return got, err
	}
	if got := must(read(w.root, strings.ToUpper(token.AccessorID)))(t); got.SecretID != token.SecretID {
		t.Error("acl:write does not show the secret")
	}
	if got := must(read(reader, token.AccessorID))(t); got.SecretID != logging.Hidden {
		t.Error("acl:read shows the secret")
	}
	if got := must(read(reader, reader.AccessorID))(t); got.SecretID != logging.Hidden {
		t.Error("acl:read shows the caller's own secret")
	}
	_, err := read(w.root, someID)
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	_, err = read(w.root, "x")
	wantError(t, err, errs.Invalid, "failed acl token lookup: index error: UUID must be 36 characters")
	got, meta, err := w.tokens.Self(ctx, token.SecretID, Read{})
	if must(got, err)(t).SecretID != token.SecretID || meta.Index < token.ModifyIndex || !meta.KnownLeader {
		t.Errorf("self %v, %+v", got.AccessorID, meta)
	}
	for _, secret := range []logging.Secret{"", "x", logging.Secret(token.AccessorID)} {
		_, _, err = w.tokens.Self(ctx, secret, Read{})
		wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	}
	self, _, err := w.tokens.Self(ctx, acl.AnonymousSecret, Read{})
	if must(self, err)(t).AccessorID != acl.AnonymousAccessor {
		t.Error("the anonymous secret is not the anonymous token's")
	}
}

func TestTokenReadExpanded(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", `key "a" { policy = "read" }`)
	r := w.role(tenancy.Default, acl.Role{Name: "r", Policies: []acl.Link{{ID: p.ID}}, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "api"}}})
	token := w.token(tenancy.Default, acl.Token{
		Policies: []acl.Link{{ID: p.ID}}, Roles: []acl.Link{{ID: r.ID}}, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}},
	})
	got, _, err := w.tokens.Read(ctx, w.root, TokenRead{Scope: tenancy.Default, AccessorID: token.AccessorID, Expanded: true})
	if err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, p := range got.ExpandedPolicies {
		about = append(about, p.Name+p.Description)
	}
	if len(about) != 3 || about[0] != "p" || !strings.Contains(about[1], `"web"`) || !strings.Contains(about[2], `"api"`) {
		t.Errorf("policies %q", about)
	}
	if len(got.ExpandedRoles) != 1 || got.ExpandedRoles[0].Policies[0].Name != "p" {
		t.Errorf("roles %+v", got.ExpandedRoles)
	}
	text := asJSON(t, got)
	for _, want := range []string{
		`"NamespaceDefaultPolicyIDs":null,"NamespaceDefaultRoleIDs":null,"AgentACLDefaultPolicy":"deny","AgentACLDownPolicy":"extend-cache","ResolvedByAgent":"n1"}`,
		`"ModifyIndex":`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nlacks %s", text, want)
		}
	}
	plain, _, err := w.tokens.Read(ctx, w.root, TokenRead{Scope: tenancy.Default, AccessorID: token.AccessorID})
	if text := asJSON(t, must(plain, err)(t)); strings.Contains(text, "Expanded") {
		t.Errorf("not asked for: %s", text)
	}
}

func TestTokenUpdate(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", "")
	token := must(w.tokens.Create(ctx, w.root, decodeToken(t, `{"Local":true,"ExpirationTTL":"1h","Policies":[{"Name":"p"}]}`)))(t)
	for _, c := range []struct{ name, accessor, body, want string }{
		{"another accessor in the body", token.AccessorID, `{"AccessorID":"` + someID + `"}`, "Token Accessor ID in URL and payload do not match"},
		{"another secret", token.AccessorID, `{"Local":true,"SecretID":"` + someID + `"}`, "Changing a token's SecretID is not permitted"},
		{"no locality for a local token", token.AccessorID, `{}`, "Cannot toggle local mode of " + token.AccessorID},
		{"an auth method", token.AccessorID, `{"Local":true,"AuthMethod":"m"}`, "Cannot change AuthMethod of " + token.AccessorID},
		{"a life", token.AccessorID, `{"Local":true,"ExpirationTTL":"1h"}`, "Cannot change expiration time of " + token.AccessorID},
		{"another end", token.AccessorID, `{"Local":true,"ExpirationTime":"2031-01-01T00:00:00Z"}`, "Cannot change expiration time of " + token.AccessorID},
		{"an unknown accessor", someID, `{}`, `Cannot find token "` + someID + `"`},
		{"an accessor that is no UUID", "x", `{}`, "AccessorID is not a valid UUID"},
		{"an unknown policy", token.AccessorID, `{"Local":true,"Policies":[{"Name":"x"}]}`, `No such ACL policy with name "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.tokens.Update(ctx, w.root, c.accessor, decodeToken(t, c.body))
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	same := must(w.tokens.Update(ctx, w.root, token.AccessorID, TokenWrite{Token: *token}))(t)
	if same.ModifyIndex != token.ModifyIndex {
		t.Error("writing the same twice changes the index")
	}
	w.clock = w.clock.Add(time.Minute)
	got := must(w.tokens.Update(ctx, w.root, token.AccessorID, decodeToken(t, `{"Local":true,"Description":"d"}`)))(t)
	if got.Description != "d" || len(got.Policies) != 0 || !got.ExpirationTime.Equal(*token.ExpirationTime) ||
		!got.CreateTime.Equal(token.CreateTime) || got.SecretID != token.SecretID || got.CreateIndex != token.CreateIndex || got.ModifyIndex <= token.ModifyIndex {
		t.Errorf("after the update: %s", asJSON(t, got))
	}
	anonymous := must(w.tokens.Update(ctx, w.root, acl.AnonymousAccessor, decodeToken(t, `{"Policies":[{"ID":"`+p.ID+`"}]}`)))(t)
	if len(anonymous.Policies) != 1 {
		t.Error("the anonymous token cannot be given a policy")
	}
}

// A write that meets another one starts over instead of undoing it.
func TestTokenUpdateStartsOverAfterAnother(t *testing.T) {
	w := newWorld(t)
	token := w.token(tenancy.Default, acl.Token{})
	interfere := 2
	w.raft.before = func(cmd fsm.Command) {
		if interfere--; interfere >= 0 {
			other := *token
			other.Description = strings.Repeat("x", interfere+1)
			w.raft.mu.Lock()
			defer w.raft.mu.Unlock()
			w.raft.index++
			w.state.Apply(w.raft.index, w.clock, []func(*state.Tx) error{fsm.TokenSet{Token: other}.Apply})
		}
	}
	got := must(w.tokens.Update(ctx, w.root, token.AccessorID, decodeToken(t, `{"Description":"mine"}`)))(t)
	if got.Description != "mine" {
		t.Errorf("description %q", got.Description)
	}
	gone := false
	w.raft.before = func(fsm.Command) {
		if !gone {
			gone = true
			w.raft.mu.Lock()
			defer w.raft.mu.Unlock()
			w.raft.index++
			w.state.Apply(w.raft.index, w.clock, []func(*state.Tx) error{fsm.TokenDelete{Scope: tenancy.Default, AccessorID: token.AccessorID}.Apply})
		}
	}
	_, err := w.tokens.Update(ctx, w.root, token.AccessorID, decodeToken(t, `{"Description":"again"}`))
	wantError(t, err, errs.Invalid, `Cannot find token "`+token.AccessorID+`"`)
}

func TestTokenClone(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", "")
	token := must(w.tokens.Create(ctx, w.root, decodeToken(t, `{"Local":true,"ExpirationTTL":"1h","Description":"d","Policies":[{"Name":"p"}],
		"TemplatedPolicies":[{"TemplateName":"builtin/dns"}]}`)))(t)
	w.clock = w.clock.Add(10 * time.Minute)
	got := must(w.tokens.Clone(ctx, w.root, token.AccessorID, decodeToken(t, `{}`)))(t)
	if got.AccessorID == token.AccessorID || got.SecretID == token.SecretID || got.Description != "d" || !got.Local ||
		!got.ExpirationTime.Equal(*token.ExpirationTime) || !got.CreateTime.Equal(w.clock) || len(got.TemplatedPolicies) != 1 ||
		!slices.Equal(got.Policies, []acl.Link{{ID: p.ID, Name: "p"}}) {
		t.Errorf("clone %s", asJSON(t, got))
	}
	got = must(w.tokens.Clone(ctx, w.root, acl.AnonymousAccessor, decodeToken(t, `{"Description":"e"}`)))(t)
	if got.Description != "e" || got.SecretID == acl.AnonymousSecret {
		t.Errorf("clone of the anonymous token %s", asJSON(t, got))
	}
	_, err := w.tokens.Clone(ctx, w.root, someID, decodeToken(t, `{}`))
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
	login := w.login(t)
	_, err = w.tokens.Clone(ctx, w.root, login.AccessorID, decodeToken(t, `{}`))
	wantError(t, err, errs.Invalid, "Cannot clone a token created from an auth method")
}

func TestTokenDelete(t *testing.T) {
	w := newWorld(t)
	token := w.token(tenancy.Default, acl.Token{})
	for _, c := range []struct {
		name, accessor string
		kind           errs.Kind
		want           string
	}{
		{"an unknown one", someID, errs.NotFound, "Cannot find token to delete"},
		{"what is no UUID", "x", errs.Invalid, "Accessor ID is missing or an invalid UUID"},
		{"the anonymous one", acl.AnonymousAccessor, errs.Invalid, "Delete operation not permitted on the anonymous token"},
		{"the caller's own", w.root.AccessorID, errs.Invalid, "Deletion of the request's authorization token is not permitted"},
		{"an existing one", strings.ToUpper(token.AccessorID), errs.Internal, ""},
		{"the same again", token.AccessorID, errs.NotFound, "Cannot find token to delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, w.tokens.Delete(ctx, w.root, tenancy.Default, c.accessor), c.kind, c.want)
		})
	}
}

func TestTokenList(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	p := w.policy(tenancy.Default, "p", "")
	r := w.role(tenancy.Default, acl.Role{Name: "r"})
	withPolicy := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}})
	withRole := w.token(tenancy.Default, acl.Token{Roles: []acl.Link{{ID: r.ID}}})
	withService := w.token(tenancy.Default, acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}})
	elsewhere := w.token(team, acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}})
	login := w.login(t)
	list := func(who acl.Caller, req TokenList) ([]acl.Token, Meta, error) {
		if req.Namespace == "" {
			req.Scope = tenancy.Default
		}
		return w.tokens.List(ctx, who, req)
	}
	all := tenancy.Scope{Partition: "default", Namespace: tenancy.Wildcard}
	for _, c := range []struct {
		name string
		req  TokenList
		want []*acl.Token
	}{
		{"by policy", TokenList{Policy: strings.ToUpper(p.ID)}, []*acl.Token{withPolicy}},
		{"by role", TokenList{Role: r.ID}, []*acl.Token{withRole}},
		{"by service", TokenList{ServiceName: "web"}, []*acl.Token{withService}},
		{"by service in all namespaces", TokenList{ServiceName: "web", Scope: all}, []*acl.Token{withService, elsewhere}},
		{"by auth method", TokenList{AuthMethod: "M"}, []*acl.Token{login}},
		{"by auth method of another namespace", TokenList{AuthMethod: "m", AuthMethodNamespace: "team"}, nil},
		{"by what does not exist", TokenList{ServiceName: "x"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := list(w.root, c.req)
			if err != nil || got == nil {
				t.Fatalf("%v, %v", got, err)
			}
			sorted := slices.IsSortedFunc(got, func(a, b acl.Token) int { return strings.Compare(a.SecretID.Reveal(), b.SecretID.Reveal()) })
			if len(got) != len(c.want) || !sorted {
				t.Fatalf("%d tokens, want %d; sorted by secret: %v", len(got), len(c.want), sorted)
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(got, func(g acl.Token) bool { return g.AccessorID == want.AccessorID && g.Scope == want.Scope }) {
					t.Errorf("%s is missing", want.AccessorID)
				}
			}
		})
	}
	_, _, err := list(w.root, TokenList{Policy: p.ID, Role: r.ID})
	wantError(t, err, errs.Invalid, "can only filter by one of policy, role, serviceName, or methodName at a time")
	_, _, err = list(w.root, TokenList{Policy: "x"})
	wantError(t, err, errs.Invalid, "failed acl token lookup: index error: UUID must be 36 characters")

	reader := w.caller(team, `acl = "read"`)
	got, meta, err := list(reader, TokenList{Scope: all})
	if err != nil || len(got) != 2 || !meta.FilteredByACLs {
		t.Fatalf("the reader of one namespace sees %d tokens, filtered %v, %v", len(got), meta.FilteredByACLs, err)
	}
	for _, g := range got {
		if g.Namespace != "team" || g.SecretID != logging.Hidden {
			t.Errorf("the reader of one namespace sees %s in %s", g.SecretID.Reveal(), g.Namespace)
		}
	}
	w.clock = w.clock.Add(2 * time.Hour)
	if got, _, _ := list(w.root, TokenList{AuthMethod: "m"}); len(got) != 0 {
		t.Error("an expired token is listed")
	}
}

func TestTokenReadBlocksUntilAChange(t *testing.T) {
	w := newWorld(t)
	token := w.token(tenancy.Default, acl.Token{})
	_, meta, err := w.tokens.Self(ctx, token.SecretID, Read{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan *acl.Token, 1)
	go func() {
		got, later, err := w.tokens.Self(ctx, token.SecretID, Read{MinIndex: meta.Index, MaxWait: time.Minute})
		if err != nil || later.Index <= meta.Index {
			t.Errorf("index %d after %d, %v", later.Index, meta.Index, err)
		}
		seen <- got
	}()
	must(w.tokens.Update(ctx, w.root, token.AccessorID, decodeToken(t, `{"Description":"d"}`)))(t)
	if got := <-seen; got.Description != "d" {
		t.Errorf("description %q", got.Description)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = w.tokens.Self(canceled, token.SecretID, Read{MinIndex: 1 << 40})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
