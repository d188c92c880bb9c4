package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/wire"
)

// counting returns a query about tokens and how often it ran.
func counting() (query, *int) {
	runs := new(int)
	return func(_ acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		*runs++
		_, err := tx.Tokens(ws, tenancy.Default, state.TokenFilter{})
		return tx.LastIndex(state.TableTokens), err
	}, runs
}

func TestBlockAnswersAtOnce(t *testing.T) {
	w := newWorld(t)
	w.Contact = func() (bool, time.Duration) { return false, time.Second }
	q, runs := counting()
	meta, err := w.Block(ctx, w.root, Read{}, q)
	if err != nil || *runs != 1 || meta.Index != w.state.Read().LastIndex(state.TableTokens) || meta.KnownLeader || meta.LastContact != time.Second {
		t.Errorf("without an index: %+v after %d runs, %v", meta, *runs, err)
	}
	_, err = w.Block(ctx, w.root, Read{MinIndex: meta.Index - 1}, q)
	if err != nil || *runs != 2 {
		t.Errorf("with an old index: %d runs, %v", *runs, err)
	}
	lost := errs.New(errs.Unavailable, "No cluster leader")
	w.Fresh = func(_ context.Context, r Read) error {
		if r.Consistent {
			return lost
		}
		return nil
	}
	if _, err := w.Block(ctx, w.root, Read{Consistent: true}, q); !errors.Is(err, lost) || *runs != 2 {
		t.Errorf("a consistent read without a leader: %v", err)
	}
	meta, err = w.Block(ctx, w.root, Read{}, func(acl.Caller, *state.Tx, memdb.WatchSet) (uint64, error) { return 0, nil })
	if err != nil || meta.Index != 1 || !meta.KnownLeader || meta.LastContact != 0 {
		t.Errorf("index 0 is answered as %d, %v", meta.Index, err)
	}
}

// A stale read is as stale as it allows: one whose server has not heard of the leader
// for longer is made fresh.
func TestAStaleReadHasABound(t *testing.T) {
	for _, c := range []struct {
		name  string
		read  Read
		known bool
		last  time.Duration
		fresh bool
	}{
		{"no bound", Read{Stale: true}, false, time.Hour, false},
		{"within the bound", Read{Stale: true, MaxStale: time.Second}, true, time.Second, false},
		{"beyond it", Read{Stale: true, MaxStale: time.Second}, true, time.Second + 1, true},
		{"no leader is known", Read{Stale: true, MaxStale: time.Second}, false, 0, true},
		{"not stale anyway", Read{MaxStale: time.Hour}, true, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.Contact = func() (bool, time.Duration) { return c.known, c.last }
			asked := false
			w.Fresh = func(_ context.Context, r Read) error {
				asked = true
				if r.Stale {
					t.Error("asked to be fresh, but stale")
				}
				return nil
			}
			q, _ := counting()
			meta, err := w.Block(ctx, w.root, c.read, q)
			if err != nil || asked != c.fresh {
				t.Errorf("made fresh: %v, %v", asked, err)
			}
			if c.fresh && meta.LastContact != 0 || !c.fresh && meta.LastContact != c.last {
				t.Errorf("last contact %v", meta.LastContact)
			}
		})
	}
}

// What ends a wait, and when: a change, the time asked for, the time allowed,
// the end of the caller's token, and a snapshot.
func TestBlockWaits(t *testing.T) {
	for _, c := range []struct {
		name     string
		wait     time.Duration
		event    func(w *world) // after a second
		from, to time.Duration
		err      error
	}{
		{name: "a change", wait: time.Minute, event: func(w *world) { w.token(tenancy.Default, acl.Token{}) }, from: time.Second, to: time.Second},
		{name: "the time asked for", wait: time.Minute, from: time.Minute, to: time.Minute + time.Minute/16},
		{name: "a change elsewhere does not end it", wait: time.Minute, from: time.Minute, to: time.Minute + time.Minute/16,
			event: func(w *world) { w.policy(tenancy.Default, "p", "") }},
		{name: "no time asked for", from: 5 * time.Minute, to: 5*time.Minute + 5*time.Minute/16},
		{name: "more time than is allowed", wait: time.Hour, from: 10 * time.Minute, to: 10*time.Minute + 10*time.Minute/16},
		{name: "a snapshot", wait: time.Minute, event: func(w *world) { w.restore() }, from: time.Second, to: time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				q, _ := counting()
				began := time.Now()
				if c.event != nil {
					go func() {
						time.Sleep(time.Second)
						c.event(w)
					}()
				}
				_, err := w.Block(ctx, acl.Caller{}, Read{MinIndex: w.state.Read().LastIndex(state.TableTokens), MaxWait: c.wait}, q)
				if took := time.Since(began); err != nil || took < c.from || took > c.to {
					t.Errorf("took %v, want %v to %v; %v", took, c.from, c.to, err)
				}
			})
		})
	}
}

// restore replaces the state by a copy of itself.
func (w *world) restore() {
	w.raft.mu.Lock()
	defer w.raft.mu.Unlock()
	snapshot, err := w.raft.fsm.Snapshot()
	if err != nil {
		w.t.Error(err)
		return
	}
	var sink snapshotSink
	if err := snapshot.Persist(&sink); err != nil {
		w.t.Error(err)
	}
	if err := w.raft.fsm.Restore(io.NopCloser(&sink.Buffer)); err != nil {
		w.t.Error(err)
	}
}

type snapshotSink struct{ bytes.Buffer }

func (*snapshotSink) Close() error  { return nil }
func (*snapshotSink) Cancel() error { return nil }
func (*snapshotSink) ID() string    { return "" }

// A query that waits ends with the token that it was asked with.
func TestCVE_2020_25816_BlockEndsWithTheCallersToken(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(w *world, t *acl.Token)
		after time.Duration
	}{
		{"deleted", func(w *world, t *acl.Token) {
			time.Sleep(time.Second)
			w.propose(fsm.TokenDelete{Scope: t.Scope, AccessorID: t.AccessorID})
		}, time.Second},
		{"expired", func(*world, *acl.Token) {}, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.clock = time.Now()
				w.Now, w.Resolver.Now = time.Now, time.Now
				p := w.policy(tenancy.Default, "p", `acl = "read"`)
				token := must(w.tokens.Create(ctx, w.root, TokenWrite{
					Token:         acl.Token{Policies: []acl.Link{{ID: p.ID}}, Scope: tenancy.Default},
					ExpirationTTL: wire.OptionalDuration(2 * time.Minute),
				}))(t)
				who := w.resolve(token.SecretID)
				began := time.Now()
				go c.end(w, token)
				_, _, err := w.policies.List(ctx, who, PolicyList{Scope: tenancy.Default, Read: Read{MinIndex: 1 << 40}})
				wantError(t, err, errs.Denied, "ACL not found")
				if took := time.Since(began); took != c.after {
					t.Errorf("took %v, want %v", took, c.after)
				}
			})
		})
	}
}

// A query that waits loses what it may see together with its caller.
func TestBlockSeesThatAPermissionIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.policy(tenancy.Default, "p", `acl = "read"`)
		who := w.resolve(w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}}).SecretID)
		go func() {
			time.Sleep(time.Second)
			empty := *p
			empty.Rules = ""
			must(w.policies.Update(ctx, w.root, p.ID, empty))(t)
		}()
		index := w.state.Read().LastIndex(state.TablePolicies)
		_, _, err := w.policies.List(ctx, who, PolicyList{Scope: tenancy.Default, Read: Read{MinIndex: index}})
		if !denied(err) {
			t.Errorf("error %v", err)
		}
	})
}
