package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

var (
	home     = tenancy.Default
	otherNS  = tenancy.Scope{Partition: "default", Namespace: "team"}
	otherAP  = tenancy.Scope{Partition: "east", Namespace: "default"}
	scopes   = []tenancy.Scope{home, otherNS, otherAP}
	wildcard = tenancy.Scope{Partition: "default", Namespace: tenancy.Wildcard}
)

// must returns v; the test ends if err is set.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// write commits what f does at index.
func write(t testing.TB, s *Store, index uint64, f func(tx *Tx) error) {
	t.Helper()
	tx := s.Write(index)
	defer tx.Abort()
	if err := f(tx); err != nil {
		t.Fatal(err)
	}
	tx.Commit()
}

// newStore is a store in which scopes exist.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := New()
	write(t, s, 5, func(tx *Tx) error {
		return errors.Join(
			tx.PutPartition(tenancy.Partition{Name: "east"}),
			tx.PutNamespace(tenancy.Namespace{Partition: "default", Name: "team"}))
	})
	return s
}

func TestANewStoreHasTheDefaults(t *testing.T) {
	s := New()
	tx := s.Read()
	if p := must(tx.Partition(nil, "default")); p == nil || p.Description != tenancy.DefaultPartitionDescription || p.CreateIndex != 1 {
		t.Errorf("partition: %+v", p)
	}
	if n := must(tx.Namespace(nil, "default", "default")); n == nil || n.Description != tenancy.DefaultNamespaceDescription {
		t.Errorf("namespace: %+v", n)
	}
	write(t, s, 7, func(tx *Tx) error { return tx.PutPartition(tenancy.Partition{Name: "east"}) })
	if n := must(s.Read().Namespace(nil, "east", "default")); n == nil || n.CreateIndex != 7 {
		t.Errorf("namespace of a new partition: %+v", n)
	}
	if got := len(must(s.Read().Partitions(nil))); got != 2 {
		t.Errorf("%d partitions", got)
	}
}

func TestScopesThatDoNotExistAreRefused(t *testing.T) {
	tx := newStore(t).Read()
	tests := []struct {
		scope tenancy.Scope
		text  string
	}{
		{home, ""}, {otherNS, ""}, {otherAP, ""},
		{tenancy.Scope{Partition: "east", Namespace: "team"}, `Namespace "team" does not exist`},
		{tenancy.Scope{Partition: "west", Namespace: "default"}, `Partition "west" does not exist`},
	}
	for _, tc := range tests {
		err := tx.CheckScope(tc.scope)
		if tc.text == "" && err == nil {
			continue
		}
		if err == nil || err.Error() != tc.text || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", tc.scope, err)
		}
	}
}

// kind is a resource as the tests of all resources see it. key is what is unique in a scope.
type kind struct {
	name   string
	table  TableName
	put    func(tx *Tx, s tenancy.Scope, key, text string) error
	get    func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (text string, modified uint64, found bool)
	remove func(tx *Tx, s tenancy.Scope, key string) error
	list   func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int
}

var resources = append(catalogResources, []kind{
	{"tokens", TableTokens,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			key = s.String() + key // an accessor is unique everywhere
			return tx.PutToken(acl.Token{AccessorID: key, SecretID: logging.Secret(key), Description: text, Scope: s})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.Token(ws, s, s.String()+key))
			if v == nil {
				return "", 0, false
			}
			return v.Description, v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.DeleteToken(s, s.String()+key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int {
			return len(must(tx.Tokens(ws, s, TokenFilter{})))
		},
	},
	{"policies", TablePolicies,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return tx.PutPolicy(acl.Policy{ID: key, Name: "Name-" + key, Description: text, Scope: s})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.PolicyByName(ws, s, "nAmE-"+key))
			if v != must(tx.Policy(ws, s, key)) {
				panic("by name and by ID differ")
			}
			if v == nil {
				return "", 0, false
			}
			return v.Description, v.ModifyIndex, true
		},
		(*Tx).DeletePolicy,
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.Policies(ws, s))) },
	},
	{"roles", TableRoles,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return tx.PutRole(acl.Role{ID: key, Name: "Name-" + key, Description: text, Scope: s})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.RoleByName(ws, s, "nAmE-"+key))
			if v != must(tx.Role(ws, s, key)) {
				panic("by name and by ID differ")
			}
			if v == nil {
				return "", 0, false
			}
			return v.Description, v.ModifyIndex, true
		},
		(*Tx).DeleteRole,
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.Roles(ws, s, ""))) },
	},
	{"auth methods", TableAuthMethods,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return tx.PutAuthMethod(authmethod.Method{Name: "Name-" + key, Description: text, Scope: s, Config: map[string]any{"a": []any{1.5}}})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.AuthMethod(ws, s, "nAmE-"+key))
			if v == nil {
				return "", 0, false
			}
			return v.Description, v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.DeleteAuthMethod(s, "NAME-"+key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.AuthMethods(ws, s))) },
	},
	{"binding rules", TableBindingRules,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return tx.PutBindingRule(authmethod.BindingRule{ID: key, AuthMethod: "m", Description: text, Scope: s})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.BindingRule(ws, s, key))
			if v == nil {
				return "", 0, false
			}
			return v.Description, v.ModifyIndex, true
		},
		(*Tx).DeleteBindingRule,
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.BindingRules(ws, s, "M"))) },
	},
}...)

func TestTheSameNameInAnotherScopeIsAnotherThing(t *testing.T) {
	for _, r := range resources {
		t.Run(r.name, func(t *testing.T) {
			s := newStore(t)
			write(t, s, 10, func(tx *Tx) error {
				var all []error
				for _, at := range scopes {
					all = append(all, r.put(tx, at, "x", "in "+at.String()))
				}
				return errors.Join(all...)
			})
			write(t, s, 11, func(tx *Tx) error { return r.remove(tx, home, "x") })
			tx := s.Read()
			for _, at := range scopes {
				text, _, found := r.get(tx, nil, at, "x")
				if found != (at != home) || (found && text != "in "+at.String()) {
					t.Errorf("%s: %q, %v", at, text, found)
				}
				want := 1
				if at == home {
					want = 0
				}
				if got := r.list(tx, nil, at); got != want {
					t.Errorf("%s lists %d", at, got)
				}
			}
			if got := r.list(tx, nil, wildcard); got != 1 {
				t.Errorf("the wildcard lists %d of the partition", got)
			}
		})
	}
}

func TestCVE_2020_25201_TheSameWriteTwiceIsNoSecondIndex(t *testing.T) {
	for _, r := range resources {
		t.Run(r.name, func(t *testing.T) {
			s := newStore(t)
			steps := []struct {
				index, modified, table uint64
				text                   string
			}{
				{10, 10, 10, "first"},
				{11, 10, 10, "first"},
				{12, 12, 12, "second"},
				{13, 12, 12, "second"},
			}
			for _, st := range steps {
				write(t, s, st.index, func(tx *Tx) error { return r.put(tx, home, "x", st.text) })
				text, modified, _ := r.get(s.Read(), nil, home, "x")
				if table := s.Read().LastIndex(r.table); text != st.text || modified != st.modified || table != st.table {
					t.Errorf("at %d: %q modified at %d, table at %d", st.index, text, modified, table)
				}
			}
			write(t, s, 14, func(tx *Tx) error { return r.remove(tx, home, "none") })
			if table := s.Read().LastIndex(r.table); table != 12 {
				t.Errorf("deleting nothing moved the table to %d", table)
			}
		})
	}
}

func TestWatchesFireForWhatChanged(t *testing.T) {
	for _, r := range resources {
		t.Run(r.name, func(t *testing.T) {
			s := newStore(t)
			write(t, s, 10, func(tx *Tx) error {
				var all []error
				for _, at := range scopes {
					all = append(all, r.put(tx, at, "x", "old"), r.put(tx, at, "y", "old"))
				}
				return errors.Join(all...)
			})
			tx := s.Read()
			row, neighbour, list, elsewhere := memdb.NewWatchSet(), memdb.NewWatchSet(), memdb.NewWatchSet(), memdb.NewWatchSet()
			r.get(tx, row, home, "x")
			r.get(tx, neighbour, home, "y")
			r.list(tx, list, home)
			r.list(tx, elsewhere, otherNS)
			r.list(tx, elsewhere, otherAP)
			write(t, s, 11, func(tx *Tx) error { return r.put(tx, home, "x", "new") })
			if !fired(row) || !fired(list) || fired(neighbour) || fired(elsewhere) {
				t.Errorf("row %v, list %v, neighbour %v, elsewhere %v", fired(row), fired(list), fired(neighbour), fired(elsewhere))
			}
		})
	}
}

// fired tells whether a channel of ws is closed.
func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

func TestNamesAreUniqueInAnyCase(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutPolicy(acl.Policy{ID: "1", Name: "Web", Scope: home}),
			tx.PutRole(acl.Role{ID: "1", Name: "Web", Scope: home}),
			tx.PutAuthMethod(authmethod.Method{Name: "Web", Scope: home}))
	})
	tx := s.Write(11)
	defer tx.Abort()
	if err := tx.PutPolicy(acl.Policy{ID: "2", Name: "wEB", Scope: home}); !errors.Is(err, store.ErrTaken) {
		t.Errorf("policy: %v", err)
	}
	if err := tx.PutRole(acl.Role{ID: "2", Name: "wEB", Scope: home}); !errors.Is(err, store.ErrTaken) {
		t.Errorf("role: %v", err)
	}
	must(0, tx.PutAuthMethod(authmethod.Method{Name: "wEB", Scope: home}))
	if all := must(tx.AuthMethods(nil, home)); len(all) != 1 || all[0].Name != "wEB" || all[0].CreateIndex != 10 {
		t.Errorf("auth methods: %+v", all)
	}
}

func TestListsAreSortedByName(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		var all []error
		for i, name := range []string{"b", "C", "a"} {
			id := fmt.Sprint(i)
			all = append(all,
				tx.PutPolicy(acl.Policy{ID: id, Name: name, Scope: home}),
				tx.PutRole(acl.Role{ID: id, Name: name, Scope: home}),
				tx.PutToken(acl.Token{AccessorID: id, SecretID: logging.Secret(name), Scope: home}))
		}
		return errors.Join(all...)
	})
	tx := s.Read()
	var names []string
	for _, p := range must(tx.Policies(nil, home)) {
		names = append(names, p.Name)
	}
	for _, r := range must(tx.Roles(nil, home, "")) {
		names = append(names, r.Name)
	}
	for _, t := range must(tx.Tokens(nil, home, TokenFilter{})) {
		names = append(names, t.SecretID.Reveal())
	}
	if got := strings.Join(names, ""); got != "abCabCCab" {
		t.Errorf("got %s", got)
	}
}

func TestRolesAreFoundByPolicy(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutRole(acl.Role{ID: "1", Name: "one", Policies: []acl.Link{{ID: "p", Name: "dropped"}}, Scope: home}),
			tx.PutRole(acl.Role{ID: "2", Name: "two", Scope: home}),
			tx.PutRole(acl.Role{ID: "3", Name: "three", Policies: []acl.Link{{ID: "p"}}, Scope: otherNS}))
	})
	tx := s.Read()
	if got := must(tx.Roles(nil, home, "p")); len(got) != 1 || got[0].ID != "1" || got[0].Policies[0].Name != "" {
		t.Errorf("got %+v", got)
	}
	if got := must(tx.Roles(nil, wildcard, "p")); len(got) != 2 {
		t.Errorf("the wildcard finds %d", len(got))
	}
}

func TestLinksToBuiltInPoliciesReachTheDefaultScope(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutPolicy(acl.Policy{ID: acl.GlobalManagementID, Name: "m", Scope: home}),
			tx.PutPolicy(acl.Policy{ID: "p", Name: "p", Scope: home}))
	})
	tx := s.Read()
	if p := must(tx.LinkedPolicy(nil, otherAP, acl.GlobalManagementID)); p == nil {
		t.Error("the built-in policy is not found")
	}
	if p := must(tx.LinkedPolicy(nil, otherAP, "p")); p != nil {
		t.Error("another scope's policy is found")
	}
}

func TestTokensAreFoundByEveryIndex(t *testing.T) {
	s := newStore(t)
	at := time.Unix(1000, 0)
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutPolicy(acl.Policy{ID: "p", Name: "p", Scope: home}),
			tx.PutToken(acl.Token{AccessorID: "a1", SecretID: "s1", Scope: home, Policies: []acl.Link{{ID: "p", Name: "dropped"}, {ID: "q"}}}),
			tx.PutToken(acl.Token{AccessorID: "a2", SecretID: "s2", Scope: home, Roles: []acl.Link{{ID: "r"}}, ExpirationTime: &at}),
			tx.PutToken(acl.Token{AccessorID: "a3", SecretID: "s3", Scope: home, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}, {ServiceName: "web"}}}),
			tx.PutToken(acl.Token{AccessorID: "a4", SecretID: "s4", Scope: home, AuthMethod: "ECS"}),
			tx.PutToken(acl.Token{AccessorID: "a5", SecretID: "s5", Scope: otherNS, AuthMethod: "ecs", AuthMethodNamespace: "default",
				Policies: []acl.Link{{ID: "p"}}}),
			tx.PutToken(acl.Token{AccessorID: "a6", SecretID: "s6", Scope: otherAP, Policies: []acl.Link{{ID: "p"}}}))
	})
	tests := []struct {
		name   string
		scope  tenancy.Scope
		filter TokenFilter
		want   string
	}{
		{"no filter", home, TokenFilter{}, "a1 a2 a3 a4"},
		{"policy", home, TokenFilter{PolicyID: "p"}, "a1"},
		{"a second policy", home, TokenFilter{PolicyID: "q"}, "a1"},
		{"policy in all namespaces", wildcard, TokenFilter{PolicyID: "p"}, "a1 a5"},
		{"role", home, TokenFilter{RoleID: "r"}, "a2"},
		{"service", home, TokenFilter{ServiceName: "web"}, "a3"},
		{"auth method in any case", home, TokenFilter{AuthMethod: "ecs"}, "a4"},
		{"auth method of another namespace", otherNS, TokenFilter{AuthMethod: "ecs", AuthMethodNamespace: "default"}, "a5"},
		{"auth method of the same namespace", otherNS, TokenFilter{AuthMethod: "ecs"}, ""},
		{"auth method in all namespaces", wildcard, TokenFilter{AuthMethod: "ecs"}, "a4 a5"},
		{"nothing", home, TokenFilter{PolicyID: "none"}, ""},
	}
	tx := s.Read()
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, row := range must(tx.Tokens(nil, tc.scope, tc.filter)) {
				got = append(got, row.AccessorID)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
	for i := 1; i <= 6; i++ {
		a, sec := fmt.Sprint("a", i), logging.Secret(fmt.Sprint("s", i))
		if byA, byS := must(tx.TokenByAccessor(nil, a)), must(tx.TokenBySecret(nil, sec)); byA == nil || byA != byS || byA.AccessorID != a {
			t.Errorf("%s: %v and %v", a, byA, byS)
		}
	}
	if got := must(tx.TokenBySecret(nil, "a1")); got != nil {
		t.Error("an accessor is taken for a secret")
	}
	if got := must(tx.Token(nil, home, "a1")); got.Policies[0].Name != "" {
		t.Error("a stored link keeps its name")
	}
}

func TestTokensExpireInOrder(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		var all []error
		for i := range 100 {
			at := time.Unix(int64((i*37)%100), 0)
			id := fmt.Sprintf("t%02d", (i*37)%100)
			all = append(all, tx.PutToken(acl.Token{AccessorID: id, SecretID: logging.Secret("s" + id), Scope: scopes[i%3], ExpirationTime: &at}))
		}
		return errors.Join(all...)
	})
	tests := []struct {
		name   string
		before time.Time
		max    int
		want   int
	}{
		{"those that end at or before", time.Unix(9, 0), 1000, 10},
		{"not those a moment later", time.Unix(9, -1), 1000, 9},
		{"no more than asked for", time.Unix(50, 0), 5, 5},
		{"all", time.Unix(1e6, 0), 1000, 100},
		{"none before the first", time.Unix(-5, 0), 1000, 1}, // t00 ends at 1970 exactly
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rows := must(s.Read().TokensExpiring(tc.before, tc.max))
			if len(rows) != tc.want {
				t.Fatalf("got %d, want %d", len(rows), tc.want)
			}
			for i, r := range rows {
				if r.AccessorID != fmt.Sprintf("t%02d", i) {
					t.Errorf("row %d is %s", i, r.AccessorID)
				}
			}
		})
	}
}

func TestADeletedMethodTakesItsRulesAndTokensAlong(t *testing.T) {
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutAuthMethod(authmethod.Method{Name: "ECS", Scope: home}),
			tx.PutAuthMethod(authmethod.Method{Name: "ecs", Scope: otherNS}),
			tx.PutBindingRule(authmethod.BindingRule{ID: "gone", AuthMethod: "ecs", Scope: home}),
			tx.PutBindingRule(authmethod.BindingRule{ID: "other method", AuthMethod: "x", Scope: home}),
			tx.PutBindingRule(authmethod.BindingRule{ID: "other scope", AuthMethod: "ecs", Scope: otherNS}),
			tx.PutToken(acl.Token{AccessorID: "gone", SecretID: "1", AuthMethod: "Ecs", Scope: home}),
			tx.PutToken(acl.Token{AccessorID: "gone too", SecretID: "2", AuthMethod: "ecs", AuthMethodNamespace: "default", Scope: otherNS}),
			tx.PutToken(acl.Token{AccessorID: "other scope", SecretID: "3", AuthMethod: "ecs", Scope: otherNS}),
			tx.PutToken(acl.Token{AccessorID: "no login", SecretID: "4", Scope: home}))
	})
	write(t, s, 11, func(tx *Tx) error { return tx.DeleteAuthMethod(home, "eCs") })
	tx := s.Read()
	var left []string
	for _, r := range must(tx.BindingRules(nil, wildcard, "")) {
		left = append(left, r.ID)
	}
	for _, tok := range must(tx.Tokens(nil, wildcard, TokenFilter{})) {
		left = append(left, tok.AccessorID)
	}
	if want := []string{"other method", "other scope", "other scope", "no login"}; !slices.Equal(left, want) {
		t.Errorf("left: %q", left)
	}
	if m := must(tx.AuthMethod(nil, home, "ecs")); m != nil {
		t.Error("the method is there")
	}
	for _, table := range []TableName{TableAuthMethods, TableBindingRules, TableTokens} {
		if got := tx.LastIndex(table); got != 11 {
			t.Errorf("%s changed at %d", table, got)
		}
	}
}

func TestLastIndexIsThatOfTheTablesAsked(t *testing.T) {
	s := New()
	if got := s.Read().LastIndex(TableTokens, TablePolicies); got != 1 {
		t.Errorf("of empty tables: %d", got)
	}
	write(t, s, 10, func(tx *Tx) error { return tx.PutPolicy(acl.Policy{ID: "p", Name: "p", Scope: home}) })
	write(t, s, 12, func(tx *Tx) error { return tx.PutRole(acl.Role{ID: "r", Name: "r", Scope: home}) })
	tx := s.Read()
	tests := []struct {
		tables []TableName
		want   uint64
	}{
		{[]TableName{TablePolicies}, 10},
		{[]TableName{TableRoles, TablePolicies}, 12},
		{[]TableName{TableTokens}, 1},
		{nil, 1},
	}
	for _, tc := range tests {
		if got := tx.LastIndex(tc.tables...); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.tables, got, tc.want)
		}
	}
}

func TestAWriteIsSeenAsAWhole(t *testing.T) {
	s := New()
	tx := s.Write(10)
	must(0, tx.PutPolicy(acl.Policy{ID: "p", Name: "p", Scope: home}))
	if p := must(s.Read().Policy(nil, home, "p")); p != nil {
		t.Error("seen before commit")
	}
	tx.Abort()
	if p := must(s.Read().Policy(nil, home, "p")); p != nil || s.Read().LastIndex(TablePolicies) != 1 {
		t.Error("seen after abort")
	}
	before := s.Read()
	write(t, s, 11, func(tx *Tx) error { return tx.PutPolicy(acl.Policy{ID: "p", Name: "p", Scope: home}) })
	if p := must(before.Policy(nil, home, "p")); p != nil {
		t.Error("an older view has changed")
	}
}

func TestSame(t *testing.T) {
	utc := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	local := utc.In(time.FixedZone("x", 3600))
	a := acl.Token{AccessorID: "a", ExpirationTime: &utc, Hash: []byte{1}, Policies: []acl.Link{}}
	m := authmethod.Method{Config: map[string]any{"a": []any{1.5, map[string]any{"b": nil}}}}
	tests := []struct {
		name   string
		equal  bool
		change func(a *acl.Token, m *authmethod.Method)
	}{
		{"nothing", true, func(*acl.Token, *authmethod.Method) {}},
		{"another zone", true, func(a *acl.Token, _ *authmethod.Method) { a.ExpirationTime = &local }},
		{"no list", true, func(a *acl.Token, _ *authmethod.Method) { a.Policies = nil }},
		{"no time", false, func(a *acl.Token, _ *authmethod.Method) { a.ExpirationTime = nil }},
		{"a byte", false, func(a *acl.Token, _ *authmethod.Method) { a.Hash = []byte{2} }},
		{"a link", false, func(a *acl.Token, _ *authmethod.Method) { a.Policies = []acl.Link{{ID: "p"}} }},
		{"an index", false, func(a *acl.Token, _ *authmethod.Method) { a.CreateIndex = 2 }},
		{"a number deep in a config", false, func(_ *acl.Token, m *authmethod.Method) {
			m.Config = map[string]any{"a": []any{2.5, map[string]any{"b": nil}}}
		}},
		{"the type of a number", false, func(_ *acl.Token, m *authmethod.Method) {
			m.Config = map[string]any{"a": []any{"1.5", map[string]any{"b": nil}}}
		}},
		{"another key", false, func(_ *acl.Token, m *authmethod.Method) {
			m.Config = map[string]any{"A": []any{1.5, map[string]any{"b": nil}}}
		}},
		{"a value for nothing", false, func(_ *acl.Token, m *authmethod.Method) {
			m.Config = map[string]any{"a": []any{1.5, map[string]any{"b": false}}}
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a2, m2 := a, m
			tc.change(&a2, &m2)
			if got := same(a, a2) && same(m, m2); got != tc.equal {
				t.Errorf("same is %v", got)
			}
		})
	}
}
