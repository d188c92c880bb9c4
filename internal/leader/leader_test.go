package leader

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// fakeRaft applies each command at once, except for the first so many.
type fakeRaft struct {
	leads chan bool

	mu       sync.Mutex
	fsm      *fsm.FSM
	index    uint64
	refusals int
	commands []fsm.Command
	before   func(fsm.Command) // called without the lock; may be nil
}

func (r *fakeRaft) LeaderCh() <-chan bool { return r.leads }

func (r *fakeRaft) Propose(_ context.Context, cmd fsm.Command) (uint64, error) {
	if r.before != nil {
		r.before(cmd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals > 0 {
		r.refusals--
		return 0, errs.New(errs.Unavailable, "No cluster leader")
	}
	data, err := fsm.Encode(cmd)
	if err != nil {
		return 0, err
	}
	r.commands = append(r.commands, cmd)
	r.index++
	return r.index, r.fsm.Apply(&raft.Log{Index: r.index, Data: data}).(fsm.Applied).Errors[0]
}

// proposed returns how many commands were applied.
func (r *fakeRaft) proposed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.commands)
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line...)
	return len(line), nil
}

// server is one server with a leader's tasks.
type server struct {
	*Leader
	t     *testing.T
	state *state.Store
	raft  *fakeRaft
	log   *lines
	stop  func()
}

func newServer(t *testing.T) *server {
	store := state.New()
	s := &server{t: t, state: store, log: &lines{}, raft: &fakeRaft{leads: make(chan bool, 1), fsm: fsm.New(store), index: 10}}
	s.Leader = &Leader{Raft: s.raft, Store: store, Node: "srv1", ACLs: true, Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))}
	return s
}

// run starts the tasks; the server leads at once.
func (s *server) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	s.stop = func() {
		cancel()
		done.Wait()
	}
	s.raft.leads <- true
	synctest.Wait()
}

// take returns what was logged since the last call.
func (s *server) take() string {
	synctest.Wait()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	text := string(s.log.text)
	s.log.text = nil
	return text
}

func (s *server) token(secret logging.Secret) *acl.Token {
	s.t.Helper()
	t, err := s.state.Read().TokenBySecret(nil, secret)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// add makes a token whose life ends after a while and returns its secret.
func (s *server) add(life time.Duration, local bool) logging.Secret {
	s.t.Helper()
	end := time.Now().Add(life)
	t := acl.Token{
		AccessorID: uuid.New(), SecretID: logging.Secret(uuid.New()), Local: local,
		CreateTime: time.Now(), ExpirationTime: &end, Scope: tenancy.Default,
	}
	if _, err := s.raft.Propose(context.Background(), fsm.TokenSet{Token: t, Create: true}); err != nil {
		s.t.Fatal(err)
	}
	return t.SecretID
}

// elected is what is logged at the beginning of each term.
const elected = `msg="cluster leadership acquired"
msg="New leader elected" payload=srv1
`

func TestACLsAreInitializedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.InitialManagement = "not a UUID"
		s.run()
		defer s.stop()
		const want = elected + `msg="initializing acls"
msg="Created ACL 'global-management' policy"
msg="Created ACL 'builtin/global-read-only' policy"
msg="Bootstrapped ACL token from configuration" description="Initial Management Token"
msg="Created ACL anonymous token from configuration"
`
		if got := s.take(); got != want {
			t.Errorf("logged\n%swant\n%s", got, want)
		}
		tx := s.state.Read()
		for _, p := range acl.BuiltinPolicies() {
			if got, err := tx.Policy(nil, tenancy.Default, p.ID); err != nil || got == nil || got.Rules != p.Rules {
				t.Errorf("policy %s: %+v, %v", p.Name, got, err)
			}
		}
		if got := s.token(acl.AnonymousSecret); got == nil || got.AccessorID != acl.AnonymousAccessor || got.Description != acl.AnonymousDescription || len(got.Hash) != 32 {
			t.Errorf("anonymous token %+v", got)
		}
		got := s.token("not a UUID")
		if got == nil || got.Description != acl.ManagementDescription || len(got.Policies) != 1 || got.Policies[0].ID != acl.GlobalManagementID || !uuid.Valid(got.AccessorID) {
			t.Errorf("management token %+v", got)
		}
		if _, done := tx.Bootstrap(); !done {
			t.Error("bootstrap is still possible")
		}
		before := s.raft.proposed()
		s.raft.leads <- false
		s.raft.leads <- true
		if got := s.take(); got != elected+"msg=\"initializing acls\"\n" || s.raft.proposed() != before {
			t.Errorf("the second time it logged\n%s and proposed %d commands", got, s.raft.proposed()-before)
		}
	})
}

func TestACLsWithoutAManagementToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run()
		defer s.stop()
		if _, done := s.state.Read().Bootstrap(); done {
			t.Error("bootstrap is not possible")
		}
		if s.token(acl.AnonymousSecret) == nil {
			t.Error("there is no anonymous token")
		}
	})
}

func TestNothingIsMadeWithoutACLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs = false
		s.run()
		defer s.stop()
		if got := s.take(); s.raft.proposed() != 0 || got != elected {
			t.Errorf("logged\n%s and proposed %d commands", got, s.raft.proposed())
		}
	})
}

func TestInitializationIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.raft.refusals = 3
		s.run()
		defer s.stop()
		time.Sleep(10 * time.Second)
		if s.token(acl.AnonymousSecret) == nil {
			t.Error("there is no anonymous token")
		}
		if n := strings.Count(s.take(), "ACLs could not be initialized"); n != 3 {
			t.Errorf("%d complaints, want 3", n)
		}
	})
}

func TestRulesOfBuiltinPoliciesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		old := acl.BuiltinPolicies()[0]
		old.Name, old.Rules = "renamed", ""
		if _, err := s.raft.Propose(context.Background(), fsm.PolicySet{Policy: old}); err != nil {
			t.Fatal(err)
		}
		s.run()
		defer s.stop()
		got, err := s.state.Read().Policy(nil, tenancy.Default, old.ID)
		if err != nil || got.Rules != acl.BuiltinPolicies()[0].Rules || got.Name != "renamed" {
			t.Errorf("policy %+v, %v", got, err)
		}
	})
}

// A token is removed when its life ends: not before, and not much later,
// whichever was made first. Nothing is proposed as long as none ends.
func TestExpiredTokensAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		late := s.add(time.Hour, true)
		s.run()
		defer s.stop()
		early := s.add(90*time.Second, true)
		twin := s.add(90*time.Second, false)
		never := s.add(math.MaxInt64, false) // beyond what counts as nanoseconds since 1970
		s.take()
		before := s.raft.proposed()
		time.Sleep(90*time.Second - time.Nanosecond)
		synctest.Wait()
		if s.token(early) == nil || s.raft.proposed() != before {
			t.Error("a token was removed before its end")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s.token(early) != nil || s.token(twin) != nil || s.token(late) == nil {
			t.Error("not just the tokens that end were removed")
		}
		const want = `msg="deleted expired ACL tokens" amount=1 locality=local
msg="deleted expired ACL tokens" amount=1 locality=global
`
		if got := s.take(); got != want {
			t.Errorf("logged\n%s", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.token(late) != nil || s.token(never) == nil {
			t.Error("not just the tokens that end were removed")
		}
		if n := s.raft.proposed() - before; n != 2 {
			t.Errorf("%d commands, want 2", n)
		}
	})
}

func TestManyExpiredTokensAreRemovedInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run()
		defer s.stop()
		secrets := make([]logging.Secret, 2*batch+1)
		for i := range secrets {
			secrets[i] = s.add(time.Minute, true)
		}
		before := s.raft.proposed()
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, secret := range secrets {
			if s.token(secret) != nil {
				t.Fatal("a token is left")
			}
		}
		if n := s.raft.proposed() - before; n != 3 {
			t.Errorf("%d commands, want 3", n)
		}
	})
}

func TestNothingIsRemovedByAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run()
		defer s.stop()
		secret := s.add(time.Minute, true)
		s.raft.leads <- false
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.token(secret) == nil {
			t.Error("a follower removed a token")
		}
		s.raft.leads <- true
		synctest.Wait()
		if s.token(secret) != nil {
			t.Error("the next leader left an expired token")
		}
	})
}
