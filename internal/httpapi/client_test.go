package httpapi

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
)

// client returns the published client, with a token, for a server of w.
func (w *world) client(token string) *api.Client {
	w.t.Helper()
	srv := httptest.NewServer(w.http)
	w.t.Cleanup(srv.Close)
	c, err := api.NewClient(&api.Config{Address: srv.URL, Token: token})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// check ends the test at an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused wants the client's error to say the status and the text.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestClientBootstrap(t *testing.T) {
	w := newEmptyWorld(t)
	w.init(false)
	_, _, err := w.client("who-knows").ACL().PolicyList(nil)
	refused(t, err, "403 (ACL system must be bootstrapped before making any requests that require authorization: ACL not found)")
	_, _, err = w.client("").ACL().BootstrapWithToken("short")
	refused(t, err, "400 (uuid string is wrong length)")
	token, _, err := w.client("").ACL().BootstrapWithToken("2f9ffd41-7a4c-4a9a-9d0b-b14ee3f4f6d8")
	check(t, err)
	if token.SecretID != "2f9ffd41-7a4c-4a9a-9d0b-b14ee3f4f6d8" || token.Description != "Bootstrap Token (Global Management)" ||
		len(token.Policies) != 1 || token.Policies[0].Name != "global-management" || token.Local {
		t.Fatalf("%+v", token)
	}
	_, _, err = w.client("").ACL().Bootstrap()
	refused(t, err, "403 (Permission denied: ACL bootstrap no longer allowed (reset index:")
	policies, meta, err := w.client(token.SecretID).ACL().PolicyList(nil)
	check(t, err)
	if len(policies) != 2 || meta.LastIndex == 0 || !meta.KnownLeader || meta.DefaultACLPolicy != "deny" {
		t.Fatalf("%+v %+v", policies, meta)
	}
}

func TestClientBootstrapAnswerHasTheSecretAsID(t *testing.T) {
	w := newEmptyWorld(t)
	w.init(false)
	body := w.call("PUT", "/v1/acl/bootstrap", "").Body.String()
	if !strings.HasPrefix(body, `{"ID":"`) || !strings.Contains(body, `"SecretID":"`+body[7:43]+`"`) {
		t.Fatal(body)
	}
}

func TestClientPolicies(t *testing.T) {
	c := newWorld(t).client(management).ACL()
	p, _, err := c.PolicyCreate(&api.ACLPolicy{Name: "team/web", Description: "<web>", Rules: `service "web" { policy = "write" }`}, nil)
	check(t, err)
	if p.ID == "" || p.Description != "<web>" || len(p.Hash) != 32 || p.CreateIndex == 0 || p.Namespace != "default" {
		t.Fatalf("%+v", p)
	}
	_, _, err = c.PolicyCreate(&api.ACLPolicy{Name: "TEAM/web"}, nil)
	refused(t, err, `400 (Invalid Policy: A Policy with Name "TEAM/web" already exists)`)
	_, _, err = c.PolicyCreate(&api.ACLPolicy{Name: "bad", Rules: `service "web" {`}, nil)
	refused(t, err, "400 (Failed to parse ACL rules: ")
	byName, _, err := c.PolicyReadByName("team/web", nil)
	check(t, err)
	byID, _, err := c.PolicyRead(p.ID, nil)
	check(t, err)
	if byName.ID != p.ID || byID.Rules != p.Rules {
		t.Fatalf("%+v %+v", byName, byID)
	}
	byID.Description = "changed" // with everything that was read, indexes and hash included
	changed, _, err := c.PolicyUpdate(byID, nil)
	check(t, err)
	if changed.Description != "changed" || changed.ModifyIndex <= p.ModifyIndex || changed.CreateIndex != p.CreateIndex {
		t.Fatalf("%+v", changed)
	}
	_, err = c.PolicyDelete(p.ID, nil)
	check(t, err)
	_, _, err = c.PolicyRead(p.ID, nil)
	refused(t, err, "404 (Requested policy does not exist: ACL not found)")
	_, err = c.PolicyDelete(p.ID, nil)
	refused(t, err, "404") // the client drops the text
}

func TestClientRoles(t *testing.T) {
	c := newWorld(t).client(management).ACL()
	r, _, err := c.RoleCreate(&api.ACLRole{Name: "web", ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "web"}},
		NodeIdentities: []*api.ACLNodeIdentity{{NodeName: "n", Datacenter: "dc1"}}, Policies: []*api.ACLLink{{Name: "global-management"}},
		TemplatedPolicies: []*api.ACLTemplatedPolicy{{TemplateName: "builtin/service", TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "a"}}}}, nil)
	check(t, err)
	if r.Policies[0].ID == "" || r.TemplatedPolicies[0].TemplateVariables.Name != "a" {
		t.Fatalf("%+v", r)
	}
	byName, _, err := c.RoleReadByName("web", nil)
	check(t, err)
	byName.Description = "changed"
	if changed, _, err := c.RoleUpdate(byName, nil); err != nil || changed.Description != "changed" {
		t.Fatalf("%+v %v", changed, err)
	}
	list, _, err := c.RoleList(nil)
	check(t, err)
	if len(list) != 1 || list[0].ID != r.ID {
		t.Fatalf("%+v", list)
	}
	if none, _, err := c.RoleReadByName("nobody", nil); err != nil || none != nil {
		t.Fatalf("%+v %v", none, err)
	}
	_, _, err = c.RoleCreate(&api.ACLRole{Name: "x", Policies: []*api.ACLLink{{Name: "nope"}}}, nil)
	refused(t, err, `400 (No such ACL policy with name "nope")`)
	_, err = c.RoleDelete(r.ID, nil)
	check(t, err)
}

func TestClientTokens(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).ACL()
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	token, _, err := c.TokenCreate(&api.ACLToken{Description: "a", ExpirationTime: &end, Local: true,
		Policies: []*api.ACLLink{{Name: "global-management"}}}, nil)
	check(t, err)
	ttl, _, err := c.TokenCreate(&api.ACLToken{ExpirationTTL: 90 * time.Minute}, nil)
	check(t, err)
	if !token.Local || !token.ExpirationTime.Equal(end) || ttl.ExpirationTime.Sub(ttl.CreateTime) != 90*time.Minute {
		t.Fatalf("%+v %+v", token, ttl)
	}
	if text := w.call("PUT", "/v1/acl/token", `{"ExpirationTTL":"1h"}`, asManagement); text.Code != 200 {
		t.Fatalf("%d %s", text.Code, text.Body)
	}
	read, _, err := c.TokenRead(token.AccessorID, nil)
	check(t, err)
	read.Description = "b"
	changed, _, err := c.TokenUpdate(read, nil)
	check(t, err)
	clone, _, err := c.TokenClone(token.AccessorID, "c", nil)
	check(t, err)
	if changed.Description != "b" || clone.Description != "c" || clone.SecretID == token.SecretID {
		t.Fatalf("%+v %+v", changed, clone)
	}
	self, _, err := w.client(clone.SecretID).ACL().TokenReadSelf(nil)
	check(t, err)
	if self.AccessorID != clone.AccessorID || self.SecretID != clone.SecretID {
		t.Fatalf("%+v", self)
	}
	expanded, _, err := c.TokenReadExpanded(token.AccessorID, nil)
	check(t, err)
	if len(expanded.ExpandedPolicies) != 1 || expanded.ResolvedByAgent != "n1" || expanded.AgentACLDefaultPolicy != "deny" {
		t.Fatalf("%+v", expanded)
	}
	list, _, err := c.TokenList(nil)
	check(t, err)
	if len(list) != 6 || !slices.IsSortedFunc(list, func(a, b *api.ACLTokenListEntry) int { return strings.Compare(a.SecretID, b.SecretID) }) {
		t.Fatalf("%d tokens", len(list))
	}
	filtered, _, err := c.TokenListFiltered(api.ACLTokenFilterOptions{Policy: acl.GlobalManagementID}, nil)
	check(t, err)
	if len(filtered) != 3 {
		t.Fatalf("%d tokens", len(filtered))
	}
	_, err = c.TokenDelete(token.AccessorID, nil)
	check(t, err)
	_, err = c.TokenDelete(token.AccessorID, nil)
	refused(t, err, "404 (Cannot find token to delete)")
	_, _, err = c.TokenRead(token.AccessorID, nil)
	refused(t, err, "403 (token does not exist: ACL not found)")
}

func TestSecretsAreHiddenFromReaders(t *testing.T) {
	w := newWorld(t)
	reader := w.client(w.token("reader", `acl = "read"`)).ACL()
	list, _, err := reader.TokenList(nil)
	check(t, err)
	for _, token := range list {
		if token.SecretID != "<hidden>" {
			t.Errorf("%s shows its secret", token.AccessorID)
		}
	}
	one, _, err := reader.TokenRead(managementAccessor, nil)
	check(t, err)
	if one.SecretID != "<hidden>" {
		t.Error("the secret is shown")
	}
	_, _, err = reader.TokenCreate(&api.ACLToken{}, nil)
	refused(t, err, "lacks permission 'acl:write'")
}

func TestClientLogin(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).ACL()
	_, _, err := c.AuthMethodCreate(&api.ACLAuthMethod{Name: "ecs", Type: "aws-iam", MaxTokenTTL: time.Hour, DisplayName: "ECS",
		TokenLocality: "local", Config: map[string]any{"Password": "open sesame"}}, nil)
	check(t, err)
	_, _, err = c.AuthMethodCreate(&api.ACLAuthMethod{Name: "x", Type: "nope"}, nil)
	refused(t, err, "400 (Invalid Auth Method: Type should be one of: [aws-iam])")
	method, _, err := c.AuthMethodRead("ecs", nil)
	check(t, err)
	method.Description = "changed"
	method, _, err = c.AuthMethodUpdate(method, nil)
	check(t, err)
	if method.MaxTokenTTL != time.Hour || method.Description != "changed" || method.Config["Password"] != "open sesame" {
		t.Fatalf("%+v", method)
	}
	methods, _, err := c.AuthMethodList(nil)
	check(t, err)
	if len(methods) != 1 || methods[0].MaxTokenTTL != time.Hour {
		t.Fatalf("%+v", methods)
	}
	rule, _, err := c.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "ecs", BindType: api.BindingRuleBindTypeService,
		BindName: "${entity_name}", Selector: `entity_name == web`}, nil)
	check(t, err)
	rule.Description = "changed"
	rule, _, err = c.BindingRuleUpdate(rule, nil)
	check(t, err)
	rules, _, err := c.BindingRuleList("ecs", nil)
	check(t, err)
	if len(rules) != 1 || rules[0].ID != rule.ID || rule.Description != "changed" {
		t.Fatalf("%+v", rules)
	}

	nobody := w.client("").ACL()
	_, _, err = nobody.Login(&api.ACLLoginParams{AuthMethod: "nope", BearerToken: "x"}, nil)
	refused(t, err, `403 (ACL not found: auth method "nope" not found)`)
	_, _, err = nobody.Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: "web:wrong"}, nil)
	refused(t, err, "403 (Permission denied: wrong password)")
	_, _, err = nobody.Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: "db:open sesame"}, nil)
	refused(t, err, "403 (Permission denied)")
	token, _, err := w.client("a token that nobody has").ACL().Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: "web:open sesame",
		Meta: map[string]string{"task": "1a"}}, nil)
	check(t, err)
	if token.Description != `token created via login: {"task":"1a"}` || token.AuthMethod != "ecs" || !token.Local ||
		token.ServiceIdentities[0].ServiceName != "web" || token.ExpirationTime.Sub(token.CreateTime) != time.Hour {
		t.Fatalf("%+v", token)
	}
	mine := w.client(token.SecretID).ACL()
	_, err = mine.Logout(nil)
	check(t, err)
	_, err = mine.Logout(nil)
	refused(t, err, "403 (ACL not found)")
	_, err = nobody.Logout(nil)
	refused(t, err, "401 (Supplied token does not exist)")
	_, err = c.Logout(nil)
	refused(t, err, "403 (Permission denied: token wasn't created via login)")

	token, _, err = nobody.Login(&api.ACLLoginParams{AuthMethod: "ECS", BearerToken: "web:open sesame"}, nil)
	check(t, err)
	_, err = c.AuthMethodDelete("ecs", nil)
	check(t, err)
	_, _, err = w.client(token.SecretID).ACL().TokenReadSelf(nil)
	refused(t, err, "403 (token does not exist: ACL not found)")
	_, err = c.BindingRuleDelete(rule.ID, nil)
	refused(t, err, "404 (Cannot find binding rule to delete)")
}

func TestLogoutDoesNotMeanTheAgentsOwnToken(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).ACL()
	_, _, err := c.AuthMethodCreate(&api.ACLAuthMethod{Name: "ecs", Type: "aws-iam", Config: map[string]any{"Password": "p"}}, nil)
	check(t, err)
	_, _, err = c.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "ecs", BindType: api.BindingRuleBindTypeService, BindName: "web"}, nil)
	check(t, err)
	token, _, err := c.Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: "web:p"}, nil)
	check(t, err)
	_, err = w.client(management).Agent().UpdateDefaultACLToken(token.SecretID, nil)
	check(t, err)
	_, err = w.client("").ACL().Logout(nil)
	refused(t, err, "401")
	self, _, err := w.client("").ACL().TokenReadSelf(nil)
	check(t, err)
	if self.AccessorID != token.AccessorID {
		t.Fatalf("%+v", self)
	}
}

func TestClientTemplates(t *testing.T) {
	c := newWorld(t).client(management).ACL()
	all, _, err := c.TemplatedPolicyList(nil)
	check(t, err)
	one, _, err := c.TemplatedPolicyReadByName("builtin/service", nil)
	check(t, err)
	if len(all) == 0 || all["builtin/service"] != *one {
		t.Fatalf("%+v %+v", all, one)
	}
	p, _, err := c.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{TemplateName: "builtin/service",
		TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"}}, nil)
	check(t, err)
	if !strings.Contains(p.Rules, `service "web"`) {
		t.Fatalf("%+v", p)
	}
	_, _, err = c.TemplatedPolicyReadByName("builtin/nope", nil)
	refused(t, err, "400 (Invalid templated policy Name: builtin/nope)")
}

func TestClientReplication(t *testing.T) {
	status, _, err := newWorld(t).client("").ACL().Replication(nil)
	check(t, err)
	if *status != (api.ACLReplicationStatus{}) {
		t.Fatalf("%+v", status)
	}
}

func TestClientTenancy(t *testing.T) {
	w := newWorld(t)
	c := w.client(management)
	p, _, err := c.Partitions().Create(t.Context(), &api.Partition{Name: "alpha", Description: "a"}, nil)
	check(t, err)
	if p.Name != "alpha" || p.CreateIndex == 0 {
		t.Fatalf("%+v", p)
	}
	p.Description = "changed"
	p, _, err = c.Partitions().Update(t.Context(), p, nil)
	check(t, err)
	partitions, _, err := c.Partitions().List(t.Context(), nil)
	check(t, err)
	if len(partitions) != 2 || p.Description != "changed" {
		t.Fatalf("%+v", partitions)
	}
	if none, _, err := c.Partitions().Read(t.Context(), "nope", nil); err != nil || none != nil {
		t.Fatalf("%+v %v", none, err)
	}
	n, _, err := c.Namespaces().Create(&api.Namespace{Name: "team", Meta: map[string]string{"k": "v"}}, &api.WriteOptions{Partition: "alpha"})
	check(t, err)
	n, _, err = c.Namespaces().Update(n, &api.WriteOptions{Partition: "alpha"})
	check(t, err)
	if n.Name != "team" || n.Meta["k"] != "v" {
		t.Fatalf("%+v", n)
	}
	namespaces, _, err := c.Namespaces().List(&api.QueryOptions{Partition: "alpha"})
	check(t, err)
	if len(namespaces) != 2 {
		t.Fatalf("%+v", namespaces)
	}
	in := &api.WriteOptions{Partition: "alpha", Namespace: "team"}
	policy, _, err := c.ACL().PolicyCreate(&api.ACLPolicy{Name: "p", Rules: `acl = "read"`}, in)
	check(t, err)
	if policy.Partition != "alpha" || policy.Namespace != "team" {
		t.Fatalf("%+v", policy)
	}
}

func TestTheSameNameElsewhereIsAnotherThing(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/partition", `{"Name":"alpha"}`, nil)
	w.must("PUT", "/v1/namespace", `{"Name":"team"}`, nil)
	for _, where := range []string{"", "?ns=team", "?partition=alpha"} {
		var p acl.Policy
		w.must("PUT", "/v1/acl/policy"+where, `{"Name":"same","Description":"`+where+`"}`, &p)
		w.must("GET", "/v1/acl/policy/name/same"+where, "", &p)
		if p.Description != where {
			t.Fatalf("%q: %+v", where, p)
		}
	}
	var all []acl.Policy
	w.must("GET", "/v1/acl/policies?ns=*", "", &all)
	found := 0
	for _, p := range all {
		if p.Name == "same" {
			found++
		}
	}
	if found != 2 {
		t.Fatalf("%d in the namespaces of default", found)
	}
	rec := w.call("PUT", "/v1/acl/policy?ns=nowhere", `{"Name":"p"}`, asManagement)
	if rec.Code != 400 || rec.Body.String() != `Namespace "nowhere" does not exist` {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

func TestClientAgentAndStatus(t *testing.T) {
	w := newWorld(t)
	c := w.client(management)
	self, err := c.Agent().Self()
	check(t, err)
	if self["Config"]["NodeName"] != "n1" {
		t.Fatalf("%+v", self)
	}
	check(t, c.Agent().Reload())
	check(t, c.Agent().Leave())
	leader, err := w.client("").Status().Leader()
	check(t, err)
	peers, err := w.client("").Status().Peers()
	check(t, err)
	datacenters, err := w.client("").Catalog().Datacenters()
	check(t, err)
	version, err := w.client("").Agent().Version()
	check(t, err)
	if leader != "127.0.0.1:8300" || len(peers) != 1 || datacenters[0] != "dc1" || version["HumanVersion"] != "1.2.3" {
		t.Fatal(leader, peers, datacenters, version)
	}
}

func TestClientBlockingQuery(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).ACL()
	_, meta, err := c.PolicyList(nil)
	check(t, err)
	type answer struct {
		policies []*api.ACLPolicyListEntry
		err      error
	}
	woken := make(chan answer, 1)
	go func() {
		policies, _, err := c.PolicyList(&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		woken <- answer{policies, err}
	}()
	_, _, err = c.PolicyCreate(&api.ACLPolicy{Name: "new"}, nil)
	check(t, err)
	got := <-woken
	check(t, got.err)
	if len(got.policies) != 3 {
		t.Fatalf("%d policies", len(got.policies))
	}
}
