package endpoint

import (
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestADeletedNamespaceIsGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	policy := w.policy(team, "p", `acl = "write"`)
	token := w.token(team, acl.Token{Policies: []acl.Link{{ID: policy.ID}}})
	insider := w.resolve(token.SecretID)
	if err := w.spaces.Delete(ctx, w.root, "default", "Team"); err != nil {
		t.Fatal(err)
	}
	_, err := w.Resolver.Resolve(ctx, token.SecretID)
	wantError(t, err, errs.Denied, acl.ErrNotFound.Error())
	if answer, err := w.Resolver.Describe(ctx, ResolveRequest{Secret: token.SecretID}); err == nil {
		t.Errorf("an agent is told of %+v", answer)
	}
	_, err = w.tokens.Create(ctx, insider, TokenWrite{Token: acl.Token{Scope: team}})
	wantError(t, err, errs.Invalid, `Namespace "team" does not exist`)
	_, err = w.spaces.Set(ctx, w.root, "", tenancy.Namespace{Partition: "default", Name: "team", DeletedAt: nil})
	wantError(t, err, errs.Invalid, `Namespace "team" is marked for deletion`)
	n, _, err := w.spaces.Read(ctx, w.root, "default", "team", Read{})
	if must(n, err)(t); n.DeletedAt == nil || !n.DeletedAt.Equal(w.clock) {
		t.Errorf("read %+v", n)
	}
	wantError(t, w.spaces.Delete(ctx, w.root, "default", "team"), 0, "")
}

func TestADeletedPartitionIsGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.in("east", "team")
	token := w.token(s, acl.Token{})
	rooted := w.token(s.PartitionRoot(), acl.Token{})
	if err := w.parts.Delete(ctx, w.root, "EAST"); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []*acl.Token{token, rooted} {
		_, err := w.Resolver.Resolve(ctx, secret.SecretID)
		wantError(t, err, errs.Denied, acl.ErrNotFound.Error())
	}
	p, _, err := w.parts.Read(ctx, w.root, "east", Read{})
	if must(p, err)(t); p.DeletedAt == nil {
		t.Errorf("read %+v", p)
	}
	_, err = w.parts.Set(ctx, w.root, "", tenancy.Partition{Name: "east"})
	wantError(t, err, errs.Invalid, `Partition "east" is marked for deletion`)
}

func TestWhoMayDelete(t *testing.T) {
	w := newWorld(t)
	w.in("default", "team")
	w.in("east", "team")
	manager := w.caller(tenancy.Default, `namespace "team" { policy = "write" }`)
	reader := w.caller(tenancy.Default, `operator = "read" namespace "team" { policy = "read" acl = "write" }`)
	for _, c := range []struct {
		name                 string
		who                  acl.Caller
		namespace, partition bool
	}{
		{"no token", w.resolve(""), false, false},
		{"operator:read and access inside", reader, false, false},
		{"a rule that manages the namespace", manager, true, false},
		{"operator:write", w.root, true, true},
	} {
		err := w.spaces.Delete(ctx, c.who, "default", "team")
		if denied(err) == c.namespace {
			t.Errorf("%s: namespace: %v", c.name, err)
		}
		err = w.parts.Delete(ctx, c.who, "east")
		if denied(err) == c.partition {
			t.Errorf("%s: partition: %v", c.name, err)
		}
	}
	wantError(t, w.spaces.Delete(ctx, w.root, "default", "default"), errs.Invalid, `Cannot delete the "default" namespace`)
	wantError(t, w.parts.Delete(ctx, w.root, "default"), errs.Invalid, `Cannot delete the "default" partition`)
	wantError(t, w.spaces.Delete(ctx, w.root, "default", "x"), errs.NotFound, "Namespace not found")
	wantError(t, w.parts.Delete(ctx, w.root, "x"), errs.NotFound, "Partition not found")
}
