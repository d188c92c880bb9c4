package compat

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// scopes are where every kind of object can be.
var scopes = []struct{ name, partition, namespace string }{
	{"default", "", ""},
	{"a namespace", "", "team-1"},
	{"a partition", "team-a", ""},
	{"a namespace of a partition", "team-a", "team-1"},
}

// newScopedWorld is newWorld with every scope.
func newScopedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, management)
	must(w.client(management, "", "").Partitions().Create(t.Context(), &api.Partition{Name: "team-a"}, nil))(t)
	for _, partition := range []string{"", "team-a"} {
		must(w.client(management, partition, "").Namespaces().Create(&api.Namespace{Name: "team-1"}, nil))(t)
	}
	return w
}

// TestObjectsComeBack makes one of each kind in every scope, with every field,
// and wants to read what was made, before and after a restart.
func TestObjectsComeBack(t *testing.T) {
	w := newScopedWorld(t)
	for _, scope := range scopes {
		t.Run(scope.name, func(t *testing.T) {
			c := w.client(management, scope.partition, scope.namespace).ACL()
			made := makeObjects(t, c, orDefault(scope.partition), orDefault(scope.namespace))
			made.read(t, c)
			w.restart()
			made.read(t, c)
			made.change(t, c)
			made.remove(t, c)
		})
	}
}

func orDefault(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

// objects is one of each kind, as its creation was answered.
type objects struct {
	policy *api.ACLPolicy
	role   *api.ACLRole
	token  *api.ACLToken
	method *api.ACLAuthMethod
	rule   *api.ACLBindingRule
}

func makeObjects(t *testing.T, c *api.ACL, partition, namespace string) *objects {
	t.Helper()
	o := &objects{}
	policy := api.ACLPolicy{
		Name: "Web-Policy", Description: "<for \"web\" & ウェブ>", Rules: "service \"web\" {\n\tpolicy = \"write\" # kept\n}\n",
		Datacenters: []string{"dc1", "dc2"},
	}
	o.policy = must(c.PolicyCreate(&policy, nil))(t)
	policy.ID, policy.Hash, policy.CreateIndex, policy.ModifyIndex = o.policy.ID, o.policy.Hash, o.policy.CreateIndex, o.policy.CreateIndex
	policy.Partition, policy.Namespace = partition, namespace
	same(t, "policy", o.policy, &policy)

	identities := []*api.ACLServiceIdentity{{ServiceName: "web", Datacenters: []string{"dc1"}}, {ServiceName: "api"}}
	templates := []*api.ACLTemplatedPolicy{
		{TemplateName: "builtin/service", TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "db"}, Datacenters: []string{"dc1"}},
		{TemplateName: "builtin/dns"},
	}
	var nodes []*api.ACLNodeIdentity
	if namespace == "default" { // the only one that nodes are in
		nodes = []*api.ACLNodeIdentity{{NodeName: "n1", Datacenter: "dc1"}}
	}
	role := api.ACLRole{
		Name: "Web-Role", Description: "for web", ServiceIdentities: identities, NodeIdentities: nodes, TemplatedPolicies: templates,
		Policies: []*api.ACLLink{{Name: "web-policy"}},
	}
	o.role = must(c.RoleCreate(&role, nil))(t)
	role.ID, role.Hash, role.CreateIndex, role.ModifyIndex = o.role.ID, o.role.Hash, o.role.CreateIndex, o.role.CreateIndex
	role.Partition, role.Namespace = partition, namespace
	role.Policies = []*api.ACLLink{{ID: o.policy.ID, Name: "Web-Policy"}}
	same(t, "role", o.role, &role)

	end := time.Now().Add(time.Hour).UTC()
	token := api.ACLToken{
		Description: "a token", ExpirationTime: &end, ServiceIdentities: identities, NodeIdentities: nodes, TemplatedPolicies: templates,
		Policies: []*api.ACLLink{{ID: o.policy.ID}},
		Roles:    []*api.ACLLink{{Name: "Web-Role"}},
	}
	o.token = must(c.TokenCreate(&token, nil))(t)
	if len(o.token.AccessorID) != 36 || len(o.token.SecretID) != 36 || time.Since(o.token.CreateTime) > time.Minute || len(o.token.Hash) != 32 {
		t.Errorf("token %s", text(o.token))
	}
	token.AccessorID, token.SecretID, token.CreateTime = o.token.AccessorID, o.token.SecretID, o.token.CreateTime
	token.Hash, token.CreateIndex, token.ModifyIndex = o.token.Hash, o.token.CreateIndex, o.token.CreateIndex
	token.Partition, token.Namespace = partition, namespace
	token.Policies = []*api.ACLLink{{ID: o.policy.ID, Name: "Web-Policy"}}
	token.Roles = []*api.ACLLink{{ID: o.role.ID, Name: "Web-Role"}}
	same(t, "token", o.token, &token)

	method := api.ACLAuthMethod{
		Name: "Web-Method", Type: "aws-iam", DisplayName: "Web", Description: "for web", MaxTokenTTL: 90 * time.Minute, TokenLocality: "global",
		Config: map[string]any{
			"boundIamPrincipalArns": []any{"arn:aws:iam::123456789012:role/consul-ecs/*"}, "EnableIAMEntityDetails": true,
			"IAMEntityTags": []any{"team"}, "MaxRetries": float64(2), "ServerIDHeaderValue": "consul.test",
		},
	}
	if namespace == "default" {
		method.NamespaceRules = []*api.ACLAuthMethodNamespaceRule{{Selector: `entity_tags["team"] != ""`, BindNamespace: "team-1"}}
	}
	o.method = must(c.AuthMethodCreate(&method, nil))(t)
	method.CreateIndex, method.ModifyIndex = o.method.CreateIndex, o.method.CreateIndex
	method.Partition, method.Namespace = partition, namespace
	same(t, "auth method", o.method, &method)

	rule := api.ACLBindingRule{
		Description: "for web", AuthMethod: "Web-Method", Selector: `entity_name == "web"`, BindType: api.BindingRuleBindTypeTemplatedPolicy,
		BindName: "builtin/service", BindVars: &api.ACLTemplatedPolicyVariables{Name: "${entity_name}"},
	}
	o.rule = must(c.BindingRuleCreate(&rule, nil))(t)
	rule.ID, rule.CreateIndex, rule.ModifyIndex = o.rule.ID, o.rule.CreateIndex, o.rule.CreateIndex
	rule.Partition, rule.Namespace = partition, namespace
	same(t, "binding rule", o.rule, &rule)
	return o
}

// read wants each object back in every form of reading.
func (o *objects) read(t *testing.T, c *api.ACL) {
	t.Helper()
	same(t, "policy by ID", must(c.PolicyRead(o.policy.ID, nil))(t), o.policy)
	same(t, "policy by name", must(c.PolicyReadByName("web-POLICY", nil))(t), o.policy)
	same(t, "policy in the list", find(t, must(c.PolicyList(nil))(t), func(e *api.ACLPolicyListEntry) bool { return e.ID == o.policy.ID }),
		&api.ACLPolicyListEntry{
			ID: o.policy.ID, Name: o.policy.Name, Description: o.policy.Description, Datacenters: o.policy.Datacenters, Hash: o.policy.Hash,
			CreateIndex: o.policy.CreateIndex, ModifyIndex: o.policy.ModifyIndex, Namespace: o.policy.Namespace, Partition: o.policy.Partition,
		})
	same(t, "role by ID", must(c.RoleRead(o.role.ID, nil))(t), o.role)
	same(t, "role by name", must(c.RoleReadByName("web-ROLE", nil))(t), o.role)
	same(t, "role in the list", find(t, must(c.RoleList(nil))(t), func(r *api.ACLRole) bool { return r.ID == o.role.ID }), o.role)
	same(t, "auth method", must(c.AuthMethodRead("web-METHOD", nil))(t), o.method)
	same(t, "auth method in the list", find(t, must(c.AuthMethodList(nil))(t), func(e *api.ACLAuthMethodListEntry) bool { return e.Name == o.method.Name }),
		&api.ACLAuthMethodListEntry{
			Name: o.method.Name, Type: o.method.Type, DisplayName: o.method.DisplayName, Description: o.method.Description,
			MaxTokenTTL: o.method.MaxTokenTTL, TokenLocality: o.method.TokenLocality,
			CreateIndex: o.method.CreateIndex, ModifyIndex: o.method.ModifyIndex, Namespace: o.method.Namespace, Partition: o.method.Partition,
		})
	same(t, "binding rule", must(c.BindingRuleRead(o.rule.ID, nil))(t), o.rule)
	same(t, "binding rules of the method", must(c.BindingRuleList("Web-Method", nil))(t), []*api.ACLBindingRule{o.rule})
	o.readToken(t, c)
}

func (o *objects) readToken(t *testing.T, c *api.ACL) {
	t.Helper()
	same(t, "token", must(c.TokenRead(o.token.AccessorID, nil))(t), o.token)
	same(t, "token of oneself", must(c.TokenReadSelf(&api.QueryOptions{Token: o.token.SecretID}))(t), o.token)
	entry := &api.ACLTokenListEntry{
		CreateIndex: o.token.CreateIndex, ModifyIndex: o.token.ModifyIndex, AccessorID: o.token.AccessorID, SecretID: o.token.SecretID,
		Description: o.token.Description, Policies: o.token.Policies, Roles: o.token.Roles, ServiceIdentities: o.token.ServiceIdentities,
		NodeIdentities: o.token.NodeIdentities, TemplatedPolicies: o.token.TemplatedPolicies, Local: o.token.Local,
		ExpirationTime: o.token.ExpirationTime, CreateTime: o.token.CreateTime, Hash: o.token.Hash,
		Namespace: o.token.Namespace, Partition: o.token.Partition,
	}
	for name, filter := range map[string]api.ACLTokenFilterOptions{
		"all": {}, "of the policy": {Policy: o.policy.ID}, "of the role": {Role: o.role.ID}, "of the service": {ServiceName: "api"},
	} {
		list := must(c.TokenListFiltered(filter, nil))(t)
		same(t, "token in the list "+name, find(t, list, func(e *api.ACLTokenListEntry) bool { return e.AccessorID == o.token.AccessorID }), entry)
	}
	expanded := must(c.TokenReadExpanded(o.token.AccessorID, nil))(t)
	same(t, "expanded token", &expanded.ACLToken, o.token)
	same(t, "expanded role", expanded.ExpandedRoles, []api.ACLRole{*o.role})
	same(t, "expanded policy", expanded.ExpandedPolicies[0], *o.policy)
	if expanded.AgentACLDefaultPolicy != "deny" || expanded.AgentACLDownPolicy != "extend-cache" || expanded.ResolvedByAgent != "srv1" {
		t.Errorf("expanded by %q with %q and %q", expanded.ResolvedByAgent, expanded.AgentACLDefaultPolicy, expanded.AgentACLDownPolicy)
	}
}

// find returns the one row that is wanted.
func find[T any](t *testing.T, rows []T, wanted func(T) bool) T {
	t.Helper()
	var found []T
	for _, row := range rows {
		if wanted(row) {
			found = append(found, row)
		}
	}
	if len(found) != 1 {
		t.Fatalf("found %d times in %s", len(found), text(rows))
	}
	return found[0]
}

// change writes back what was read, with another description, as tools do.
func (o *objects) change(t *testing.T, c *api.ACL) {
	t.Helper()
	before := *o.policy
	o.policy.Description = "changed"
	o.policy = must(c.PolicyUpdate(o.policy, nil))(t)
	if o.policy.ModifyIndex <= before.ModifyIndex || o.policy.CreateIndex != before.CreateIndex || hex.EncodeToString(o.policy.Hash) == hex.EncodeToString(before.Hash) {
		t.Errorf("changed policy %s", text(o.policy))
	}
	o.role.Description = "changed"
	o.role = must(c.RoleUpdate(o.role, nil))(t)
	o.token.Description = "changed"
	o.token = must(c.TokenUpdate(o.token, nil))(t)
	o.method.Description = "changed"
	o.method = must(c.AuthMethodUpdate(o.method, nil))(t)
	o.rule.Description = "changed"
	o.rule = must(c.BindingRuleUpdate(o.rule, nil))(t)
	o.read(t, c)

	clone := must(c.TokenClone(o.token.AccessorID, "", nil))(t)
	if clone.AccessorID == o.token.AccessorID || clone.SecretID == o.token.SecretID || !clone.ExpirationTime.Equal(*o.token.ExpirationTime) {
		t.Errorf("clone %s", text(clone))
	}
	same(t, "roles of the clone", clone.Roles, o.token.Roles)
	same(t, "service identities of the clone", clone.ServiceIdentities, o.token.ServiceIdentities)
	if err := second(c.TokenDelete(clone.AccessorID, nil)); err != nil {
		t.Error(err)
	}
}

// second returns the error of a call that answers nothing else.
func second[M any](_ M, err error) error { return err }

// remove deletes everything, and wants it to be gone.
func (o *objects) remove(t *testing.T, c *api.ACL) {
	t.Helper()
	for name, err := range map[string]error{
		"policy": second(c.PolicyDelete(o.policy.ID, nil)), "role": second(c.RoleDelete(o.role.ID, nil)),
		"token": second(c.TokenDelete(o.token.AccessorID, nil)), "auth method": second(c.AuthMethodDelete("Web-Method", nil)),
	} {
		if err != nil {
			t.Errorf("delete the %s: %v", name, err)
		}
	}
	_, _, err := c.PolicyRead(o.policy.ID, nil)
	refused(t, err, 404, "Requested policy does not exist: ACL not found")
	_, _, err = c.TokenRead(o.token.AccessorID, nil)
	refused(t, err, 403, "token does not exist: ACL not found")
	refused(t, second(c.PolicyDelete(o.policy.ID, nil)), 404, "") // the client drops this body
	refused(t, second(c.RoleDelete(o.role.ID, nil)), 404, "Cannot find role to delete")
	refused(t, second(c.TokenDelete(o.token.AccessorID, nil)), 404, "Cannot find token to delete")
	refused(t, second(c.AuthMethodDelete("Web-Method", nil)), 404, "Cannot find auth method to delete")
	refused(t, second(c.BindingRuleDelete(o.rule.ID, nil)), 404, "Cannot find binding rule to delete")
	if role := must(c.RoleRead(o.role.ID, nil))(t); role != nil {
		t.Errorf("role %s", text(role))
	}
	if method := must(c.AuthMethodRead("Web-Method", nil))(t); method != nil {
		t.Errorf("auth method %s", text(method))
	}
	if rule := must(c.BindingRuleRead(o.rule.ID, nil))(t); rule != nil {
		t.Errorf("binding rule %s", text(rule))
	}
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t, "")
	nobody := w.client("", "", "").ACL()
	_, _, err := w.client("who-knows", "", "").ACL().TokenList(nil)
	refused(t, err, 403, "ACL system must be bootstrapped before making any requests that require authorization: ACL not found")
	first := must(nobody.Bootstrap())(t)
	if first.Description != "Bootstrap Token (Global Management)" || first.Local || first.ExpirationTime != nil {
		t.Errorf("bootstrap token %s", text(first))
	}
	same(t, "its policies", first.Policies, []*api.ACLLink{{ID: "00000000-0000-0000-0000-000000000001", Name: "global-management"}})
	_, _, err = nobody.Bootstrap()
	refused(t, err, 403, "Permission denied: ACL bootstrap no longer allowed (reset index: ")
	c := w.client(first.SecretID, "", "").ACL()
	same(t, "oneself", must(c.TokenReadSelf(nil))(t), first)
	status := must(c.Replication(nil))(t)
	if status.Enabled || status.Running || status.ReplicatedIndex != 0 {
		t.Errorf("replication %s", text(status))
	}
	w.restart()
	same(t, "oneself after a restart", must(c.TokenReadSelf(nil))(t), first)
}

func TestTemplatedPolicies(t *testing.T) {
	c := newWorld(t, management).client(management, "", "").ACL()
	all := must(c.TemplatedPolicyList(nil))(t)
	for _, name := range []string{
		"builtin/api-gateway", "builtin/dns", "builtin/node", "builtin/nomad-client", "builtin/nomad-server", "builtin/service", "builtin/workload-identity",
	} {
		one := must(c.TemplatedPolicyReadByName(name, nil))(t)
		same(t, name, *one, all[name])
	}
	preview := must(c.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{
		TemplateName: "builtin/workload-identity", TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"},
	}, nil))(t)
	same(t, "rules", preview.Rules, "identity \"web\" {\n  policy = \"write\"\n}\n")
	_, _, err := c.TemplatedPolicyReadByName("builtin/nope", nil)
	refused(t, err, 400, "Invalid templated policy Name: builtin/nope")
}
