package endpoint

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// follow returns everything that a feed tells within a time.
func follow(t *testing.T, f *ChangeFeed, within time.Duration) (told []Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		some, err := f.Next(ctx)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			return told
		}
		told = append(told, some...)
	}
}

func TestWhatIsTold(t *testing.T) {
	web := tenancy.Scope{Partition: "default", Namespace: "web"}
	for _, tc := range []struct {
		name   string
		change func(w *world, token *acl.Token)
		want   func(token *acl.Token) []Change // without the index
	}{
		{"a token that is new is not", func(w *world, _ *acl.Token) { w.token(tenancy.Default, acl.Token{}) },
			func(*acl.Token) []Change { return nil }},
		{"a token that is deleted", func(w *world, token *acl.Token) {
			if err := w.tokens.Delete(ctx, w.root, web, token.AccessorID); err != nil {
				t.Fatal(err)
			}
		}, func(token *acl.Token) []Change {
			return []Change{{Kind: ChangeToken, Accessor: token.AccessorID, Gone: true}}
		}},
		{"a token that is changed", func(w *world, token *acl.Token) {
			changed := *token
			changed.Description = "another"
			must(w.tokens.Update(ctx, w.root, token.AccessorID, TokenWrite{Token: changed}))(t)
		}, func(token *acl.Token) []Change {
			return []Change{{Kind: ChangeToken, Accessor: token.AccessorID}}
		}},
		{"a policy that is new is not", func(w *world, _ *acl.Token) { w.policy(web, "new", "") },
			func(*acl.Token) []Change { return nil }},
		{"a policy", func(w *world, _ *acl.Token) {
			p := w.policy(web, "p", "")
			p.Rules = `key_prefix "" { policy = "read" }`
			must(w.policies.Update(ctx, w.root, p.ID, *p))(t)
		}, func(*acl.Token) []Change { return []Change{{Kind: ChangeAll}} }},
		{"a role", func(w *world, _ *acl.Token) {
			r := w.role(web, acl.Role{Name: "r"})
			if err := w.roles.Delete(ctx, w.root, web, r.ID); err != nil {
				t.Fatal(err)
			}
		}, func(*acl.Token) []Change { return []Change{{Kind: ChangeAll}} }},
		{"the defaults of a namespace", func(w *world, _ *acl.Token) {
			p := w.policy(tenancy.Default, "d", "")
			must(w.spaces.Set(ctx, w.root, "web", tenancy.Namespace{Name: "web", Partition: "default",
				ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: p.ID}}}}))(t)
		}, func(*acl.Token) []Change { return []Change{{Kind: ChangeAll}} }},
		{"a snapshot", func(w *world, _ *acl.Token) { w.restore() },
			func(*acl.Token) []Change { return []Change{{Kind: ChangeAll}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := &Changes{}
				w.state.Observe(c.Note)
				token := w.token(w.in("default", "web"), acl.Token{})
				feed := c.Feed()
				if first, err := feed.Next(t.Context()); err != nil || len(first) != 1 || first[0].Kind != ChangeAll {
					t.Fatalf("the first line is %+v, %v", first, err)
				}
				tc.change(w, token)
				got := follow(t, feed, time.Second)
				for i := range got {
					if got[i].Kind != ChangeAll && got[i].Index != w.state.Read().LastWrite() {
						t.Errorf("index %d, want %d", got[i].Index, w.state.Read().LastWrite())
					}
					got[i].Index = 0
				}
				if want := tc.want(token); !slices.Equal(got, want) {
					t.Errorf("told %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestASlowFollowerIsToldToForgetEverything(t *testing.T) {
	w := newWorld(t)
	c := &Changes{}
	w.state.Observe(c.Note)
	quick, slow := c.Feed(), c.Feed()
	next := func(f *ChangeFeed) []Change { return must(f.Next(t.Context()))(t) }
	next(quick)
	next(slow)
	const tokens = keptChanges + 1
	told := 0
	for i := range tokens {
		token := w.token(tenancy.Default, acl.Token{})
		if err := w.tokens.Delete(ctx, w.root, tenancy.Default, token.AccessorID); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 || i == tokens-1 {
			told += len(next(quick))
		}
	}
	if told != tokens {
		t.Errorf("who kept up was told %d of %d", told, tokens)
	}
	if got := next(slow); len(got) != 1 || got[0].Kind != ChangeAll || got[0].Index == 0 {
		t.Errorf("who did not was told %d changes", len(got))
	}
}

// A beat says that nothing was missed. A server that cannot know keeps silent.
func TestOnlyAServerThatIsUpToDateSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var down, hang atomic.Bool
		c := &Changes{CatchUp: func(ctx context.Context) error {
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			if down.Load() {
				return errs.New(errs.Unavailable, "No cluster leader")
			}
			return nil
		}}
		w.state.Observe(c.Note)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		feed := c.Feed()
		if _, err := feed.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		beats := func(within time.Duration) (n int) {
			for _, change := range follow(t, feed, within) {
				if change.Kind != ChangeAlive {
					t.Errorf("told %+v", change)
				}
				n++
			}
			return n
		}
		if n := beats(10 * ChangeBeat); n < 8 || n > 11 {
			t.Errorf("%d beats in the time of 10", n)
		}
		down.Store(true)
		if n := beats(10 * ChangeBeat); n > 1 {
			t.Errorf("%d beats without a leader", n)
		}
		down.Store(false)
		if n := beats(10 * ChangeBeat); n < 7 {
			t.Errorf("%d beats after it came back", n)
		}
		hang.Store(true)
		if n := beats(10 * ChangeBeat); n > 1 {
			t.Errorf("%d beats while this server does not catch up", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkNote is what a write costs more for 10,000 followers.
func BenchmarkNote(b *testing.B) {
	w := newWorld(b)
	c := &Changes{}
	w.state.Observe(c.Note)
	ctx, stop := context.WithCancel(b.Context())
	followers := make(chan struct{})
	for range 10000 {
		go func() {
			f := c.Feed()
			for {
				if _, err := f.Next(ctx); err != nil {
					followers <- struct{}{}
					return
				}
			}
		}()
	}
	b.ReportAllocs()
	for b.Loop() {
		token := w.token(tenancy.Default, acl.Token{})
		if err := w.tokens.Delete(ctx, w.root, tenancy.Default, token.AccessorID); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	for range 10000 {
		<-followers
	}
}
