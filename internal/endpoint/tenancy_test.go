package endpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestPartitions(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, url, partition, want string }{
		{"another name in the URL", "a", "b", "Partition name in URL and payload do not match"},
		{"a name that does not begin with a letter", "", "1a", `Invalid Partition: invalid Name "1a". Only alphanumeric characters and inner '-' are allowed, at most 63, beginning with a letter`},
		{"no name", "", "", `Invalid Partition: invalid Name "". Only alphanumeric characters and inner '-' are allowed, at most 63, beginning with a letter`},
	} {
		_, err := w.parts.Set(ctx, w.root, c.url, tenancy.Partition{Name: c.partition})
		wantError(t, err, errs.Invalid, c.want)
	}
	p := must(w.parts.Set(ctx, w.root, "P1", tenancy.Partition{Description: "d"}))(t)
	if p.Name != "p1" || p.Description != "d" || p.CreateIndex == 0 {
		t.Errorf("created %+v", p)
	}
	policy, _, err := w.policies.Read(ctx, w.root, PolicyRead{Scope: tenancy.Scope{Partition: "p1", Namespace: "default"}, Name: "namespace-management"})
	must(policy, err)(t)
	again := must(w.parts.Set(ctx, w.root, "", tenancy.Partition{Name: "p1", Description: "e"}))(t)
	if again.CreateIndex != p.CreateIndex || again.Description != "e" {
		t.Errorf("replaced %+v", again)
	}
	insider := w.caller(tenancy.Scope{Partition: "p1", Namespace: "default"}, "")
	reader := w.caller(tenancy.Default, `operator = "read"`)
	for _, c := range []struct {
		name                     string
		who                      acl.Caller
		list, own, others, write bool
	}{
		{"no token", w.resolve(""), false, false, false, false},
		{"a token of the partition", insider, false, true, false, false},
		{"operator:read", reader, true, true, true, false},
		{"operator:write", w.root, true, true, true, true},
	} {
		_, _, listErr := w.parts.List(ctx, c.who, Read{})
		_, _, ownErr := w.parts.Read(ctx, c.who, "P1", Read{})
		_, _, otherErr := w.parts.Read(ctx, c.who, "default", Read{})
		_, writeErr := w.parts.Set(ctx, c.who, "", tenancy.Partition{Name: "p2"})
		if denied(listErr) == c.list || denied(ownErr) == c.own || denied(otherErr) == c.others || denied(writeErr) == c.write {
			t.Errorf("%s: list %v, own %v, other %v, write %v", c.name, listErr, ownErr, otherErr, writeErr)
		}
	}
	_, _, err = w.parts.Read(ctx, w.root, "x", Read{})
	wantError(t, err, errs.NotFound, "Partition not found")
}

// Whatever happens in between, there is no namespace without its policy.
func TestANamespaceAndItsPolicyAreOneCommand(t *testing.T) {
	w := newWorld(t)
	commands := 0
	w.raft.before = func(fsm.Command) { commands++ }
	s := w.in("p", "team")
	if commands != 2 {
		t.Errorf("%d commands for a partition and a namespace", commands)
	}
	for _, at := range []tenancy.Scope{s, s.PartitionRoot()} {
		policy, _, err := w.policies.Read(ctx, w.root, PolicyRead{Scope: at, Name: "namespace-management"})
		p := must(policy, err)(t)
		if err := w.policies.Delete(ctx, w.root, at, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	must(w.parts.Set(ctx, w.root, "", tenancy.Partition{Name: "p", Description: "d"}))(t)
	must(w.spaces.Set(ctx, w.root, "", tenancy.Namespace{Name: "team", Partition: "p", Description: "d"}))(t)
	if list, _, err := w.policies.List(ctx, w.root, PolicyList{Scope: tenancy.Scope{Partition: "p", Namespace: "*"}}); err != nil || len(list) > 0 {
		t.Errorf("policies that were deleted are back: %v, %v", list, err)
	}
}

func TestNamespaces(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, url string
		n         tenancy.Namespace
		want      string
	}{
		{"a reserved name", "", tenancy.Namespace{Name: "consul"}, `Namespace "consul" is reserved for future internal use`},
		{"another name in the URL", "a", tenancy.Namespace{Name: "b"}, "Namespace name in URL and payload do not match"},
		{"a bad name", "", tenancy.Namespace{Name: "a_b"}, `Invalid Namespace: invalid Name "a_b". Only alphanumeric characters and inner '-' are allowed, at most 63`},
		{"an unknown partition", "", tenancy.Namespace{Name: "a", Partition: "x"}, `Partition "x" does not exist`},
		{"an unknown policy", "", tenancy.Namespace{Name: "a", ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: someID}}}},
			`Invalid Namespace: no policy with ID "` + someID + `"`},
		{"too much meta", "", tenancy.Namespace{Name: "a", Meta: manyPairs(65)}, "Invalid Namespace: Meta has more than 64 pairs or 8192 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.n.Partition == "" {
				c.n.Partition = "default"
			}
			_, err := w.spaces.Set(ctx, w.root, c.url, c.n)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	team := w.in("default", "team")
	w.in("default", "other")
	insider := w.caller(team, `key "a" { policy = "read" }`)
	manager := w.caller(tenancy.Default, `namespace "team" { policy = "write" }`)
	for _, c := range []struct {
		name        string
		who         acl.Caller
		read, write bool
		list        string
	}{
		{"no token", w.resolve(""), false, false, ""},
		{"a token with some access inside", insider, true, false, "team"},
		{"a rule about the namespace", manager, true, true, "team"},
		{"operator:read", w.caller(tenancy.Default, `operator = "read"`), true, false, "default other team"},
		{"operator:write", w.root, true, true, "default other team"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, readErr := w.spaces.Read(ctx, c.who, "default", "TEAM", Read{})
			_, writeErr := w.spaces.Set(ctx, c.who, "", tenancy.Namespace{Name: "team", Partition: "default", Description: c.name})
			if denied(readErr) == c.read || denied(writeErr) == c.write {
				t.Errorf("read %v, write %v", readErr, writeErr)
			}
			list, meta, err := w.spaces.List(ctx, c.who, "default", Read{})
			var names []string
			for _, n := range must(list, err)(t) {
				names = append(names, n.Name)
			}
			if got := strings.Join(names, " "); got != c.list || meta.FilteredByACLs != (len(names) < 3 && !c.who.Anonymous()) {
				t.Errorf("list %q, filtered %v", got, meta.FilteredByACLs)
			}
		})
	}
	_, err := w.spaces.Set(ctx, manager, "", tenancy.Namespace{Name: "team", Partition: "default",
		ACLs: &tenancy.NamespaceACLs{RoleDefaults: []tenancy.Link{{Name: "x"}}}})
	if !denied(err) {
		t.Errorf("linking without acl:write: %v", err)
	}
	_, _, err = w.spaces.Read(ctx, w.root, "default", "x", Read{})
	wantError(t, err, errs.NotFound, "Namespace not found")
	policy, _, err := w.policies.Read(ctx, w.root, PolicyRead{Scope: team, Name: "namespace-management"})
	p := must(policy, err)(t)
	who := w.resolve(w.token(team, acl.Token{Policies: []acl.Link{{ID: p.ID}}}).SecretID)
	if !who.Allowed(team, acl.ACLWrite, "") || who.Allowed(tenancy.Default, acl.ACLWrite, "") {
		t.Error("namespace-management does not manage its namespace alone")
	}
}

func TestBootstrap(t *testing.T) {
	w := emptyWorld(t)
	var reset uint64
	removed := 0
	b := &Bootstraps{Backend: w.Backend,
		ResetIndex: func() (uint64, error) { return reset, nil },
		ResetDone:  func() error { removed++; return nil },
	}
	_, err := b.Bootstrap(ctx, "x")
	wantError(t, err, errs.Invalid, "uuid string is wrong length")
	_, err = b.Bootstrap(ctx, logging.Secret(strings.Repeat("x", 36)))
	wantError(t, err, errs.Invalid, "Invalid Token: SecretID - not a valid UUID")
	token := must(b.Bootstrap(ctx, someID))(t)
	if token.SecretID != someID || token.Description != acl.BootstrapDescription || token.Local ||
		len(token.Policies) != 1 || token.Policies[0] != (acl.Link{ID: acl.GlobalManagementID, Name: "global-management"}) {
		t.Errorf("token %s", asJSON(t, token))
	}
	index, _ := w.state.Read().Bootstrap()
	_, err = b.Bootstrap(ctx, "")
	wantError(t, err, errs.Denied, fmt.Sprintf("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", index))
	reset = 99
	_, err = b.Bootstrap(ctx, "")
	wantError(t, err, errs.Invalid, fmt.Sprintf("Invalid bootstrap reset index (specified 99, reset index: %d)", index))
	if removed != 0 {
		t.Error("the file was removed without a bootstrap")
	}
	reset = index
	again := must(b.Bootstrap(ctx, ""))(t)
	if removed != 1 || again.SecretID == token.SecretID {
		t.Errorf("removed %d times, token %s", removed, asJSON(t, again))
	}
	_, err = b.Bootstrap(ctx, "")
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("an old reset index works again: %v", err)
	}
	broken := errors.New("unreadable")
	b.ResetIndex = func() (uint64, error) { return 0, broken }
	if _, err = b.Bootstrap(ctx, ""); !errors.Is(err, broken) {
		t.Errorf("unreadable file: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	w := newWorld(t)
	e := &Templates{w.Backend}
	all := must(e.List(ctx, w.root, tenancy.Default))(t)
	if len(all) != 7 || all["builtin/service"].Schema == "" || all["builtin/dns"].Schema != "" {
		t.Errorf("templates %v", all)
	}
	if got := must(e.Read(ctx, w.root, tenancy.Default, "builtin/dns"))(t); got.TemplateName != "builtin/dns" || got.Template == "" {
		t.Errorf("template %+v", got)
	}
	_, err := e.Read(ctx, w.root, tenancy.Default, "x")
	wantError(t, err, errs.Invalid, "Invalid templated policy Name: x")
	p := must(e.Preview(ctx, w.root, tenancy.Default, "builtin/service", &acl.TemplateVariables{Name: "web"}))(t)
	if p.Name != "synthetic-policy-"+p.ID || !strings.Contains(p.Rules, `service "web"`) ||
		p.Description != "synthetic policy generated from templated policy: builtin/service" {
		t.Errorf("preview %+v", p)
	}
	_, err = e.Preview(ctx, w.root, tenancy.Default, "x", nil)
	wantError(t, err, errs.Invalid, `templated policy "x" does not exist`)
	_, err = e.Preview(ctx, w.root, tenancy.Default, "builtin/service", nil)
	wantError(t, err, errs.Invalid, `validation error for templated policy: "builtin/service": service identity "" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`)
}

func TestAuthorize(t *testing.T) {
	w := newWorld(t)
	e := &Authorizes{w.Backend}
	who := w.caller(tenancy.Default, `key_prefix "a/" { policy = "list" } service "web" { policy = "write" }`)
	ask := []AuthorizeRequest{
		{"key", "read", "a/b"}, {"key", "list", "a/"}, {"key", "write", "a/b"}, {"service", "write", "web"},
		{"service", "write-prefix", "web"}, {"acl", "read", ""}, {"intention", "read", "web"},
	}
	want := []bool{true, true, false, true, false, false, true}
	got := must(e.Authorize(ctx, who, tenancy.Default, ask))(t)
	for i, r := range got {
		if r.AuthorizeRequest != ask[i] || r.Allow != want[i] {
			t.Errorf("%+v, want %v", r, want[i])
		}
	}
	for _, bad := range []AuthorizeRequest{{"bogus", "read", ""}, {"key", "bogus", ""}, {"key", "deny", ""}} {
		if _, err := e.Authorize(ctx, who, tenancy.Default, []AuthorizeRequest{bad}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	_, err := e.Authorize(ctx, who, tenancy.Default, make([]AuthorizeRequest, 1025))
	wantError(t, err, errs.Invalid, "more than 1024 permissions asked for")
}
