package endpoint

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func (w *world) connections() *ConnectAuthorizes {
	return &ConnectAuthorizes{Intentions: &Intentions{Backend: w.Backend}}
}

func fromWeb(target string) ConnectAuthorize {
	return ConnectAuthorize{Target: target, ClientCertURI: serviceURI(tenancy.Default, "web").String(), ClientCertSerial: "09", Scope: tenancy.Default}
}

func TestWithoutIntentionsTheDefaultPolicyDecides(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	who := w.caller(tenancy.Default, `service "db" { policy = "write" }`)
	for _, allow := range []bool{false, true} {
		w.Resolver.DefaultPolicyAllow = allow
		d := must(w.connections().Authorize(ctx, who, fromWeb("db")))(t)
		if d.Authorized != allow || d.Reason != "Default behavior configured by ACLs" {
			t.Errorf("where the default is %v: %+v", allow, d)
		}
	}
	w.Resolver.Enabled, w.Resolver.DefaultPolicyAllow = false, false
	if d := must(w.connections().Authorize(ctx, acl.Caller{Authorizer: acl.AllowAll()}, fromWeb("db")))(t); !d.Authorized {
		t.Errorf("without ACLs: %+v", d)
	}
}

func TestIntentionsDecideAboutConnections(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	e := w.connections()
	db := configentry.Service{Name: "db", Scope: tenancy.Default}
	source := func(name string) configentry.Source {
		return configentry.Source{Name: name, Namespace: "default", Partition: "default", Action: configentry.Allow, Type: "consul"}
	}
	if err := e.Intentions.Put(ctx, w.root, db, source("web")); err != nil {
		t.Fatal(err)
	}
	d := must(e.Authorize(ctx, w.root, fromWeb("db")))(t)
	if !d.Authorized || d.Reason != "Matched L4 intention: default/web => default/db (Precedence: 9, Action: ALLOW)" {
		t.Errorf("got %+v", d)
	}
	denied := source("web")
	denied.Action = configentry.Deny
	if err := e.Intentions.Put(ctx, w.root, db, denied); err != nil {
		t.Fatal(err)
	}
	d = must(e.Authorize(ctx, w.root, fromWeb("db")))(t)
	if d.Authorized || d.Reason != "Matched L4 intention: default/web => default/db (Precedence: 9, Action: DENY)" {
		t.Errorf("got %+v", d)
	}
	if d := must(e.Authorize(ctx, w.root, fromWeb("cache")))(t); d.Reason != "Default behavior configured by ACLs" {
		t.Errorf("another service: %+v", d)
	}
}

func TestCVE_2021_32574_AForeignTrustDomainMayNotConnect(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	w.Resolver.DefaultPolicyAllow = true
	c := fromWeb("db")
	c.ClientCertURI = strings.Replace(c.ClientCertURI, meshCluster, "ffffffff-0000-4000-8000-000000000001", 1)
	d := must(w.connections().Authorize(ctx, w.root, c))(t)
	if d.Authorized || !strings.Contains(d.Reason, "trust domain ffffffff-") {
		t.Errorf("got %+v", d)
	}
}

func TestWhoMayNotAskAboutAConnection(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	who := w.caller(tenancy.Default, `service "db" { policy = "write" }`)
	team := w.in("default", "team")
	with := func(change func(*ConnectAuthorize)) ConnectAuthorize {
		c := fromWeb("db")
		change(&c)
		return c
	}
	for _, tc := range []struct {
		name string
		c    ConnectAuthorize
		kind errs.Kind
		says string
	}{
		{"no target", fromWeb(""), errs.Invalid, "Target service must be specified"},
		{"another's target", fromWeb("db2"), errs.Denied, `'service:write' on "db2"`},
		{"a target elsewhere", with(func(c *ConnectAuthorize) { c.Scope = team }), errs.Denied, `in namespace "team"`},
		{"no certificate", with(func(c *ConnectAuthorize) { c.ClientCertURI = "" }), errs.Invalid, "ClientCertURI not a valid Connect identifier"},
		{"no URI", with(func(c *ConnectAuthorize) { c.ClientCertURI = "%zz" }), errs.Invalid, "ClientCertURI not a valid Connect identifier"},
		{"an agent", with(func(c *ConnectAuthorize) { c.ClientCertURI = "spiffe://u.consul/agent/client/dc/dc1/id/n1" }), errs.Invalid, "ClientCertURI not a valid Connect identifier"},
		{"the wildcard as source", with(func(c *ConnectAuthorize) { c.ClientCertURI = "spiffe://u.consul/ns/default/dc/dc1/svc/*" }), errs.Invalid, "ClientCertURI not a valid Connect identifier"},
	} {
		_, err := w.connections().Authorize(ctx, who, tc.c)
		if err == nil || errs.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestConnectionsWithoutAMesh(t *testing.T) {
	w := newWorld(t)
	e := w.connections()
	_, err := e.Authorize(ctx, w.root, fromWeb("db"))
	wantError(t, err, errs.Unavailable, "the mesh CA has no root yet")
	e.Off = true
	_, err = e.Authorize(ctx, w.root, fromWeb("db"))
	wantError(t, err, errs.Invalid, "Connect must be enabled in order to use this endpoint")
}
