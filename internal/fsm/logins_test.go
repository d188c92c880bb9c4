package fsm

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// ecsIndex is the CreateIndex of the auth method ecs on a machine that was set up.
const ecsIndex = 19

func login(accessor, secret string, change func(*Login)) Login {
	t := loginToken()
	t.AccessorID, t.SecretID = accessor, logging.Secret(secret)
	c := Login{Token: t, Method: team, MethodIndex: ecsIndex}
	if change != nil {
		change(&c)
	}
	return c
}

func TestALeaseKeepsItsAccessorAndChangesItsSecret(t *testing.T) {
	m := setUp(t)
	leased := func(c *Login) { c.Lease = true }
	for _, secret := range []string{"s1", "s2", "s3"} {
		if err := m.apply(t, login("a-task", secret, leased))[0]; err != nil {
			t.Fatal(err)
		}
	}
	tx := m.store.Read()
	for secret, works := range map[logging.Secret]bool{"s1": false, "s2": false, "s3": true} {
		if got, _ := tx.TokenBySecret(nil, secret); (got != nil) != works {
			t.Errorf("the token with %s is %v", secret.Reveal(), got)
		}
	}
	moved := login("a-task", "s4", leased)
	moved.Token.Scope = tenancy.Scope{Partition: "east", Namespace: "default"}
	moved.Token.Roles = nil
	if err := m.apply(t, moved)[0]; err != nil {
		t.Fatal(err)
	}
	tx = m.store.Read()
	there, _ := tx.TokenByAccessor(nil, "a-task")
	gone, _ := tx.TokenBySecret(nil, "s3")
	if there == nil || there.Namespace != "default" || gone != nil {
		t.Errorf("after a move to another namespace: %v, and %v", there, gone)
	}
}

func TestALeaseTakesNoTokenThatIsNotItsOwn(t *testing.T) {
	for _, c := range []struct {
		name    string
		command Login
		kind    errs.Kind
		text    string
	}{
		{"a token without a method", login("a0", "s-new", func(c *Login) { c.Lease = true }), errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"no lease", login("a-old", "s-new", nil), errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"a token of another method", login("a-old", "s-new", func(c *Login) { c.Lease, c.Token.AuthMethod, c.MethodIndex = true, "old", 20 }),
			errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"a token of a method of another namespace", login("a-old", "s-new", func(c *Login) { c.Lease, c.Token.AuthMethodNamespace = true, "default" }),
			errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"a secret in use", login("a-old", "s0", func(c *Login) { c.Lease = true }), errs.Invalid, "Invalid Token: SecretID is already in use"},
		{"a secret that is an accessor", login("a-old", "a0", func(c *Login) { c.Lease = true }), errs.Invalid, "Invalid Token: SecretID is already in use"},
		{"a namespace that does not exist", login("a-old", "s-new", func(c *Login) { c.Lease, c.Token.Namespace = true, "nowhere" }), errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a role that does not exist", login("a-old", "s-new", func(c *Login) { c.Lease, c.Token.Roles = true, []acl.Link{{ID: "none"}} }), errs.Invalid, `No such ACL role with ID "none"`},
		{"a method that is gone", login("a-old", "s-new", func(c *Login) { c.Lease, c.Token.AuthMethod = true, "gone" }), errs.Denied, `ACL not found: auth method "gone" not found`},
		{"a method that was made anew", login("a-old", "s-new", func(c *Login) { c.Lease, c.MethodIndex = true, 3 }), errs.Denied, `ACL not found: auth method "ecs" not found`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := setUp(t)
			before := m.dump(t)
			err := m.apply(t, c.command)[0]
			if err == nil || errs.KindOf(err) != c.kind || err.Error() != c.text {
				t.Errorf("got %v: %v", errs.KindOf(err), err)
			}
			if m.dump(t) != before {
				t.Error("something changed")
			}
		})
	}
}

// A proof that any login has used is refused where it has to be used once, also
// by a server that began from a snapshot, until it is worthless anyway.
func TestAttack_AProofIsUsedOnce(t *testing.T) {
	m := setUp(t)
	with := func(proof string, once bool) func(*Login) {
		return func(c *Login) { c.Proof, c.ProofEnds, c.SingleUse = proof, expiry, once }
	}
	if err := m.apply(t, login("a1", "s1", with("p1", false)))[0]; err != nil {
		t.Fatal(err)
	}
	if err := m.apply(t, login("a2", "s2", with("p1", false)))[0]; err != nil {
		t.Errorf("again, where that is allowed: %v", err)
	}
	restored := newMachine()
	if err := restored.Restore(io.NopCloser(m.snapshot(t))); err != nil {
		t.Fatal(err)
	}
	restored.index = m.index
	for name, m := range map[string]*machine{"the same server": m, "one from a snapshot": restored} {
		before := m.dump(t)
		if err := m.apply(t, login("a3", "s3", with("p1", true)))[0]; !errors.Is(err, ErrProofUsed) || errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v", name, err)
		}
		if m.dump(t) != before {
			t.Errorf("%s: a refused login changes something", name)
		}
		if err := m.apply(t, login("a3", "s3", with("p2", true)))[0]; err != nil {
			t.Errorf("%s: another proof: %v", name, err)
		}
		results := m.apply(t, login("a4", "s4", with("p4", true)), login("a5", "s5", with("p4", true)))
		if results[0] != nil || !errors.Is(results[1], ErrProofUsed) {
			t.Errorf("%s: twice in one log entry: %v", name, results)
		}
	}
	m.apply(t, LoginProofsReap{Proofs: []string{"p1", "p2", "nosuch"}, Now: expiry.Add(-time.Nanosecond)})
	if p, _ := m.store.Read().LoginProof(nil, "p1"); p == nil || p.AccessorID != "a1" {
		t.Errorf("a proof that is still worth something: %+v", p)
	}
	m.apply(t, LoginProofsReap{Proofs: []string{"p1"}, Now: expiry})
	if p, _ := m.store.Read().LoginProof(nil, "p1"); p != nil {
		t.Errorf("a worthless proof: %+v", p)
	}
}

func TestProofsAreFoundByTheirEnd(t *testing.T) {
	m := setUp(t)
	for i, proof := range []string{"late", "soon", "soon too", "never"} {
		end := []time.Time{expiry.Add(2), expiry, expiry, expiry.Add(time.Hour)}[i]
		c := login("a"+proof, "s"+proof, func(c *Login) { c.Proof, c.ProofEnds = proof, end })
		if err := m.apply(t, c)[0]; err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		before time.Time
		limit  int
		want   int
	}{{expiry.Add(-1), 9, 0}, {expiry, 9, 3}, {expiry.Add(2), 9, 4}, {expiry.Add(2), 2, 2}} { // setUp left one
		got, err := m.store.Read().LoginProofsEnding(c.before, c.limit)
		if err != nil || len(got) != c.want {
			t.Errorf("before %s: %d, %v", c.before, len(got), err)
		}
	}
}

func TestARenewalNeedsTheTokenThatItWasMeantFor(t *testing.T) {
	m := setUp(t)
	old, _ := m.store.Read().TokenByAccessor(nil, "a-lease")
	renew := TokenRenew{Scope: team, AccessorID: "a-lease", IfIndex: old.ModifyIndex, ExpirationTime: expiry.Add(time.Hour), Now: sampleTime}
	for _, c := range []struct {
		name   string
		change func(*TokenRenew)
		want   error
	}{
		{"one that is gone", func(c *TokenRenew) { c.AccessorID = "a-none" }, acl.ErrNotFound},
		{"one of another namespace", func(c *TokenRenew) { c.Scope.Namespace = "default" }, acl.ErrNotFound},
		{"one whose life is over", func(c *TokenRenew) { c.Now = expiry }, acl.ErrNotFound},
		{"one that has changed", func(c *TokenRenew) { c.IfIndex-- }, ErrChanged},
		{"the right one", func(*TokenRenew) {}, nil},
		{"the same again", func(*TokenRenew) {}, ErrChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := renew
			c.change(&cmd)
			if err := m.apply(t, cmd)[0]; !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	renewed, _ := m.store.Read().TokenByAccessor(nil, "a-lease")
	if !renewed.ExpirationTime.Equal(expiry.Add(time.Hour)) || !old.ExpirationTime.Equal(expiry) {
		t.Errorf("renewed until %s, the old row until %s", renewed.ExpirationTime, old.ExpirationTime)
	}
	expiring, _ := m.store.Read().TokensExpiring(expiry, 10)
	for _, tok := range expiring {
		if tok.AccessorID == "a-lease" {
			t.Error("the old end is still in the index")
		}
	}
}
