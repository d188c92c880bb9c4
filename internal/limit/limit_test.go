package limit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

func TestSourceOf(t *testing.T) {
	for _, c := range []struct{ name, remote, want string }{
		{"an IPv4 address", "10.1.2.3:4000", "10.1.2.3"},
		{"one that is written as IPv6", "[::ffff:10.1.2.3]:4000", "10.1.2.3"},
		{"a network of IPv6", "[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"},
		{"another host of it", "[2001:db8:1:2::9%eth0]:1", "2001:db8:1:2::/64"},
		{"a unix socket", "@", "local"},
	} {
		if got := SourceOf(c.remote); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := Source(WithSource(t.Context(), "a")); got != "a" || Source(t.Context()) != "" {
		t.Errorf("source of a context: %q", got)
	}
}

func TestRefusedSaysWhen(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		err := refuse("no", time.Second, 10*time.Second)
		if errs.KindOf(err) != errs.Throttled || err.Error() != "no" {
			t.Fatalf("%v: %v", errs.KindOf(err), err)
		}
		seen[err.RetryAfter()] = true
	}
	for second := range seen {
		if second < 1 || second > 11 {
			t.Errorf("after %d s", second)
		}
	}
	if len(seen) < 5 {
		t.Errorf("everybody comes back at the same time: %v", seen)
	}
}

func TestPlaces(t *testing.T) {
	p := &Places{PerSource: 3, Total: 5}
	for _, step := range []struct {
		source string
		n      int64
		want   bool
	}{{"a", 2, true}, {"a", 2, false}, {"a", 1, true}, {"b", 3, false}, {"b", 2, true}, {"c", 1, false}} {
		if got := p.Take(step.source, step.n); got != step.want {
			t.Errorf("%+v: %v", step, got)
		}
	}
	p.Give("a", 3)
	p.Give("b", 2)
	if p.Held() != 0 || len(p.bySource) != 0 {
		t.Errorf("%d held, %v", p.Held(), p.bySource)
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := &Rate{PerSecond: 2, Burst: 4, Now: func() time.Time { return now }}
	allowed := func(key string) (n int) {
		for r.Allow(key, "too fast") == nil {
			n++
		}
		return n
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		key   string
		want  int
	}{
		{"a burst", 0, "a", 4},
		{"of another key", 0, "b", 4},
		{"then what comes back in a second", time.Second, "a", 2},
		{"and never more than a burst", time.Hour, "a", 4},
		{"a clock that goes back gives nothing", -time.Minute, "a", 0},
	} {
		now = now.Add(step.after)
		if got := allowed(step.key); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
	var refused *Refused
	if err := r.Allow("a", "too fast"); !errors.As(err, &refused) || refused.Why != "too fast" || refused.RetryAfter() < 1 {
		t.Errorf("got %v", err)
	}
	var off *Rate
	if off.Allow("a", "") != nil || (&Rate{}).Allow("a", "") != nil {
		t.Error("no limit refuses")
	}
}

func TestAttack_RatesRememberAFewSourcesOnly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := &Rate{PerSecond: 1, Burst: 2, Now: func() time.Time { return now }}
	for i := range 3 * maxBuckets {
		_ = r.Allow(fmt.Sprint("source ", i), "")
	}
	if len(r.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(r.buckets))
	}
	if r.Allow("one more", "") == nil {
		t.Error("sources without a bucket have no limit")
	}
	now = now.Add(10 * time.Second)
	if err := r.Allow("later", ""); err != nil || len(r.buckets) > 1 {
		t.Errorf("%v: %d buckets are left of sources that are gone", err, len(r.buckets))
	}
}

// enter lets callers enter and returns the order in which they have their turns, each of which
// takes a second.
func enter(t *testing.T, q *Queue, callers []partyKey) (order []int, refused int) {
	t.Helper()
	turns := make(chan int, len(callers))
	for i, c := range callers {
		go func() {
			leave, err := q.Enter(t.Context(), c.source, c.identity)
			if err != nil {
				turns <- -1
				return
			}
			turns <- i
			time.Sleep(time.Second)
			leave()
			leave() // once is enough
		}()
		synctest.Wait() // they come in this order
	}
	for range callers {
		if i := <-turns; i >= 0 {
			order = append(order, i)
		} else {
			refused++
		}
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if running, waiting, _ := q.Stats(); running != 0 || waiting != 0 || len(q.parties) != 0 {
		t.Errorf("%d run, %d wait, %v are left", running, waiting, q.parties)
	}
	return order, refused
}

func place(order []int, caller int) int {
	for i, c := range order {
		if c == caller {
			return i
		}
	}
	return -1
}

func times(n int, of func(int) partyKey) (all []partyKey) {
	for i := range n {
		all = append(all, of(i))
	}
	return all
}

func TestAttack_NobodyWaitsForAStorm(t *testing.T) {
	honest := partyKey{"honest", "web"}
	for _, c := range []struct {
		name   string
		before []partyKey
		last   int // place that the honest caller, who comes last, may have at most: four go on at the same time
	}{
		{"one source with one identity", times(100, func(int) partyKey { return partyKey{"bad", "x"} }), 7},
		{"one source with an identity each time", times(100, func(i int) partyKey { return partyKey{"bad", fmt.Sprint(i)} }), 7},
		{"one source that claims to be the honest one", times(100, func(int) partyKey { return partyKey{"bad", "web"} }), 7},
		{"ten sources", times(100, func(i int) partyKey { return partyKey{fmt.Sprint("bad", i%10), "x"} }), 7},
		{"the honest one's own source, another identity", times(100, func(int) partyKey { return partyKey{"honest", "x"} }), 7},
		{"a hundred tasks of another role that start", times(100, func(i int) partyKey { return partyKey{fmt.Sprint("task", i), "api"} }), 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &Queue{Slots: 4, MaxWait: time.Hour}
				order, refused := enter(t, q, append(c.before, honest))
				if at := place(order, len(c.before)); at < 0 || at > c.last || refused != 0 {
					t.Errorf("the honest caller was number %d, %d refused", at, refused)
				}
			})
		})
	}
}

func TestQueueIsInOrderForEquals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order, _ := enter(t, &Queue{Slots: 1, MaxWait: time.Hour}, times(20, func(int) partyKey { return partyKey{"a", "b"} }))
		for i, c := range order {
			if i != c {
				t.Fatalf("order %v", order)
			}
		}
	})
}

func TestAttack_AFullQueueHasRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{Slots: 4, Waiting: 50, MaxWait: time.Hour}
		q.Note("bad", true)
		order, refused := enter(t, q, append(times(200, func(int) partyKey { return partyKey{"bad", "x"} }), partyKey{"honest", "web"}, partyKey{"bad", "web"}))
		if at := place(order, 200); at < 0 || at > 7 {
			t.Errorf("the honest caller was number %d", at)
		}
		if at := place(order, 201); at < 0 || at > 11 {
			t.Errorf("the other identity of a source was number %d", at)
		}
		if _, _, counted := q.Stats(); refused != 148 || counted != 148 {
			t.Errorf("%d refused, %d counted", refused, counted)
		}
	})
}

func TestAttack_WhoIsRefusedHasFewTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{Slots: 16}
		running := func() int {
			synctest.Wait()
			n, _, _ := q.Stats()
			return n
		}
		accepted := func(source string) bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.records[source].accepted
		}
		turns := func(n int, source string, accepted bool) {
			for range n {
				go func() {
					leave, err := q.Enter(t.Context(), source, "web")
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Second)
					q.Note(source, accepted)
					leave()
				}()
			}
		}
		later := func(d time.Duration) { time.Sleep(d + 100*time.Millisecond) }
		for i := range 3 {
			turns(4, fmt.Sprint("bad", i), false)
		}
		if n := running(); n != 6 {
			t.Errorf("%d of three sources that nothing is known of have their turn", n)
		}
		later(time.Second)
		if n := running(); n != 2 {
			t.Errorf("%d of those that were refused have their turn", n)
		}
		turns(2, "honest", true)
		later(time.Second)
		turns(15, "honest", true)
		if n := running(); n != 14 {
			t.Errorf("%d have their turn, 12 of a source that was accepted", n)
		}
		q.Note("bad0", true)
		if accepted("bad0") {
			t.Error("a source that was refused is trusted at once")
		}
		later(doubtFor + 5*time.Second)
		turns(4, "bad0", true)
		if n := running(); n != 2 {
			t.Errorf("%d have their turn a while after they were refused", n)
		}
		later(time.Second)
		turns(20, "bad0", true)
		if n := running(); n != 12 {
			t.Errorf("%d have their turn when they were accepted", n)
		}
		later(time.Minute)
		synctest.Wait()
		if len(q.parties) != 0 || q.refusedBefore != 0 {
			t.Errorf("%d run that were refused before, %v are left", q.refusedBefore, q.parties)
		}
	})
}

func TestAttack_AQueueRemembersAFewSourcesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{}
		for i := range 3 * maxRecords {
			q.Note(fmt.Sprint(i), false)
		}
		if len(q.records) > maxRecords {
			t.Errorf("%d sources are remembered", len(q.records))
		}
		time.Sleep(doubtFor)
		if q.Note("one more", true); len(q.records) != 1 {
			t.Errorf("%d sources are remembered later", len(q.records))
		}
	})
}

func TestAttack_TheLineOfASourceIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{Slots: 1, MaxWait: time.Hour}
		callers := append(times(100, func(i int) partyKey { return partyKey{fmt.Sprint("bad", i%2), ""} }), partyKey{"honest", ""}, partyKey{"honest", ""})
		order, _ := enter(t, q, callers)
		if first, second := place(order, 100), place(order, 101); first > 3 || second > 6 {
			t.Errorf("the honest callers are number %d and %d", first, second)
		}
	})
}

func TestQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{Slots: 1, MaxWait: 5 * time.Second}
		leave, err := q.Enter(t.Context(), "a", "a")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := q.Enter(t.Context(), "b", "b"); errs.KindOf(err) != errs.Throttled || time.Since(begun) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.Enter(ctx, "b", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that goes away: %v", err)
		}
		leave()
		if leave, err = q.Enter(t.Context(), "c", "c"); err != nil {
			t.Fatal(err)
		}
		leave()
		if len(q.parties) != 0 || q.running != 0 {
			t.Errorf("%d run, %v are left", q.running, q.parties)
		}
	})
}

func BenchmarkEnterBehindOthers(b *testing.B) {
	q := &Queue{Slots: 4}
	for i := range 4 {
		if _, err := q.Enter(b.Context(), fmt.Sprint(i), ""); err != nil {
			b.Fatal(err)
		}
	}
	for i := range DefaultWaiting / 2 {
		q.line(fmt.Sprint(i%50), fmt.Sprint(i))
	}
	for b.Loop() {
		w := q.line("x", "x")
		q.abandon(w)
	}
}
