package endpoint

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/tenancy"
)

// replica is a server whose part in replication the test decides.
type replica struct {
	mu      sync.Mutex // guards leader and self
	leader  string
	self    bool
	lease   error
	applied chan uint64 // what has to be applied, each time
	behind  error       // of WaitApplied
	proofs  int
	leases  int
	learnt  uint64
}

func (r *replica) Route() (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader, r.self
}

func (r *replica) LeaseIndex(context.Context) (uint64, error) { r.leases++; return 7, r.lease }

func (r *replica) ReadIndex(context.Context) (uint64, error) { r.proofs++; return 8, nil }

func (r *replica) Learn(_ context.Context, c raftnode.Commitment) { r.learnt = c.Index }

func (r *replica) WaitApplied(ctx context.Context, index uint64) error {
	select {
	case r.applied <- index:
		return r.behind
	case <-ctx.Done():
		return errs.Errorf(errs.Unavailable, "behind: %w", ctx.Err())
	}
}

// question asked of a leader.
type asked struct {
	leader string
	verify bool
}

func TestAReadIsAsFreshAsItAsksFor(t *testing.T) {
	tests := []struct {
		name    string
		replica *replica
		read    Read
		asks    []asked
		applied uint64 // waited for; 0 is nothing
		proofs  int
	}{
		{name: "stale on a follower", replica: &replica{leader: "l"}, read: Read{Stale: true}},
		{name: "stale without a leader", read: Read{Stale: true}},
		{name: "default on a follower", replica: &replica{leader: "l"}, asks: []asked{{"l", false}}, applied: 41},
		{name: "consistent on a follower", replica: &replica{leader: "l"}, read: Read{Consistent: true}, asks: []asked{{"l", true}}, applied: 42},
		{name: "default on the leader", replica: &replica{self: true}},
		{name: "consistent on the leader", replica: &replica{self: true}, read: Read{Consistent: true}, applied: 8, proofs: 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := cmp.Or(tc.replica, &replica{})
			r.applied = make(chan uint64, 1)
			var asks []asked
			c := &Consistency{Raft: r, Ask: func(_ context.Context, leader string, verify bool) (raftnode.Commitment, error) {
				asks = append(asks, asked{leader, verify})
				if verify {
					return raftnode.Commitment{Index: 42}, nil
				}
				return raftnode.Commitment{Index: 41}, nil
			}}
			if err := c.Fresh(t.Context(), tc.read); err != nil {
				t.Fatal(err)
			}
			if len(asks) != len(tc.asks) || len(asks) > 0 && asks[0] != tc.asks[0] || r.proofs != tc.proofs {
				t.Errorf("asked %v, %d proofs", asks, r.proofs)
			}
			var applied uint64
			select {
			case applied = <-r.applied:
			default:
			}
			if applied != tc.applied || len(asks) > 0 && r.learnt != tc.applied {
				t.Errorf("waited for %d, want %d", applied, tc.applied)
			}
		})
	}
}

func TestAReadWaitsForALeaderButNotForEver(t *testing.T) {
	cut := errors.New("connection refused")
	tests := []struct {
		name   string
		change func(*replica) // after two seconds
		ask    error
		hangs  bool
		ctx    func(context.Context) context.Context
		behind bool
		took   time.Duration // at least, and at most 300 ms more
		err    error         // in the chain
	}{
		{name: "no leader", took: 7 * time.Second, err: raftnode.ErrNoLeader},
		{name: "no leader and somebody else who waits", ctx: Hurried, took: 0, err: raftnode.ErrNoLeader},
		{name: "one is elected", change: func(r *replica) { r.leader = "l" }, took: 2 * time.Second},
		{name: "this server is elected", change: func(r *replica) { r.self = true }, took: 2 * time.Second},
		{name: "it cannot be reached", change: func(r *replica) { r.leader = "l" }, ask: cut, took: 7 * time.Second, err: raftnode.ErrNoLeader},
		{name: "it does not answer", change: func(r *replica) { r.leader = "l" }, hangs: true, took: 7 * time.Second, err: raftnode.ErrNoLeader},
		{name: "it does not lead", change: func(r *replica) { r.leader = "l" }, ask: raftnode.ErrNoLeader, took: 7 * time.Second, err: raftnode.ErrNoLeader},
		{name: "this server stays behind", change: func(r *replica) { r.leader = "l" }, behind: true, took: 7 * time.Second, err: context.DeadlineExceeded},
		{name: "this server stays behind and somebody waits", ctx: Hurried, behind: true,
			change: func(r *replica) { r.leader = "l" }, took: 0, err: raftnode.ErrNoLeader},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &replica{applied: make(chan uint64, 1000)}
				if tc.behind {
					r.applied = make(chan uint64)
				}
				c := &Consistency{Raft: r, Ask: func(ctx context.Context, _ string, _ bool) (raftnode.Commitment, error) {
					if tc.hangs {
						<-ctx.Done()
						return raftnode.Commitment{}, ctx.Err()
					}
					return raftnode.Commitment{Index: 9}, tc.ask
				}}
				if tc.change != nil {
					time.AfterFunc(2*time.Second, func() {
						r.mu.Lock()
						defer r.mu.Unlock()
						tc.change(r)
					})
				}
				ctx := t.Context()
				if tc.ctx != nil {
					ctx = tc.ctx(ctx)
				}
				began := time.Now()
				err := c.CatchUp(ctx)
				if took := time.Since(began); took < tc.took || took > tc.took+300*time.Millisecond {
					t.Errorf("took %v", took)
				}
				if tc.err == nil && err != nil || tc.err != nil && (!errors.Is(err, tc.err) || errs.KindOf(err) != errs.Unavailable) {
					t.Errorf("got %v", err)
				}
				time.Sleep(askTimeout) // of the bubble: until the last question has ended too
				if err != nil && tc.err == raftnode.ErrNoLeader && !strings.HasPrefix(err.Error(), "No cluster leader") {
					t.Errorf("text %q", err)
				}
			})
		})
	}
}

func TestAReadEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Consistency{Raft: &replica{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := c.Fresh(ctx, Read{}); errs.KindOf(err) != errs.Unavailable || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestAnUnknownTokenIsLookedForBeforeItIsRefused(t *testing.T) {
	w := newWorld(t)
	lost := errs.New(errs.Unavailable, "No cluster leader")
	var issued *acl.Token
	asked := 0
	catchUp := func(context.Context) error {
		asked++
		if issued == nil { // it is on its way
			issued = w.token(tenancy.Default, acl.Token{SecretID: "11111111-2222-4333-8444-555555555555"})
		}
		return nil
	}
	const late, never = logging.Secret("11111111-2222-4333-8444-555555555555"), logging.Secret("11111111-2222-4333-8444-000000000000")

	t.Run("by every route that needs a token", func(t *testing.T) {
		w.Resolver.CatchUp = catchUp
		who, err := w.Resolver.Resolve(ctx, late)
		if err != nil || who.AccessorID != issued.AccessorID || asked != 1 {
			t.Fatalf("%+v, %v after %d questions", who.AccessorID, err, asked)
		}
		if _, err := w.Resolver.Resolve(ctx, late); err != nil || asked != 1 {
			t.Errorf("a known token asks again: %d, %v", asked, err)
		}
		for range 2 { // nobody remembers what was not there
			if _, err := w.Resolver.Resolve(ctx, never); !errors.Is(err, acl.ErrNotFound) {
				t.Errorf("no such token: %v", err)
			}
		}
		if asked != 3 {
			t.Errorf("asked %d times", asked)
		}
	})
	t.Run("by the route that shows it, also when stale", func(t *testing.T) {
		if err := w.tokens.Delete(ctx, w.root, tenancy.Default, issued.AccessorID); err != nil {
			t.Fatal(err)
		}
		issued, asked = nil, 0
		w.Resolver.CatchUp = catchUp
		got, _, err := w.tokens.Self(ctx, late, Read{Stale: true})
		if err != nil || got.AccessorID != issued.AccessorID || asked != 1 {
			t.Errorf("%+v, %v after %d questions", got, err, asked)
		}
		if _, _, err := w.tokens.Self(ctx, never, Read{}); !errors.Is(err, acl.ErrNotFound) {
			t.Errorf("no such token: %v", err)
		}
	})
	t.Run("and is not refused where nobody knows", func(t *testing.T) {
		w.Resolver.CatchUp = func(context.Context) error { return lost }
		if _, err := w.Resolver.Resolve(ctx, never); !errors.Is(err, lost) || errors.Is(err, acl.ErrNotFound) {
			t.Errorf("resolve: %v", err)
		}
		if _, _, err := w.tokens.Self(ctx, never, Read{}); !errors.Is(err, lost) {
			t.Errorf("self: %v", err)
		}
		if _, err := w.Resolver.Describe(ctx, ResolveRequest{Secret: never}); !errors.Is(err, lost) {
			t.Errorf("describe: %v", err)
		}
		if _, err := w.Resolver.Resolve(ctx, late); err != nil {
			t.Errorf("a known token: %v", err)
		}
	})
	t.Run("also when its old life is over", func(t *testing.T) {
		asked = 0
		w.Resolver.CatchUp = catchUp
		end := w.clock.Add(time.Hour)
		short := w.token(tenancy.Default, acl.Token{ExpirationTime: &end})
		w.clock = end
		if _, err := w.Resolver.Resolve(ctx, short.SecretID); !errors.Is(err, acl.ErrNotFound) || asked != 1 {
			t.Errorf("%v after %d questions", err, asked)
		}
	})
}

// A default read on a follower decides by the token as it is after the wait for
// the leader's index.
func TestATokenThatEndedMeanwhileReadsNothing(t *testing.T) {
	w := newWorld(t)
	w.policy(tenancy.Default, "reader", `acl = "read"`)
	who := w.caller(tenancy.Default, `acl = "read"`)
	w.Fresh = func(context.Context, Read) error {
		return w.tokens.Delete(ctx, w.root, tenancy.Default, who.AccessorID)
	}
	if _, _, err := w.policies.List(ctx, who, PolicyList{Scope: tenancy.Default}); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
