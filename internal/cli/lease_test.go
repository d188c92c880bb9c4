package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/logging"
)

const (
	loginID = "aaaaaaaa-0000-4000-8000-000000000000"

	allowedSteps = `{"AuthMethod":"ecs","Type":"aws-iam","Namespace":"default","Partition":"ecs","Allowed":true,` +
		`"Identity":{"Principal":"arn:aws:iam::1:role/web","UniqueID":"AROA1","Account":"1","Values":{"entity_name":"web","entity_tags.ns":"team"},"ProofUsedBy":"138c06b4-05c8-a868-20a5-d6b9c3140c17"},` +
		`"NamespaceRules":[{"Selector":"account_id == \"2\"","BindNamespace":"x","Matches":false},{"Selector":"","BindNamespace":"${entity_tags.ns}","Matches":true,"Namespace":"team"}],` +
		`"BindingRules":[{"ID":"r1","Selector":"","BindType":"service","BindName":"${entity_name}","Matches":true,"Name":"web"},` +
		`{"ID":"r2","Selector":"entity_name == x","BindType":"role","BindName":"ops","Matches":false},` +
		`{"ID":"r3","Selector":"","BindType":"role","BindName":"ops","Matches":true,"Name":"ops","Missing":true},` +
		`{"ID":"r4","Selector":"","BindType":"templated-policy","BindName":"builtin/service","Matches":true,"Name":"builtin/service","Variable":"web"}],"Omitted":3,` +
		`"Gains":{"Namespace":"team","Partition":"ecs","ServiceIdentities":[{"ServiceName":"web"}],"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"name":"web"}}],"Local":true,"ExpirationTime":"2030-01-02T04:04:05Z"}}`

	refusedSteps = `{"ID":"` + loginID + `","Time":"2030-01-02T03:04:05Z","AuthMethod":"ecs","Type":"aws-iam","Namespace":"default","Partition":"default","Allowed":false,` +
		`"Reason":"invalid bind name: \"a.b\"","Change":"binding rule r1 has to match others only, or the identity needs another value in ${entity_name}",` +
		`"Identity":{"Values":{"entity_name":"a.b"}},"BindingRules":[{"ID":"r1","Selector":"","BindType":"service","BindName":"${entity_name}","Matches":true,"Error":"invalid bind name: \"a.b\""}]}`

	unknownSteps = `{"AuthMethod":"nosuch","Namespace":"default","Partition":"default","Allowed":false,"Reason":"ACL not found: auth method \"nosuch\" not found","Change":"there has to be an auth method of this name in this namespace"}`
)

func TestAuthMethodExplain(t *testing.T) {
	const explain = "POST /v1/acl/login/explain"
	bearer := write(t, "bearer", " proof\n")
	for _, c := range []struct {
		name string
		args []string
		play answers
		line string
		body string
	}{
		{"auth_method_explain", []string{"-name", "ecs", "-bearer-token-file", bearer, "-meta", "k=v"}, answers{explain: allowedSteps}, explain,
			`{"AuthMethod":"ecs","BearerToken":"proof","Meta":{"k":"v"}}`},
		{"auth_method_explain_by_hand", []string{"-name", "nosuch", "-identity", "entity_name=web", "-identity", "entity_tags.a=b=c", "-partition", "ecs"}, answers{explain + "?partition=ecs": unknownSteps}, explain + "?partition=ecs",
			`{"AuthMethod":"nosuch","Identity":{"entity_name":"web","entity_tags.a":"b=c"},"Meta":null,"BearerToken":null}`},
		{"auth_method_explain_refused", []string{"-login-id", loginID}, answers{"GET /v1/acl/login/" + loginID: refusedSteps}, "", ""},
		{"auth_method_explain_json", []string{"-login-id", loginID, "-format", "json"}, answers{"GET /v1/acl/login/" + loginID: refusedSteps}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newAPI(t, c.play)
			got := api.run(t, append([]string{"acl", "auth-method", "explain"}, c.args...)...)
			if got.code != 0 {
				t.Fatal(got.err)
			}
			golden(t, c.name, got.out)
			if c.line != "" {
				api.body(t, c.line, c.body)
			}
		})
	}
}

func TestAuthMethodExplainWithAWS(t *testing.T) {
	api := newAPI(t, answers{"POST /v1/acl/login/explain": allowedSteps})
	w := api.at()
	w.root = &Command{Name: "consul", Sub: []*Command{aclAuthMethodExplain(func(context.Context, awsiam.BearerInput) (logging.Secret, error) { return "signed", nil })}}
	if got := w.run(t, "explain", "-name", "ecs", "-aws-auto-bearer-token"); got.code != 0 {
		t.Fatal(got.err)
	}
	api.body(t, "POST /v1/acl/login/explain", `{"AuthMethod":"ecs","BearerToken":"signed"}`)
}

func TestLeaseComplaints(t *testing.T) {
	for _, c := range []struct {
		command string
		play    answers
		err     string
	}{
		{"acl auth-method explain", nil, "Must specify either the -name parameter or -login-id\n"},
		{"acl auth-method explain -name a -login-id b", nil, "Must specify either the -name parameter or -login-id\n"},
		{"acl auth-method explain -name a", nil, "Missing required '-bearer-token-file' flag\n"},
		{"acl auth-method explain -name a -identity x", nil, "invalid value \"x\" for flag -identity: Missing \"=\" value in argument: x\n"},
		{"acl auth-method explain -name a -identity x=y -aws-auto-bearer-token", nil, "Cannot use '-identity' with a bearer token\n"},
		{"acl auth-method explain -name a -bearer-token-file nosuch", nil, "open nosuch: no such file or directory\n"},
		{"acl auth-method explain -login-id x -format y", nil, "Unknown format: y\n"},
		{"acl auth-method explain -login-id x", answers{"GET /v1/acl/login/x": "404 no refused login with this ID is remembered"},
			"Error explaining the login: Unexpected response code: 404 (no refused login with this ID is remembered)\n"},
		{"acl token renew x", nil, "Should have no non-flag arguments.\n"},
		{"acl token renew", answers{"POST /v1/acl/token/renew": "403 Permission denied: token wasn't created via login"},
			"Error renewing token: Unexpected response code: 403 (Permission denied: token wasn't created via login)\n"},
		{"acl token list -limit 5", answers{"GET /v1/acl/tokens?limit=5": "403 no"}, "Failed to retrieve the token list: Unexpected response code: 403 (no)\n"},
	} {
		got := newAPI(t, c.play).run(t, strings.Fields(c.command)...)
		if got.code != 1 || !strings.HasPrefix(got.err, c.err) || got.out != "" {
			t.Errorf("%s: %+v", c.command, got)
		}
	}
}

func TestTokenRenew(t *testing.T) {
	api := newAPI(t, answers{"POST /v1/acl/token/renew": tokenA})
	got := api.run(t, "acl", "token", "renew", "-token-file", write(t, "token", "352fa8e0-262f-faa6-4a9b-8121f346438e\n"))
	if got.code != 0 || !strings.Contains(got.out, "Expiration Time:  2030-01-02 04:04:05.169809101 +0000 UTC\n") {
		t.Errorf("got %+v", got)
	}
	if sent := api.last(t).token; sent != "352fa8e0-262f-faa6-4a9b-8121f346438e" {
		t.Errorf("sent %q", sent)
	}
}

// answerWith plays one answer with a header.
func answerWith(t *testing.T, status int, body, name, value string) *fakeAPI {
	f := &fakeAPI{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))}
	t.Cleanup(f.Close)
	return f
}

func TestTokenListInParts(t *testing.T) {
	api := answerWith(t, 200, "["+tokenA+"]", "X-Lictor-Next-Page", "NEXT")
	got := api.run(t, "acl", "token", "list", "-limit", "1")
	if got.code != 0 || got.err != "There are more tokens: -after NEXT\n" || !strings.Contains(got.out, "138c06b4-05c8-a868-20a5-d6b9c3140c17") {
		t.Errorf("got %+v", got)
	}
	last := newAPI(t, answers{"GET /v1/acl/tokens?after=NEXT&limit=1&ns=%2A": "[" + tokenB + "]"})
	if got := last.run(t, "acl", "token", "list", "-limit", "1", "-after", "NEXT", "-namespace", "*"); got.code != 0 || got.err != "" {
		t.Errorf("got %+v", got)
	}
}

func TestARefusedLoginSaysHowToFindOut(t *testing.T) {
	api := answerWith(t, 403, "Permission denied", "X-Lictor-Login-Id", loginID)
	got := api.run(t, "login", "-method", "m", "-bearer-token-file", write(t, "bearer", "x"), "-token-sink-file", filepath.Join(t.TempDir(), "token"))
	want := "Error logging in: Unexpected response code: 403 (Permission denied)\nTo see why: consul acl auth-method explain -login-id " + loginID + "\n"
	if got.code != 1 || got.err != want || got.out != "" {
		t.Errorf("got %+v", got)
	}
}
