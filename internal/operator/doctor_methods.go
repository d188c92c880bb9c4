package operator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/awsiam"
)

const setUp = "set it up with lictor setup"

func (d *doctor) inPartition(ctx context.Context) *api.QueryOptions {
	opts := reading(ctx)
	opts.Partition = d.partition
	return opts
}

// checkMethods looks at both auth methods, and at whether they let the task role in.
func (d *doctor) checkMethods(ctx context.Context, f *findings) {
	if d.serversDown(f) {
		return
	}
	for _, name := range []string{d.clientMethod, d.serviceMethod} {
		method, _, err := d.servers.client.ACL().AuthMethodRead(name, d.inPartition(ctx))
		switch {
		case aclsOff(err):
			if d.loginConfig().Enabled {
				f.fail("switch ACLs on, or consulLogin.enabled off", "the task is to log in, and the servers have no ACLs")
			} else {
				f.skip("ACLs are off")
			}
			return
		case aclsetup.IsMissing(err), err == nil && method == nil:
			f.fail(setUp, "there is no auth method %s", name)
			continue
		case denied(err):
			f.skip("the token may not see auth methods: acl:read")
			return
		case err != nil:
			what, remedy := explain(err)
			f.fail(remedy, "auth method %s: %s", name, what)
			return
		}
		d.checkMethod(f, method)
		d.checkRules(ctx, f, name)
	}
}

func (d *doctor) checkMethod(f *findings, m *api.ACLAuthMethod) {
	if m.Type != "aws-iam" {
		f.fail(setUp, "auth method %s is of type %s, not aws-iam", m.Name, m.Type)
		return
	}
	var config struct {
		BoundIAMPrincipalARNs  []string
		EnableIAMEntityDetails bool
		IAMEntityTags          []string
	}
	text, err := json.Marshal(m.Config)
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		f.fail(setUp, "auth method %s: its configuration cannot be read: %v", m.Name, err)
		return
	}
	if m.Name == d.serviceMethod && !contains(config.IAMEntityTags, aclsetup.TagServiceName) {
		f.fail(setUp, "auth method %s does not read the tag %s", m.Name, aclsetup.TagServiceName)
	}
	lasts := "without end"
	if m.MaxTokenTTL > 0 {
		lasts = "for " + m.MaxTokenTTL.String()
	}
	switch {
	case d.roleHad == nil:
		f.ok("auth method %s trusts %s; its tokens last %s", m.Name, some(config.BoundIAMPrincipalARNs), lasts)
	case !trusts(config.BoundIAMPrincipalARNs, config.EnableIAMEntityDetails, d.roleHad.arn):
		f.fail("add the role to the file of lictor setup, or move it to a trusted path", "auth method %s trusts %s, not %s", m.Name, some(config.BoundIAMPrincipalARNs), d.roleHad.arn)
	default:
		f.ok("auth method %s trusts %s; its tokens last %s", m.Name, d.roleHad.arn, lasts)
	}
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// trusts reports whether an ARN is bound (authmethods.md section 3).
func trusts(bound []string, details bool, arn string) bool {
	for _, b := range bound {
		prefix, wildcard := strings.CutSuffix(b, "*")
		if b == arn || wildcard && details && strings.HasPrefix(arn, prefix) {
			return true
		}
	}
	return false
}

func (d *doctor) checkRules(ctx context.Context, f *findings, method string) {
	rules, _, err := d.servers.client.ACL().BindingRuleList(method, d.inPartition(ctx))
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "binding rules of %s: %s", method, what)
		return
	}
	if len(rules) == 0 {
		f.fail(setUp, "auth method %s has no binding rule, so that every login is refused", method)
		return
	}
	for _, r := range rules {
		if r.BindType != api.BindingRuleBindTypeRole || strings.Contains(r.BindName, "${") {
			continue
		}
		role, _, err := d.servers.client.ACL().RoleReadByName(r.BindName, d.inPartition(ctx))
		if aclsetup.IsMissing(err) || err == nil && role == nil {
			f.fail(setUp, "a binding rule of %s gives the role %q, which there is not", method, r.BindName)
			return
		}
	}
	f.ok("auth method %s has %s", method, plural(len(rules), "binding rule"))
}

// checkLogin asks the servers what would become of a login, which makes nothing.
func (d *doctor) checkLogin(ctx context.Context, f *findings) {
	if d.serversDown(f) {
		return
	}
	if d.servers.token == "" {
		f.skip("a dry run needs a token with acl:write")
		return
	}
	for _, name := range []string{d.clientMethod, d.serviceMethod} {
		body := map[string]any{"AuthMethod": name}
		switch {
		case d.aws != nil && d.aws.own != "" && (d.role == "" || d.role == d.aws.own):
			l := d.loginConfig()
			bearer, err := awsiam.NewBearerToken(ctx, awsiam.BearerInput{
				Region: d.aws.config.Region, STSEndpoint: l.STSEndpoint, ServerIDHeaderValue: l.ServerIDHeaderValue, IncludeEntity: true,
			})
			if err != nil {
				what, remedy := explain(err)
				f.fail(remedy, "making a bearer token: %s", what)
				return
			}
			body["BearerToken"] = bearer.Reveal()
		case d.roleHad != nil:
			body["Identity"] = d.roleHad.identity(name == d.serviceMethod)
		default:
			f.skip("a dry run needs the credentials of a task role, or one that is named with -role")
			return
		}
		if !d.dryRun(ctx, f, name, body) {
			return
		}
	}
}

// identity is what a login of the role proves, of which a task's id is made up.
func (r *taskRole) identity(withTags bool) map[string]string {
	values := map[string]string{
		"entity_name": r.name, "entity_id": r.id, "entity_path": r.path, "account_id": r.account, "session_name": strings.Repeat("0", 32),
	}
	if withTags {
		values["entity_tags."+aclsetup.TagServiceName] = r.tags[aclsetup.TagServiceName]
	}
	return values
}

// dryRun returns false if there is no point in going on.
func (d *doctor) dryRun(ctx context.Context, f *findings, name string, body map[string]any) bool {
	query := url.Values{}
	if d.partition != "" {
		query.Set("partition", d.partition)
	}
	var steps struct {
		Allowed        bool
		Reason, Change string
		Gains          *api.ACLToken
	}
	_, err := d.servers.call(ctx, http.MethodPost, "/v1/acl/login/explain", query, body, &steps)
	switch {
	case denied(err), aclsOff(err):
		f.skip("a dry run needs a token with acl:write")
		return false
	case err != nil:
		what, remedy := explain(err)
		f.fail(remedy, "the dry run of a login with %s: %s", name, what)
		return true
	case !steps.Allowed:
		f.fail(orNone(steps.Change, "consul acl auth-method explain -name "+name+" says more"), "a login with %s would be refused: %s", name, steps.Reason)
		return true
	}
	f.ok("a login with %s would succeed%s", name, gains(steps.Gains))
	return true
}

func gains(token *api.ACLToken) string {
	if token == nil {
		return ""
	}
	var list []string
	for _, s := range token.ServiceIdentities {
		list = append(list, "service "+s.ServiceName)
	}
	for _, r := range token.Roles {
		list = append(list, "role "+r.Name)
	}
	for _, p := range token.Policies {
		list = append(list, "policy "+p.Name)
	}
	if len(token.NodeIdentities) > 0 {
		list = append(list, "its own node")
	}
	if len(list) == 0 {
		return ""
	}
	return " and give " + some(list)
}
