package compat

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/awslocal"
)

// bearer returns a bearer token made by a task with a role.
func (w *world) bearer(role string) string {
	w.t.Helper()
	task, err := w.aws.StartTask(awslocal.TaskSpec{
		Role: "arn:aws:iam::" + awslocal.DemoAccount + ":role/" + role, Cluster: "compat", Region: "us-west-2",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.CredentialsURI)
	token, err := awsiam.NewBearerToken(context.Background(), awsiam.BearerInput{Region: "us-west-2", IncludeEntity: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return token.Reveal()
}

// setUp makes an auth method that trusts the tasks, and binding rules of every
// type but node, which exists in the default namespace alone.
func setUp(t *testing.T, c *api.ACL, namespaceRules ...*api.ACLAuthMethodNamespaceRule) {
	t.Helper()
	must(c.AuthMethodCreate(&api.ACLAuthMethod{
		Name: "ecs", Type: "aws-iam", MaxTokenTTL: time.Hour, NamespaceRules: namespaceRules,
		Config: map[string]any{
			"BoundIAMPrincipalARNs":  []string{"arn:aws:iam::" + awslocal.DemoAccount + ":role/consul-ecs/*"},
			"EnableIAMEntityDetails": true,
			"IAMEntityTags":          []string{"consul.hashicorp.com.service-name", "consul.hashicorp.com.namespace"},
		},
	}, nil))(t)
	for _, rule := range []api.ACLBindingRule{
		{BindType: api.BindingRuleBindTypeService, BindName: "${entity_tags.consul.hashicorp.com.service-name}"},
		{BindType: api.BindingRuleBindTypeRole, BindName: "ecs"},
		{BindType: api.BindingRuleBindTypePolicy, BindName: "ecs"},
		{BindType: api.BindingRuleBindTypeTemplatedPolicy, BindName: "builtin/workload-identity", BindVars: &api.ACLTemplatedPolicyVariables{Name: "${entity_name}"}},
		{BindType: api.BindingRuleBindTypeService, BindName: "never", Selector: `entity_name == "nobody"`},
	} {
		rule.AuthMethod = "ecs"
		must(c.BindingRuleCreate(&rule, nil))(t)
	}
}

func TestLoginAndLogout(t *testing.T) {
	w := newWorld(t, management)
	c := w.client(management, "", "").ACL()
	policy := must(c.PolicyCreate(&api.ACLPolicy{Name: "ecs"}, nil))(t)
	role := must(c.RoleCreate(&api.ACLRole{Name: "ecs", Policies: []*api.ACLLink{{ID: policy.ID}}}, nil))(t)
	setUp(t, c)
	must(c.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "ecs", BindType: api.BindingRuleBindTypeNode, BindName: "node-${entity_name}"}, nil))(t)
	bearer := w.bearer("consul-ecs/web")

	token := must(w.client("ignored", "", "").ACL().Login(&api.ACLLoginParams{
		AuthMethod: "ecs", BearerToken: bearer, Meta: map[string]string{"task-id": "1a2b", "cluster": "c"},
	}, nil))(t)
	if left := time.Until(*token.ExpirationTime); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the token lives for %v", left)
	}
	same(t, "token", token, &api.ACLToken{
		AccessorID: token.AccessorID, SecretID: token.SecretID, CreateTime: token.CreateTime, ExpirationTime: token.ExpirationTime,
		Hash: token.Hash, CreateIndex: token.CreateIndex, ModifyIndex: token.CreateIndex,
		Description: `token created via login: {"cluster":"c","task-id":"1a2b"}`, Local: true,
		AuthMethod: "ecs", AuthMethodNamespace: "default", Namespace: "default", Partition: "default",
		Roles: []*api.ACLLink{{ID: role.ID, Name: "ecs"}}, Policies: []*api.ACLLink{{ID: policy.ID, Name: "ecs"}},
		ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "web"}},
		NodeIdentities:    []*api.ACLNodeIdentity{{NodeName: "node-web", Datacenter: "dc1"}},
		TemplatedPolicies: []*api.ACLTemplatedPolicy{{TemplateName: "builtin/workload-identity", TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"}}},
	})
	w.restart()
	mine := w.client(token.SecretID, "", "").ACL()
	same(t, "oneself", must(mine.TokenReadSelf(&api.QueryOptions{AllowStale: true}))(t), token)
	of := must(c.TokenListFiltered(api.ACLTokenFilterOptions{AuthMethod: "ecs"}, nil))(t)
	if len(of) != 1 || of[0].AccessorID != token.AccessorID {
		t.Errorf("tokens of the method: %s", text(of))
	}
	_, _, err := mine.TokenList(nil)
	refused(t, err, 403, "Permission denied: token with AccessorID '"+token.AccessorID+"' lacks permission 'acl:read'")
	_, _, err = c.TokenClone(token.AccessorID, "", nil)
	refused(t, err, 400, "Cannot clone a token created from an auth method")

	if err := second(mine.Logout(nil)); err != nil {
		t.Error(err)
	}
	_, _, err = mine.TokenReadSelf(nil)
	refused(t, err, 403, "token does not exist: ACL not found")
	refused(t, second(mine.Logout(nil)), 403, "ACL not found")
	refused(t, second(c.Logout(nil)), 403, "Permission denied: token wasn't created via login")
	refused(t, second(w.client("", "", "").ACL().Logout(nil)), 401, "Supplied token does not exist")
}

func TestLoginIntoANamespace(t *testing.T) {
	w := newScopedWorld(t)
	c := w.client(management, "team-a", "").ACL()
	setUp(t, c, &api.ACLAuthMethodNamespaceRule{
		Selector: `entity_tags["consul.hashicorp.com.namespace"] != ""`, BindNamespace: "${entity_tags.consul.hashicorp.com.namespace}",
	})
	login := func(role string) *api.ACLToken {
		t.Helper()
		return must(w.client("", "team-a", "").ACL().Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: w.bearer(role)}, nil))(t)
	}
	for role, namespace := range map[string]string{"consul-ecs/web": "team-1", "consul-ecs/api": "default"} {
		token := login(role)
		if token.Partition != "team-a" || token.Namespace != namespace || token.AuthMethodNamespace != "default" || len(token.Roles) != 0 {
			t.Errorf("%s: %s", role, text(token))
		}
	}
	_, _, err := w.client("", "", "").ACL().Login(&api.ACLLoginParams{AuthMethod: "ecs", BearerToken: w.bearer("consul-ecs/web")}, nil)
	refused(t, err, 403, `ACL not found: auth method "ecs" not found`)

	// The method takes its tokens with it, in whatever namespace they are.
	token := login("consul-ecs/web")
	if err := second(c.AuthMethodDelete("ecs", nil)); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.client(token.SecretID, "", "").ACL().TokenReadSelf(nil)
	refused(t, err, 403, "ACL not found")
}
