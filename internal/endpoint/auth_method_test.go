package endpoint

import (
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

func TestAuthMethodSet(t *testing.T) {
	w := newWorld(t)
	old := must(w.methods.Set(ctx, w.root, "", authmethod.Method{
		Name: "M1", Type: "aws-iam", MaxTokenTTL: time.Hour, Config: map[string]any{"Trusted": []any{"x"}}, Scope: tenancy.Default,
	}))(t)
	const badName = "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"
	for _, c := range []struct {
		name, url string
		m         authmethod.Method
		want      string
	}{
		{"no name", "", authmethod.Method{Type: "aws-iam"}, "Invalid Auth Method: no Name is set"},
		{"a bad name", "", authmethod.Method{Name: "a b", Type: "aws-iam"}, badName},
		{"a name that is too long", "", authmethod.Method{Name: strings.Repeat("a", 129), Type: "aws-iam"}, badName},
		{"no type", "", authmethod.Method{Name: "a"}, "Invalid Auth Method: Type should be one of: [aws-iam]"},
		{"a bad locality", "", authmethod.Method{Name: "a", Type: "aws-iam", TokenLocality: "x"},
			"Invalid Auth Method: TokenLocality should be one of 'local' or 'global'"},
		{"a life that is too short", "", authmethod.Method{Name: "a", Type: "aws-iam", MaxTokenTTL: 30 * time.Second},
			"MaxTokenTTL 30s cannot be less than 1m0s"},
		{"another type", "", authmethod.Method{Name: "m1", Type: "jwt"}, "the Type field of an Auth Method is immutable"},
		{"another name in the URL", "a", authmethod.Method{Name: "b", Type: "aws-iam"}, "AuthMethod Name in URL and payload do not match"},
		{"an unknown key in Config", "", authmethod.Method{Name: "a", Type: "aws-iam", Config: map[string]any{"Bogus": 1}},
			"Invalid Auth Method: error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: Bogus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.Scope = tenancy.Default
			_, err := w.methods.Set(ctx, w.root, c.url, c.m)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	got := must(w.methods.Set(ctx, w.root, "m1", authmethod.Method{Description: "d", Scope: tenancy.Default}))(t)
	if got.Name != "m1" || got.Type != "aws-iam" || got.Description != "d" || got.MaxTokenTTL != 0 || got.CreateIndex != old.CreateIndex {
		t.Errorf("after the replacement: %+v", got)
	}
}

func TestAuthMethodReadListDelete(t *testing.T) {
	w := newWorld(t)
	login := w.login(t)
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "a", Type: "aws-iam", Scope: tenancy.Default}))(t)
	read := func(name string) (*authmethod.Method, error) {
		got, _, err := w.methods.Read(ctx, w.root, AuthMethodRead{Scope: tenancy.Default, Name: name})
		return got, err
	}
	if must(read("M"))(t).Name != "m" {
		t.Error("another auth method was read")
	}
	_, err := read("x")
	wantError(t, err, errs.NotFound, "Requested auth method does not exist: ACL not found")
	list, _, err := w.methods.List(ctx, w.root, AuthMethodList{Scope: tenancy.Default})
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].MaxTokenTTL != "1h0m0s" {
		t.Fatalf("list %+v, %v", list, err)
	}
	if text := asJSON(t, list); strings.Contains(text, "Config") {
		t.Errorf("list shows Config: %s", text)
	}
	wantError(t, w.methods.Delete(ctx, w.root, tenancy.Default, "x"), errs.NotFound, "Cannot find auth method to delete")
	wantError(t, w.methods.Delete(ctx, w.root, tenancy.Default, "M"), errs.Internal, "")
	_, err = w.Resolver.Resolve(ctx, login.SecretID)
	wantError(t, err, errs.Denied, "ACL not found")
	rules, _, err := w.rules.List(ctx, w.root, BindingRuleList{Scope: tenancy.Default})
	if err != nil || len(rules) != 0 {
		t.Errorf("rules of a deleted method: %+v, %v", rules, err)
	}
}

func TestVerifiersStayOpenUntilTheMethodChanges(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	opened := w.kind.opened
	for range 3 {
		must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web"}))(t)
	}
	if w.kind.opened != opened {
		t.Errorf("opened %d times more", w.kind.opened-opened)
	}
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}))(t)
	opened = w.kind.opened
	must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web"}))(t)
	if w.kind.opened != opened+1 {
		t.Error("a changed method was not opened anew")
	}
	v := w.logins.Verifiers
	for i := range 2 * cachedVerifiers {
		m := &authmethod.Method{Name: string(rune('a'+i%26)) + uuid.New(), Type: "aws-iam", ModifyIndex: 1, Scope: tenancy.Default}
		must(v.Of(m))(t)
	}
	if len(v.open) > cachedVerifiers {
		t.Errorf("%d verifiers open", len(v.open))
	}
}
