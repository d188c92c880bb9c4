package fsm

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

var (
	sampleTime = time.Date(2026, 3, 4, 10, 11, 12, 131415161, time.UTC)
	expiry     = sampleTime.Add(time.Hour)
	team       = tenancy.Scope{Partition: "east", Namespace: "team"}
	doomed     = tenancy.Scope{Partition: "default", Namespace: "doomed"}
)

func policy(s tenancy.Scope, id, name string) acl.Policy {
	return acl.Policy{ID: id, Name: name, Rules: `acl = "read"`, Datacenters: []string{"dc1"}, Hash: []byte{1, 2}, Scope: s}
}

func role(s tenancy.Scope, id, name string, policies ...acl.Link) acl.Role {
	return acl.Role{
		ID: id, Name: name, Policies: policies, Scope: s,
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web", Datacenters: []string{"dc1"}}},
		NodeIdentities:    []acl.NodeIdentity{{NodeName: "n1", Datacenter: "dc1"}},
		TemplatedPolicies: []acl.TemplatedPolicy{{TemplateName: "builtin/dns"}},
	}
}

func token(s tenancy.Scope, accessor, secret string) acl.Token {
	return acl.Token{
		AccessorID: accessor, SecretID: logging.Secret(secret), Description: "a token",
		CreateTime: sampleTime, Hash: []byte{3, 4}, Scope: s,
	}
}

func method(s tenancy.Scope, name string) authmethod.Method {
	return authmethod.Method{
		Name: name, Type: "aws-iam", MaxTokenTTL: time.Hour, Scope: s,
		Config: map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:iam::1:role/x"}, "MaxRetries": 3.0},
	}
}

// loginToken is a token with everything that a login's may have.
func loginToken() acl.Token {
	t := token(team, "a-login", "s-login")
	t.AuthMethod, t.AuthMethodNamespace, t.ExpirationTime, t.Local = "ecs", "team", &expiry, true
	t.ServiceIdentities = []acl.ServiceIdentity{{ServiceName: "web"}}
	t.Roles = []acl.Link{{ID: "r1"}}
	return t
}

func linkedToken() acl.Token {
	t := token(team, "a-linked", "s-linked")
	t.Policies = []acl.Link{{ID: "p1"}, {ID: acl.GlobalManagementID}}
	t.Roles = []acl.Link{{ID: "r1"}}
	t.NodeIdentities = []acl.NodeIdentity{{NodeName: "n1", Datacenter: "dc1"}}
	t.TemplatedPolicies = []acl.TemplatedPolicy{{
		TemplateID: "t", TemplateName: "builtin/service", TemplateVariables: &acl.TemplateVariables{Name: "web"},
	}}
	return t
}

// sample is a command that succeeds after setup and changes something.
type sample struct {
	kind    uint64
	command Command
	refused bool // the second time
}

// setup is what the samples need to be there.
func setup() []Command {
	return slices.Concat([]Command{
		ACLInit{Policies: []acl.Policy{policy(tenancy.Default, acl.GlobalManagementID, acl.GlobalManagementName)}},
		PartitionSet{Partition: tenancy.Partition{Name: "east"}},
		NamespaceSet{Namespace: tenancy.Namespace{Name: "team", Partition: "east"}},
		PolicySet{Policy: policy(team, "p1", "Reader")},
		PolicySet{Policy: policy(team, "p0", "Spare")},
		PolicySet{Policy: policy(team.PartitionRoot(), "p-root", "Base")},
		RoleSet{Role: role(team, "r1", "App", acl.Link{ID: "p1"})},
		RoleSet{Role: role(team, "r0", "Spare")},
		AuthMethodSet{Method: method(team, "ecs")},
		AuthMethodSet{Method: method(team, "Old")},
		BindingRuleSet{Rule: authmethod.BindingRule{ID: "b0", AuthMethod: "old", BindType: "service", BindName: "x", Scope: team}},
		TokenSet{Token: token(team, "a0", "s0")},
		TokenSet{Token: func() acl.Token { t := loginToken(); t.AccessorID, t.SecretID = "a-old", "s-old"; return t }()},
		TokenSet{Token: func() acl.Token { t := loginToken(); t.AccessorID, t.SecretID = "a-lease", "s-lease"; return t }()},
		Login{Token: func() acl.Token { t := loginToken(); t.AccessorID, t.SecretID = "a-used", "s-used"; return t }(),
			Method: team, MethodIndex: 19, Proof: "p-old", ProofEnds: expiry},
		NamespaceSet{Namespace: tenancy.Namespace{Name: "doomed", Partition: "default"}},
		PolicySet{Policy: policy(doomed, "p-doomed", "Doomed")},
		NamespaceDelete{Partition: "default", Name: "doomed", Now: sampleTime},
	}, kvSetup(), entrySetup(), catalogSetup(), coordinateSetup(), caSetup())
}

func samples() []sample {
	return slices.Concat([]sample{
		{1, TokenSet{Token: linkedToken(), Create: true}, true},
		{2, TokenDelete{Scope: team, AccessorID: "a0"}, false},
		{3, TokenLogin{Token: loginToken(), Method: team}, true},
		{4, TokensReap{Tokens: []TokenRef{{Scope: team, AccessorID: "a-old"}}, Now: expiry}, false},
		{5, ACLBootstrap{Token: token(tenancy.Default, "a-boot", "s-boot")}, true},
		{6, ACLInit{
			Policies:     []acl.Policy{policy(tenancy.Default, acl.GlobalReadOnlyID, acl.GlobalReadOnlyName)},
			Tokens:       []acl.Token{token(tenancy.Default, acl.AnonymousAccessor, acl.AnonymousSecret)},
			Bootstrapped: true,
		}, false},
		{7, PolicySet{Policy: policy(team, "p2", "writer")}, false},
		{8, PolicyDelete{Scope: team, ID: "p0"}, false},
		{9, RoleSet{Role: role(team, "r2", "ops", acl.Link{ID: "p1"})}, false},
		{10, RoleDelete{Scope: team, ID: "r0"}, false},
		{11, AuthMethodSet{Method: func() authmethod.Method {
			m := method(team, "ECS")
			m.NamespaceRules = []authmethod.NamespaceRule{{Selector: "a==b", BindNamespace: "n"}}
			return m
		}()}, false},
		{12, AuthMethodDelete{Scope: team, Name: "OLD"}, false},
		{13, BindingRuleSet{Rule: authmethod.BindingRule{
			ID: "b1", AuthMethod: "ecs", Selector: "x==y", BindType: "templated-policy", BindName: "builtin/service",
			BindVars: &authmethod.BindVars{Name: "${entity_name}"}, Scope: team,
		}}, false},
		{14, BindingRuleDelete{Scope: team, ID: "b0"}, false},
		{15, PartitionSet{Partition: tenancy.Partition{Name: "west", Description: "the west"}}, false},
		{16, NamespaceSet{Namespace: tenancy.Namespace{
			Name: "team", Partition: "east", Description: "the team", Meta: map[string]string{"a": "b"},
			ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: "p-root"}}},
		}}, false},
		{17, CARootSet{Root: ca.Root{
			ID: "aa:bb", Name: "a root", TrustDomain: "u.consul", RootCert: "-----BEGIN", PrivateKey: "key", Created: sampleTime,
		}, IfActive: "signs"}, false},
		{18, AutopilotSet{Config: autopilot.Config{
			CleanupDeadServers: true, LastContactThreshold: time.Second, MaxTrailingLogs: 500, MinQuorum: 3,
			ServerStabilizationTime: time.Minute, RedundancyZoneTag: "zone", DisableUpgradeMigration: true, UpgradeVersionTag: "build",
		}, Compare: true}, true},
		{40, Login{
			Token:  func() acl.Token { t := loginToken(); t.AccessorID, t.SecretID = "a-new", "s-new"; return t }(),
			Method: team, MethodIndex: 19, Lease: true, Proof: "p-new", ProofEnds: expiry, SingleUse: true,
		}, true},
		{41, LoginProofsReap{Proofs: []string{"p-old"}, Now: expiry}, false},
		{42, TokenRenew{Scope: team, AccessorID: "a-lease", IfIndex: 24, ExpirationTime: expiry.Add(time.Hour), Now: sampleTime}, true},
		{43, LoginUndo{SecretID: "s-used"}, false},
		{50, NamespaceDelete{Partition: "east", Name: "team", Now: sampleTime}, false},
		{51, PartitionDelete{Name: "east", Now: sampleTime}, false},
		{52, NamespacePurge{Scope: doomed, Limit: 100}, false},
	}, kvSamples(), entrySamples(), catalogSamples(), coordinateSamples(), caSamples())
}

// machine is an FSM that is fed by hand.
type machine struct {
	*FSM
	store *state.Store
	index uint64
}

func newMachine() *machine {
	s := state.New()
	return &machine{FSM: New(s), store: s, index: 10}
}

// apply applies cmds as one log entry.
func (m *machine) apply(t testing.TB, cmds ...Command) []error {
	t.Helper()
	entry, err := Encode(cmds...)
	if err != nil {
		t.Fatal(err)
	}
	m.index++
	return m.Apply(&raft.Log{Index: m.index, Data: entry, AppendedAt: sampleTime}).(Applied).Errors
}

// setUp is a machine on which every sample succeeds.
func setUp(t testing.TB) *machine {
	t.Helper()
	m := newMachine()
	for _, c := range setup() {
		if err := m.apply(t, c)[0]; err != nil {
			t.Fatalf("%T: %v", c, err)
		}
	}
	return m
}

// dump is everything in the store as text: the stored fields that are not zero, under their
// stored names, so that neither a new field nor another JSON form changes it.
func (m *machine) dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	tx := m.store.Read()
	line := func(what string, row any) {
		data, err := marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		var fields any
		if err := unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		if data, err = json.Marshal(prune(fields)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", what, data)
	}
	line("meta", tx.Meta())
	for _, k := range recordKinds {
		rows, err := tx.Rows(k.table)
		if err != nil {
			t.Fatal(err)
		}
		for row := range rows {
			line(k.table.String(), row)
		}
	}
	return b.String()
}

// prune returns v without the zero values in its maps.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			e = prune(e)
			rv := reflect.ValueOf(e)
			if e == nil || rv.IsZero() || (rv.Kind() == reflect.Map && rv.Len() == 0) {
				delete(v, k)
				continue
			}
			v[k] = e
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}
