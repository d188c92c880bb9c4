package endpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// explainedWorld has a method with rules of each kind, and a namespace rule.
func explainedWorld(t *testing.T) *world {
	w := newWorld(t)
	w.in("default", "team")
	w.role(tenancy.Scope{Partition: "default", Namespace: "team"}, acl.Role{Name: "ops"})
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", MaxTokenTTL: time.Hour, Scope: tenancy.Default,
		NamespaceRules: []authmethod.NamespaceRule{
			{Selector: `account_id == "9"`, BindNamespace: "nobody"},
			{Selector: `entity_tags.ns != ""`, BindNamespace: "${entity_tags.ns}"},
		}}))(t)
	for _, r := range []authmethod.BindingRule{
		{BindType: "role", BindName: "ops", Selector: `entity_name matches "^ops-"`},
		{BindType: "policy", BindName: "${entity_tags.service}-policy", Selector: `entity_name matches "^pol-"`},
		{BindType: "service", BindName: "${entity_tags.service}", Selector: `entity_tags.service != ""`},
		{BindType: "templated-policy", BindName: "builtin/workload-identity", BindVars: &authmethod.BindVars{Name: "${entity_name}"}, Selector: `account_id == "7"`},
	} {
		r.AuthMethod = "m"
		w.rule(r)
	}
	return w
}

func TestExplainALogin(t *testing.T) {
	w := explainedWorld(t)
	for _, c := range []struct {
		name, bearer string
		reason       string
		change       string
		namespaces   string // selectors' results and names
		rules        string // results by bind type, in the rules' order
		gains        string
	}{
		{name: "nothing proven", bearer: "refused", reason: "IAM principal is not trusted"},
		{name: "no rule", bearer: "entity_name=x", reason: "Permission denied", change: "a binding rule has to match the identity",
			namespaces: "false: false:", rules: "policy:false role:false service:false templated-policy:false"},
		{name: "a role that is not in the namespace", bearer: "entity_name=ops-1", reason: "Permission denied", change: `namespace "default" needs a role named "ops"`,
			namespaces: "false: false:", rules: "policy:false role:true=ops,missing service:false templated-policy:false"},
		{name: "a role in the namespace of a tag", bearer: "entity_name=ops-1 entity_tags.ns=TEAM",
			namespaces: "false: true:team", rules: "policy:false role:true=ops service:false templated-policy:false", gains: "team role ops"},
		{name: "a namespace that does not exist", bearer: "entity_name=ops-1 entity_tags.ns=ops", reason: `Namespace "ops" does not exist`, change: `namespace "ops" has to be made`,
			namespaces: "false: true:ops"},
		{name: "a namespace that cannot exist", bearer: "entity_tags.ns=a_b", reason: `invalid bind namespace: "a_b"`,
			change:     "namespace rule 2 has to match others only, or the identity needs another value in ${entity_tags.ns}",
			namespaces: `false: true:!invalid bind namespace: "a_b"`},
		{name: "names that are lowered", bearer: "entity_tags.service=WEB account_id=7 entity_name=T",
			namespaces: "false: false:", rules: "policy:false role:false service:true=web templated-policy:true=builtin/workload-identity(T)", gains: "default service web templated-policy builtin/workload-identity"},
		{name: "a name that cannot be", bearer: "entity_tags.service=a.b account_id=7 entity_name=T", reason: `invalid bind name: "a.b"`,
			change:     "binding rule SERVICE has to match others only, or the identity needs another value in ${entity_tags.service}",
			namespaces: "false: false:", rules: `policy:false role:false service:true!invalid bind name: "a.b" templated-policy:true=builtin/workload-identity(T)`},
		{name: "a policy that is not there beside a service that is", bearer: "entity_name=pol-1 entity_tags.service=web",
			namespaces: "false: false:", rules: "policy:true=web-policy,missing role:false service:true=web templated-policy:false", gains: "default service web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.countTokens()
			index := w.raft.index
			got := must(w.logins.Explain(ctx, w.root, LoginExplain{LoginRequest: LoginRequest{Scope: tenancy.Default, AuthMethod: "M", BearerToken: logging.Secret(c.bearer)}}))(t)
			if w.countTokens() != before || w.raft.index != index {
				t.Error("a dry run changes something")
			}
			for _, r := range got.BindingRules {
				if r.BindType == "service" {
					c.change = strings.Replace(c.change, "SERVICE", r.ID, 1)
				}
			}
			if got.Reason != c.reason || got.Change != c.change || got.Allowed != (c.reason == "") || shownNamespaces(got) != c.namespaces || shownBindings(got) != c.rules || shownGains(got) != c.gains {
				t.Errorf("%s\n%s\n%s\n%s", asJSON(t, got), shownNamespaces(got), shownBindings(got), shownGains(got))
			}
			token, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: logging.Secret(c.bearer)})
			if got.Allowed != (err == nil) || err != nil && err.Error() != got.Reason {
				t.Errorf("the login itself: %v, %v", token, err)
			}
		})
	}
}

func shownNamespaces(x *LoginSteps) string {
	var parts []string
	for _, s := range x.NamespaceRules {
		text := fmt.Sprint(s.Matches, ":", s.Namespace)
		if s.Error != "" {
			text += "!" + s.Error
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// shownBindings orders by bind type: IDs are random.
func shownBindings(x *LoginSteps) string {
	var parts []string
	for _, kind := range []string{"policy", "role", "service", "templated-policy"} {
		for _, s := range x.BindingRules {
			if s.BindType != kind {
				continue
			}
			text := fmt.Sprint(kind, ":", s.Matches)
			if s.Name != "" {
				text += "=" + s.Name
			}
			if s.Variable != "" {
				text += "(" + s.Variable + ")"
			}
			if s.Missing {
				text += ",missing"
			}
			if s.Error != "" {
				text += "!" + s.Error
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " ")
}

func shownGains(x *LoginSteps) string {
	if x.Gains == nil {
		return ""
	}
	parts := []string{x.Gains.Namespace}
	for _, l := range x.Gains.Roles {
		parts = append(parts, "role", l.Name)
	}
	for _, i := range x.Gains.ServiceIdentities {
		parts = append(parts, "service", i.ServiceName)
	}
	for _, p := range x.Gains.TemplatedPolicies {
		parts = append(parts, "templated-policy", p.TemplateName)
	}
	return strings.Join(parts, " ")
}

func TestExplainALoginByHand(t *testing.T) {
	w := explainedWorld(t)
	for _, c := range []struct {
		name   string
		req    LoginExplain
		reason string
		kind   errs.Kind
		err    string
	}{
		{name: "an identity", req: LoginExplain{Identity: map[string]string{"entity_tags.service": "web"}}},
		{name: "an empty identity", req: LoginExplain{Identity: map[string]string{}}, reason: "Permission denied"},
		{name: "an attribute that there is not", req: LoginExplain{Identity: map[string]string{"team": "x"}},
			reason: `the identity has no attribute "team"; it has account_id, entity_name, entity_tags.ns, entity_tags.service`},
		{name: "neither", kind: errs.Invalid, err: "either BearerToken or Identity is needed"},
		{name: "both", req: LoginExplain{LoginRequest: LoginRequest{BearerToken: "x"}, Identity: map[string]string{}}, kind: errs.Invalid, err: "either BearerToken or Identity is needed"},
		{name: "too much", req: LoginExplain{LoginRequest: LoginRequest{BearerToken: logging.Secret(strings.Repeat("x", 64<<10+1))}}, kind: errs.Invalid, err: "BearerToken is longer than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.Scope, c.req.AuthMethod = tenancy.Default, "m"
			got, err := w.logins.Explain(ctx, w.root, c.req)
			wantError(t, err, c.kind, c.err)
			if err == nil && got.Reason != c.reason {
				t.Errorf("got %s", asJSON(t, got))
			}
		})
	}
	got := must(w.logins.Explain(ctx, w.root, LoginExplain{LoginRequest: LoginRequest{Scope: tenancy.Default, AuthMethod: "x"}, Identity: map[string]string{}}))(t)
	if got.Reason != `ACL not found: auth method "x" not found` || got.Change == "" {
		t.Errorf("no method: %s", asJSON(t, got))
	}
}

func TestARefusedLoginCanBeLookedUp(t *testing.T) {
	w := explainedWorld(t)
	other := w.in("default", "other")
	refuse := func(bearer logging.Secret) string {
		t.Helper()
		_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: bearer, Meta: map[string]string{"k": "private"}})
		var refused *RefusedLogin
		if !errors.As(err, &refused) {
			t.Fatalf("got %v", err)
		}
		return refused.ID
	}
	id := refuse("entity_name=secret-name entity_tags.service=a.b")
	reader, stranger := w.caller(tenancy.Default, `acl = "read"`), w.caller(other, `acl = "read"`)
	got := must(w.logins.Refused(ctx, reader, tenancy.Default, id))(t)
	if got.ID != id || got.Reason != `invalid bind name: "a.b"` || got.Identity.Values["entity_tags.service"] != "a.b" || !got.Time.Equal(w.clock) || len(got.BindingRules) != 4 {
		t.Errorf("got %s", asJSON(t, got))
	}
	if text := asJSON(t, got); strings.Contains(text, "private") || strings.Contains(text, "entity_name=") {
		t.Errorf("it holds what was sent: %s", text)
	}
	must(w.logins.Refused(ctx, reader, other, id))(t) // found wherever it was refused
	_, err := w.logins.Refused(ctx, stranger, other, id)
	wantError(t, err, errs.NotFound, "no refused login with this ID is remembered")
	if _, err = w.logins.Refused(ctx, stranger, tenancy.Default, id); !denied(err) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err = w.logins.Refused(ctx, w.resolve(""), tenancy.Default, someID); !denied(err) {
		t.Errorf("nobody: %v", err)
	}

	for range 2 * keptRefusals {
		refuse("refused") // proves nothing
	}
	must(w.logins.Refused(ctx, reader, tenancy.Default, id))(t)
	w.clock = w.clock.Add(refusalLife)
	_, err = w.logins.Refused(ctx, reader, tenancy.Default, id)
	wantError(t, err, errs.NotFound, "no refused login with this ID is remembered")
	first := refuse("entity_name=x")
	for range keptRefusals {
		refuse("entity_name=x")
	}
	_, err = w.logins.Refused(ctx, reader, tenancy.Default, first)
	wantError(t, err, errs.NotFound, "no refused login with this ID is remembered")
}

func TestWhatIsKeptOfARefusedLoginIsBounded(t *testing.T) {
	w := newWorld(t)
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}))(t)
	for range shownRules + 3 {
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "role", BindName: "none"})
	}
	got := must(w.logins.Explain(ctx, w.root, LoginExplain{LoginRequest: LoginRequest{Scope: tenancy.Default, AuthMethod: "m"}, Identity: map[string]string{}}))(t)
	if len(got.BindingRules) != shownRules || got.Omitted != 3 {
		t.Errorf("%d rules, %d omitted", len(got.BindingRules), got.Omitted)
	}
	_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: strings.Repeat("é", 60<<10)})
	var refused *RefusedLogin
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if r := must(w.logins.Refused(ctx, w.root, tenancy.Default, refused.ID))(t); len(asJSON(t, r)) > 3*shownText {
		t.Errorf("%d bytes of a name are kept", len(r.AuthMethod))
	}
}
