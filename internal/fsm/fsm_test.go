package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestEveryCommandAppliesTwiceAndSurvivesASnapshot(t *testing.T) {
	seen := map[uint64]bool{}
	for _, tc := range samples() {
		seen[tc.kind] = true
		t.Run(reflect.TypeOf(tc.command).Name(), func(t *testing.T) {
			m := setUp(t)
			before := m.dump(t)
			if err := m.apply(t, tc.command)[0]; err != nil {
				t.Fatal(err)
			}
			once := m.dump(t)
			if once == before {
				t.Error("it changes nothing")
			}
			if err := m.apply(t, tc.command)[0]; (err != nil) != tc.refused {
				t.Errorf("the second time: %v", err)
			}
			if twice := m.dump(t); twice != once {
				t.Errorf("the second time changes\n%s\ninto\n%s", once, twice)
			}
			other := newMachine()
			if err := other.Restore(io.NopCloser(m.snapshot(t))); err != nil {
				t.Fatal(err)
			}
			if restored := other.dump(t); restored != once {
				t.Errorf("restored\n%s\nwant\n%s", restored, once)
			}
			other.index = m.index
			if err := other.apply(t, tc.command)[0]; (err != nil) != tc.refused {
				t.Errorf("after a restore: %v", err)
			}
			if again := other.dump(t); again != once {
				t.Errorf("after a restore it changes\n%s\ninto\n%s", once, again)
			}
		})
	}
	for kind, c := range kinds {
		if !seen[kind] && kind != halfwayKind {
			t.Errorf("kind %d, %T, has no sample", kind, c)
		}
	}
}

// snapshot returns what the machine writes.
func (m *machine) snapshot(t testing.TB) *bytes.Buffer {
	t.Helper()
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	sink := &memorySink{}
	if err := snap.Persist(sink); err != nil || !sink.closed {
		t.Fatalf("persist: %v, closed: %v", err, sink.closed)
	}
	return &sink.Buffer
}

// memorySink is a raft.SnapshotSink. With full set, it takes no more than that.
type memorySink struct {
	bytes.Buffer
	full             int
	closed, canceled bool
}

func (s *memorySink) ID() string    { return "memory" }
func (s *memorySink) Close() error  { s.closed = true; return nil }
func (s *memorySink) Cancel() error { s.canceled = true; return nil }
func (s *memorySink) Write(b []byte) (int, error) {
	if s.full > 0 && s.Len()+len(b) > s.full {
		return 0, errors.New("disk full")
	}
	return s.Buffer.Write(b)
}

func TestAFailingCommandChangesNothingAndStopsNoOther(t *testing.T) {
	m := setUp(t)
	bad := TokenSet{Token: token(team, "a0", "another secret")}
	results := m.apply(t,
		PolicySet{Policy: policy(team, "p8", "eight")},
		bad,
		halfway{},
		PolicySet{Policy: policy(team, "p9", "nine")},
		halfway{},
	)
	want := setUp(t)
	want.apply(t, PolicySet{Policy: policy(team, "p8", "eight")}, PolicySet{Policy: policy(team, "p9", "nine")})
	if got := m.dump(t); got != want.dump(t) {
		t.Errorf("got\n%s\nwant\n%s", got, want.dump(t))
	}
	for i, failed := range []bool{false, true, true, false, true} {
		if (results[i] != nil) != failed {
			t.Errorf("result %d: %v", i, results[i])
		}
	}
}

// halfway fails after it has changed something, which no real command does.
type halfway struct{}

func (halfway) Apply(tx *state.Tx) error {
	if err := tx.PutPolicy(policy(team, "p-half", "half")); err != nil {
		return err
	}
	return errs.New(errs.Invalid, "half way")
}

const halfwayKind = 1 << 20

func init() {
	kinds[halfwayKind] = halfway{}
	kindOf[reflect.TypeFor[halfway]()] = halfwayKind
}

func TestWhatIsCheckedWhenACommandApplies(t *testing.T) {
	nowhere := tenancy.Scope{Partition: "default", Namespace: "nowhere"}
	noPartition := tenancy.Scope{Partition: "nowhere", Namespace: "default"}
	linked := func(policyID, roleID string) acl.Token {
		t := token(team, "a-new", "s-new")
		if policyID != "" {
			t.Policies = []acl.Link{{ID: policyID}}
		}
		if roleID != "" {
			t.Roles = []acl.Link{{ID: roleID}}
		}
		return t
	}
	lateLogin := loginToken()
	lateLogin.AuthMethod = "gone"
	tests := []struct {
		name    string
		command Command
		kind    errs.Kind
		text    string
	}{
		{"an accessor twice", TokenSet{Token: token(team, "a0", "s-new"), Create: true}, errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"an accessor of another scope", TokenSet{Token: token(tenancy.Default, "a0", "s-new")}, errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"an accessor that is a secret", TokenSet{Token: token(team, "s0", "s-new")}, errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"a secret twice", TokenSet{Token: token(team, "a-new", "s0")}, errs.Invalid, "Invalid Token: SecretID is already in use"},
		{"a secret that is an accessor", TokenSet{Token: token(team, "a-new", "a0")}, errs.Invalid, "Invalid Token: SecretID is already in use"},
		{"a changed secret", TokenSet{Token: token(team, "a0", "s-new")}, errs.Invalid, "Changing a token's SecretID is not permitted"},
		{"a token that changed meanwhile", TokenSet{Token: token(team, "a0", "s0"), IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a token that went meanwhile", TokenSet{Token: token(team, "a-gone", "s-gone"), IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a token in a namespace that does not exist", TokenSet{Token: token(nowhere, "a-new", "s-new")}, errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a token in a partition that does not exist", TokenSet{Token: token(noPartition, "a-new", "s-new")}, errs.Invalid, `Partition "nowhere" does not exist`},
		{"a link to no policy", TokenSet{Token: linked("p-none", "")}, errs.Invalid, `No such ACL policy with ID "p-none"`},
		{"a link to no role", TokenSet{Token: linked("", "r-none")}, errs.Invalid, `No such ACL role with ID "r-none"`},
		{"a link to a policy of another namespace", TokenSet{Token: linked("p-root", "")}, errs.Invalid, `No such ACL policy with ID "p-root"`},
		{"a login of a method that is gone", TokenLogin{Token: lateLogin, Method: team}, errs.Denied, `ACL not found: auth method "gone" not found`},
		{"a login of a method that was made anew", TokenLogin{Token: loginToken(), Method: team, MethodIndex: 3}, errs.Denied, `ACL not found: auth method "ecs" not found`},
		{"a login with an accessor in use", TokenLogin{Token: func() acl.Token { t := loginToken(); t.AccessorID = "a0"; return t }(), Method: team}, errs.Invalid, "Invalid Token: AccessorID is already in use"},
		{"a policy's name, in any case, on create", PolicySet{Policy: policy(team, "p-new", "READER")}, errs.Invalid, `Invalid Policy: A Policy with Name "READER" already exists`},
		{"a policy's name on update", PolicySet{Policy: policy(team, "p0", "reader")}, errs.Invalid, `Invalid Policy: A policy with name "reader" already exists`},
		{"a policy that changed meanwhile", PolicySet{Policy: policy(team, "p1", "x"), IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a policy nowhere", PolicySet{Policy: policy(nowhere, "p-new", "x")}, errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a role's name on create", RoleSet{Role: role(team, "r-new", "APP")}, errs.Invalid, `Invalid Role: A Role with Name "APP" already exists`},
		{"a role's name on update", RoleSet{Role: role(team, "r0", "app")}, errs.Invalid, `Invalid Role: A role with name "app" already exists`},
		{"a role that changed meanwhile", RoleSet{Role: role(team, "r1", "x"), IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a role nowhere", RoleSet{Role: role(nowhere, "r-new", "x")}, errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a role with a link to no policy", RoleSet{Role: role(team, "r-new", "x", acl.Link{ID: "p-none"})}, errs.Invalid, "Failed to apply role upsert request: No such policy with ID: p-none"},
		{"a method of another type", AuthMethodSet{Method: authmethod.Method{Name: "ECS", Type: "jwt", Scope: team}}, errs.Invalid, "the Type field of an Auth Method is immutable"},
		{"a method that changed meanwhile", AuthMethodSet{Method: method(team, "ecs"), IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a method nowhere", AuthMethodSet{Method: method(nowhere, "m")}, errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a rule for no method", BindingRuleSet{Rule: authmethod.BindingRule{ID: "b", AuthMethod: "nosuch", Scope: team}}, errs.Invalid, `cannot find auth method with name "nosuch"`},
		{"a rule for a method of another namespace", BindingRuleSet{Rule: authmethod.BindingRule{ID: "b", AuthMethod: "ecs", Scope: tenancy.Default}}, errs.Invalid, `cannot find auth method with name "ecs"`},
		{"a rule that changed meanwhile", BindingRuleSet{Rule: authmethod.BindingRule{ID: "b0", AuthMethod: "ecs", Scope: team}, IfIndex: 1}, errs.Conflict, ErrChanged.Error()},
		{"a rule nowhere", BindingRuleSet{Rule: authmethod.BindingRule{ID: "b", AuthMethod: "ecs", Scope: nowhere}}, errs.Invalid, `Namespace "nowhere" does not exist`},
		{"a namespace in no partition", NamespaceSet{Namespace: tenancy.Namespace{Name: "x", Partition: "nowhere"}}, errs.Invalid, `Partition "nowhere" does not exist`},
		{"a namespace with no such policy", NamespaceSet{Namespace: tenancy.Namespace{Name: "x", Partition: "east",
			ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: "p1"}}}}}, errs.Invalid, `Invalid Namespace: no policy with ID "p1"`},
		{"a namespace with no such role", NamespaceSet{Namespace: tenancy.Namespace{Name: "x", Partition: "east",
			ACLs: &tenancy.NamespaceACLs{RoleDefaults: []tenancy.Link{{ID: "r1"}}}}}, errs.Invalid, `Invalid Namespace: no role with ID "r1"`},
	}
	m := setUp(t)
	before := m.dump(t)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := m.apply(t, tc.command)[0]
			if err == nil || errs.KindOf(err) != tc.kind || err.Error() != tc.text {
				t.Errorf("got %v: %v\nwant %v: %s", errs.KindOf(err), err, tc.kind, tc.text)
			}
			if m.dump(t) != before {
				t.Error("something changed")
			}
		})
	}
}

func TestBootstrapHappensOnceOrAfterAReset(t *testing.T) {
	m := newMachine()
	boot := func(n int, reset uint64) error {
		c := ACLBootstrap{Token: token(tenancy.Default, fmt.Sprint("a", n), fmt.Sprint("s", n)), ResetIndex: reset}
		return m.apply(t, c)[0]
	}
	if err := boot(1, 0); err != nil {
		t.Fatal(err)
	}
	index, done := m.store.Read().Bootstrap()
	if !done || index != m.index {
		t.Fatalf("reset index %d at index %d", index, m.index)
	}
	again := boot(2, 0)
	if text := fmt.Sprintf("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", index); again == nil ||
		errs.KindOf(again) != errs.Denied || again.Error() != text {
		t.Errorf("again: %v", again)
	}
	wrong := boot(3, 99)
	if text := fmt.Sprintf("Invalid bootstrap reset index (specified 99, reset index: %d)", index); wrong == nil ||
		errs.KindOf(wrong) != errs.Invalid || wrong.Error() != text {
		t.Errorf("wrong index: %v", wrong)
	}
	if err := boot(4, index); err != nil {
		t.Errorf("with the index: %v", err)
	}
	if next, _ := m.store.Read().Bootstrap(); next != m.index {
		t.Errorf("the reset index stays %d", next)
	}
}

func TestInitRenewsRulesAndKeepsWhatOperatorsChanged(t *testing.T) {
	m := newMachine()
	builtin := policy(tenancy.Default, acl.GlobalManagementID, acl.GlobalManagementName)
	m.apply(t, ACLInit{Policies: []acl.Policy{builtin}})
	renamed := builtin
	renamed.Name, renamed.Description = "admins", "ours"
	m.apply(t, PolicySet{Policy: renamed})
	builtin.Rules, builtin.Hash = `acl = "write"`, []byte{9}
	if err := m.apply(t, ACLInit{Policies: []acl.Policy{builtin}})[0]; err != nil {
		t.Fatal(err)
	}
	got, err := m.store.Read().Policy(nil, tenancy.Default, acl.GlobalManagementID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "admins" || got.Description != "ours" || got.Rules != builtin.Rules || got.Hash[0] != 9 {
		t.Errorf("got %+v", got)
	}
}

func TestReapingSparesTokensThatStillLive(t *testing.T) {
	m := setUp(t)
	early := expiry.Add(-1)
	refs := []TokenRef{{Scope: team, AccessorID: "a-old"}, {Scope: team, AccessorID: "a0"}, {Scope: team, AccessorID: "none"}}
	before := m.dump(t)
	if err := m.apply(t, TokensReap{Tokens: refs, Now: early})[0]; err != nil || m.dump(t) != before {
		t.Errorf("a nanosecond early: %v", err)
	}
	m.apply(t, TokensReap{Tokens: refs, Now: expiry})
	tx := m.store.Read()
	if gone, _ := tx.Token(nil, team, "a-old"); gone != nil {
		t.Error("the expired token is there")
	}
	if kept, _ := tx.Token(nil, team, "a0"); kept == nil {
		t.Error("a token without an end is gone")
	}
}

func TestAnUnknownKindStopsTheProcess(t *testing.T) {
	part, err := EncodeCommand(PolicyDelete{Scope: team, ID: "p0"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		entry []byte
		says  []string
	}{
		{"a new kind", Join(part, append([]byte{0x7b}, part[1:]...)),
			[]string{"log entry 77", "kind 123", "format 1", "propose a new kind only once every server can apply it"}},
		{"a new format", []byte{2, 1, 2, 3}, []string{"unknown format 2"}},
		{"nothing", nil, []string{"truncated"}},
		{"half a command", Join(part)[:9], []string{"truncated"}},
		{"bytes after the end", append(Join(part), 0), []string{"1 bytes after the last command"}},
		{"more commands than bytes", []byte{1, 0xff, 0xff, 0xff, 0x7f}, []string{"truncated"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := setUp(t)
			before := m.dump(t)
			defer func() {
				text := fmt.Sprint(recover())
				for _, s := range tc.says {
					if !strings.Contains(text, s) {
						t.Errorf("panic %q lacks %q", text, s)
					}
				}
				if m.dump(t) != before {
					t.Error("something changed")
				}
			}()
			m.Apply(&raft.Log{Index: 77, Data: tc.entry})
		})
	}
}

func TestACommandOfNoKindCannotBeProposed(t *testing.T) {
	type stranger struct{ PolicySet }
	if _, err := Encode(stranger{}); err == nil || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("got %v", err)
	}
}

// TestGoldenCommands compares each command's bytes with recorded ones, and reads those: a log
// that was written has to stay readable.
func TestGoldenCommands(t *testing.T) {
	for _, s := range samples() {
		name := fmt.Sprintf("%02d-%s.golden", s.kind, reflect.TypeOf(s.command).Name())
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "commands", name)
			entry, err := Encode(s.command)
			if err != nil {
				t.Fatal(err)
			}
			text := hex.Dump(entry)
			if *update {
				write(t, file, []byte(text))
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("encodes as\n%s\nwant\n%s", text, want)
			}
			got, err := Decode(fromDump(t, string(want)))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, []Command{s.command}) {
				t.Errorf("decodes as\n%+v\nwant\n%+v", got[0], s.command)
			}
		})
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// fromDump reverses hex.Dump.
func fromDump(t *testing.T, dump string) []byte {
	t.Helper()
	var out []byte
	for line := range strings.Lines(dump) {
		data, err := hex.DecodeString(strings.Join(strings.Fields(line[8:59]), ""))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data...)
	}
	return out
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		entry, err := Encode(s.command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		cmds, err := Decode(entry)
		if err != nil {
			return
		}
		again, err := Encode(cmds...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
	})
}
