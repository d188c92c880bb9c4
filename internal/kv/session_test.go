package kv

import (
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

var team = tenancy.Scope{Partition: "default", Namespace: "team"}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Session
		want string
	}{
		{"the least", Session{Behavior: Release}, ""},
		{"everything", Session{Behavior: DeleteKeys, TTL: "24h", LockDelay: time.Hour}, ""},
		{"a TTL of nothing", Session{Behavior: Release, TTL: "0s"}, ""},
		{"the shortest TTL", Session{Behavior: Release, TTL: "10s"}, ""},
		{"no behavior", Session{}, "Invalid Behavior setting ''"},
		{"a TTL that is too short", Session{Behavior: Release, TTL: "9s"}, "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"},
		{"what is no TTL", Session{Behavior: Release, TTL: "x"}, `Session TTL 'x' invalid: time: invalid duration "x"`},
	} {
		err := c.s.Validate(MinTTL)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Invalid) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDependsOn(t *testing.T) {
	s := Session{
		NodeChecks: []string{"node"}, ServiceChecks: []ServiceCheck{{ID: "own"}, {ID: "other", Namespace: "default"}}, Scope: team,
	}
	for _, c := range []struct {
		name string
		at   tenancy.Scope
		id   string
		want bool
	}{
		{"a check of the node", tenancy.Default, "node", true},
		{"a check with its name in a namespace", team, "node", false},
		{"a service's check in the session's namespace", team, "own", true},
		{"a service's check with its name elsewhere", tenancy.Default, "own", false},
		{"a service's check in the namespace that is named", tenancy.Default, "other", true},
		{"a check with its name in the session's namespace", team, "other", false},
		{"another check", tenancy.Default, "x", false},
	} {
		if got := s.DependsOn(c.at, c.id); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestRenewalsThatAreDue(t *testing.T) {
	var r Renewals
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	all := []*Session{{ID: "a", TTL: "10s"}, {ID: "b", TTL: "20s"}, {ID: "c"}}
	r.Note("a", at(100))
	r.Note("gone", at(100))
	check := func(now int, want string, next int) {
		t.Helper()
		over, end := r.Due(all, at(now))
		got := ""
		for _, s := range over {
			got += s.ID
		}
		if got != want || (next > 0) != !end.IsZero() || next > 0 && !end.Equal(at(next)) {
			t.Errorf("at %d: %q are over, the next ends at %v", now, got, end)
		}
	}
	check(110, "", 115)
	check(115, "a", 140) // b is known since 110
	r.Note("a", at(116))
	r.Note("a", at(90)) // late news
	check(120, "", 131)
	check(141, "ab", 0)
	r.Begin()
	check(200, "", 215)
	if len(r.last) != 2 {
		t.Errorf("%d sessions are remembered", len(r.last))
	}
}

func TestVerbs(t *testing.T) {
	for _, v := range []Verb{Set, CAS, Lock, Unlock, Delete, DeleteCAS, DeleteTree} {
		if !v.Known() || v.Reads() {
			t.Errorf("%s: known %v, reads %v", v, v.Known(), v.Reads())
		}
	}
	for _, v := range []Verb{Get, GetOrEmpty, GetTree, CheckIndex, CheckSession, CheckNotExists} {
		if !v.Known() || !v.Reads() {
			t.Errorf("%s: known %v, reads %v", v, v.Known(), v.Reads())
		}
	}
	if Verb("bogus").Known() {
		t.Error("a verb that is none is known")
	}
}
