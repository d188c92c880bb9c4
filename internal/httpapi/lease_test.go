package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
)

// withLogins makes an auth method whose logins are leases, with a rule for everybody.
func (w *world) withLogins() {
	w.t.Helper()
	w.must("PUT", "/v1/acl/auth-method", `{"Name":"ecs","Type":"aws-iam","MaxTokenTTL":"1h","Config":{"Password":"open sesame","LeaseMetaKey":"task","MaxTokenLifetime":"1h"}}`, nil)
	w.must("PUT", "/v1/acl/binding-rule", `{"AuthMethod":"ecs","BindName":"${entity_name}","BindType":"service"}`, nil)
}

func TestARefusedLoginCarriesAnID(t *testing.T) {
	w := newWorld(t)
	w.withLogins()
	rec := w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"a.b:open sesame"}`)
	id := rec.Header().Get("X-Lictor-Login-Id")
	if rec.Code != http.StatusBadRequest || rec.Body.String() != `invalid bind name: "a.b"` || id == "" {
		t.Fatalf("%d %s %v", rec.Code, rec.Body, rec.Header())
	}
	if !strings.Contains(w.log.String(), "login_id="+id) || strings.Contains(w.log.String(), "sesame") {
		t.Errorf("logged %s", w.log)
	}
	var refused endpoint.Refusal
	w.must("GET", "/v1/acl/login/"+id, "", &refused)
	if refused.ID != id || refused.Reason != `invalid bind name: "a.b"` || refused.Identity.Values["entity_name"] != "a.b" || refused.BindingRules[0].Error == "" {
		t.Errorf("got %+v", refused)
	}
	for _, c := range []struct{ token, want string }{
		{"", "403 Permission denied: anonymous token lacks permission 'acl:read'"},
		{w.token("reader", `acl = "read"`), "200 "},
		{w.token("stranger", `operator = "write"`), "403 Permission denied: "},
	} {
		got := w.call("GET", "/v1/acl/login/"+id, "", "X-Consul-Token: "+c.token)
		if text := fmt.Sprint(got.Code, " ", got.Body); !strings.HasPrefix(text, c.want) || strings.Contains(text, "sesame") {
			t.Errorf("got %s", text)
		}
	}
	if got := w.call("GET", "/v1/acl/login/aaaaaaaa-0000-4000-8000-000000000000", "", asManagement); got.Code != http.StatusNotFound {
		t.Errorf("an unknown ID: %d %s", got.Code, got.Body)
	}
	ok := w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:open sesame"}`)
	if ok.Code != http.StatusOK || ok.Header().Get("X-Lictor-Login-Id") != "" {
		t.Errorf("a login that is not refused: %d %v", ok.Code, ok.Header())
	}
}

func TestALoginIsExplained(t *testing.T) {
	w := newWorld(t)
	w.withLogins()
	var got endpoint.LoginSteps
	w.must("POST", "/v1/acl/login/explain", `{"AuthMethod":"ecs","BearerToken":"web:open sesame","Meta":{"task":"1"}}`, &got)
	if !got.Allowed || got.Gains.ServiceIdentities[0].ServiceName != "web" || got.Namespace != "default" {
		t.Errorf("got %+v", got)
	}
	got = endpoint.LoginSteps{}
	w.must("POST", "/v1/acl/login/explain", `{"AuthMethod":"ecs","Identity":{"entity_name":"a.b"},"Namespace":"default"}`, &got)
	if got.Allowed || got.Reason != `invalid bind name: "a.b"` {
		t.Errorf("got %+v", got)
	}
	if rec := w.call("POST", "/v1/acl/login/explain", `{"AuthMethod":"ecs","Identity":{}}`, "X-Consul-Token: "+w.token("reader", `acl = "read"`)); rec.Code != http.StatusForbidden {
		t.Errorf("a reader: %d %s", rec.Code, rec.Body)
	}
}

func TestALeaseOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.withLogins()
	login := func(body string) (token acl.Token) {
		t.Helper()
		rec := w.call("POST", "/v1/acl/login", body)
		if rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &token); err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := login(`{"AuthMethod":"ecs","BearerToken":"web:open sesame","Meta":{"task":"1"}}`)
	second := login(`{"AuthMethod":"ecs","BearerToken":"web:open sesame","IdempotencyKey":"1"}`)
	if first.AccessorID != second.AccessorID || first.SecretID == second.SecretID {
		t.Errorf("%s and %s", first.AccessorID, second.AccessorID)
	}
	renew := func(token acl.Token) string {
		rec := w.call("POST", "/v1/acl/token/renew", "", "X-Consul-Token: "+token.SecretID.Reveal())
		return fmt.Sprint(rec.Code, " ", rec.Body)
	}
	if got := renew(first); got != "403 ACL not found" {
		t.Errorf("the first secret: %s", got)
	}
	if got := renew(second); got != "403 Permission denied: the token cannot be renewed beyond 1h0m0s from its login: log in again" {
		t.Errorf("a token at the end of its lifetime: %s", got)
	}
	w.must("PUT", "/v1/acl/auth-method/ecs", `{"MaxTokenTTL":"2h","Config":{"Password":"open sesame"}}`, nil)
	var renewed acl.Token
	if got := renew(second); json.Unmarshal([]byte(got[4:]), &renewed) != nil || renewed.ExpirationTime.Sub(second.CreateTime) < 2*time.Hour {
		t.Errorf("renewed as %s", got)
	}
}

func TestTokensInPages(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/namespace", `{"Name":"team"}`, nil)
	for i := range 25 {
		ns := []string{"default", "team"}[i%2]
		w.must("PUT", "/v1/acl/token", fmt.Sprintf(`{"Description":"%d","Namespace":"%s","ServiceIdentities":[{"ServiceName":"web"}]}`, i, ns), nil)
	}
	reader := "X-Consul-Token: " + w.token("reader", `acl = "read"`)
	for _, c := range []struct {
		name, query, as string
		want            int
	}{
		{"one namespace", "?ns=team", asManagement, 12},
		{"all namespaces", "?ns=*", asManagement, 25 + 3}, // the anonymous, the management and the reader's token
		{"a filter", "?servicename=web", asManagement, 13},
		{"a filter in all namespaces", "?servicename=web&ns=*", asManagement, 25},
		{"those that may be read", "?ns=*", reader, 13 + 3},
	} {
		for _, limit := range []int{1, 5, 100} {
			t.Run(fmt.Sprint(c.name, " by ", limit), func(t *testing.T) {
				var all []string
				after := ""
				for {
					rec := w.call("GET", fmt.Sprint("/v1/acl/tokens", c.query, "&limit=", limit, "&after=", url.QueryEscape(after)), "", c.as)
					var page []acl.Token
					if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || len(page) > limit || len(page) == 0 {
						t.Fatalf("%d tokens: %d %s", len(page), rec.Code, rec.Body)
					}
					for _, tok := range page {
						all = append(all, tok.AccessorID)
						if c.as == reader && (tok.SecretID != "<hidden>" || tok.Namespace != "default") {
							t.Fatalf("a reader sees %+v", tok)
						}
					}
					if after = rec.Header().Get("X-Lictor-Next-Page"); after == "" {
						break
					}
					if rec.Header().Get("X-Consul-Index") == "" {
						t.Error("no index")
					}
				}
				slices.Sort(all)
				if n := len(slices.Compact(all)); n != c.want || len(all) != c.want {
					t.Errorf("%d tokens, %d of them different, want %d", len(all), n, c.want)
				}
			})
		}
	}
	for _, query := range []string{"limit=0", "limit=-1", "limit=x", "limit=10001", "limit=99999999999999999999", "after=!", "limit=1&after=" + strings.Repeat("A", 2000)} {
		if rec := w.call("GET", "/v1/acl/tokens?"+query, "", asManagement); rec.Code != http.StatusBadRequest || !strings.HasPrefix(rec.Body.String(), "Invalid ") {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	if rec := w.call("GET", "/v1/acl/tokens", "", asManagement); rec.Header().Get("X-Lictor-Next-Page") != "" {
		t.Error("a whole list has a next page")
	}
	if rec := w.call("GET", "/v1/acl/tokens?limit=1", ""); rec.Code != http.StatusForbidden {
		t.Errorf("nobody: %d", rec.Code)
	}
}
