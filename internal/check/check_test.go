package check

import (
	"context"
	"io"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func quietLog() *log.Logger   { return log.New(io.Discard, "", 0) }
func quietSlog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// quick is the interval of checks in tests.
const quick = 2 * time.Millisecond

// tooLong is when a test gives up on what never happens.
const tooLong = time.Minute

// watched is a running check and what it tells.
type watched struct {
	t      *testing.T
	runner Runner
	told   chan Status
}

// watch runs a check until the test ends.
func watch(t *testing.T, d Definition, o Options) *watched {
	t.Helper()
	w := &watched{t: t, told: make(chan Status)}
	ctx, cancel := context.WithCancel(t.Context())
	if d.Name == "" {
		d.Name, d.CheckID = "test", "test"
	}
	if d.Interval == 0 && d.Type() != typeTTL && d.Type() != typeAlias {
		d.Interval = quick
	}
	o.MinInterval = quick
	o.Log = quietSlog()
	o.Notify = func(s Status) {
		select {
		case w.told <- s:
		case <-ctx.Done():
		}
	}
	var err error
	if w.runner, err = New(d, o); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() { w.runner.Run(ctx) })
	t.Cleanup(ended.Wait)
	t.Cleanup(cancel)
	return w
}

// next returns the next thing the check tells.
func (w *watched) next() Status {
	w.t.Helper()
	select {
	case s := <-w.told:
		return s
	case <-time.After(tooLong):
		w.t.Fatal("the check says nothing")
		return Status{}
	}
}

// until waits for a status whose output has a part in it.
func (w *watched) until(status, output string) {
	w.t.Helper()
	var last Status
	for begun := time.Now(); time.Since(begun) < tooLong; {
		if last = w.next(); last.Status == status && strings.Contains(last.Output, output) {
			return
		}
	}
	w.t.Fatalf("last was %+v, want %s with %q", last, status, output)
}

func TestNewRefusesWhatTheAgentDoesNotAllow(t *testing.T) {
	o := Options{Notify: func(Status) {}, Log: quietSlog()}
	script := Definition{Name: "x", Args: []string{"true"}, Interval: time.Second}
	if _, err := New(script, o); err != ErrScripts {
		t.Errorf("a script: %v", err)
	}
	script.DockerContainerID = "c"
	if _, err := New(script, o); err != ErrScripts {
		t.Errorf("a docker check: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := New(Definition{Name: "x", OSService: "sshd", Interval: time.Second}, o); err != ErrNotImplemented {
		t.Errorf("a service where nothing manages them: %v", err)
	}
	if _, err := New(Definition{Name: "x", AliasService: "y"}, o); err == nil {
		t.Error("an alias that nobody resolves was made")
	}
	if _, err := New(Definition{Name: "x", HTTP: "http://[::1", Interval: time.Second}, o); err == nil {
		t.Error("a broken URL was taken")
	}
}

func TestShortIntervalsRunAtTheMinimumAndSaySo(t *testing.T) {
	var log strings.Builder
	o := Options{Notify: func(Status) {}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	r, err := New(Definition{Name: "fast", CheckID: "fast", TCP: "127.0.0.1:1", Interval: time.Millisecond}, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.(*scheduled).interval; got != time.Second {
		t.Errorf("interval %v", got)
	}
	if want := `level=WARN msg="check has interval below minimum" check=fast minimum_interval=1s`; !strings.Contains(log.String(), want) {
		t.Errorf("logged %q", log.String())
	}
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name string
		d    Definition
		want time.Duration
	}{
		{"a probe's own", Definition{TCP: "h:1"}, 10 * time.Second},
		{"a script's own", Definition{Args: []string{"true"}}, 30 * time.Second},
		{"defined", Definition{TCP: "h:1", Timeout: time.Minute}, time.Minute},
		{"below nothing", Definition{TCP: "h:1", Timeout: -1}, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.d.Name, c.d.Interval = "x", time.Second
			r, err := New(c.d, Options{Scripts: true, Log: quietSlog()})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.(*scheduled).timeout; got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// given is a probe whose results are given one by one.
type given chan Status

func (g given) probe(ctx context.Context) Status {
	select {
	case s := <-g:
		return s
	case <-ctx.Done():
		return failure(ctx.Err())
	}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		name    string
		d       Definition
		results string // p, w and f, as probed
		want    string // the status after each
	}{
		{"none: each result counts", Definition{}, "pwfp", "pwcp"},
		{"three successes in a row", Definition{SuccessBeforePassing: 3}, "ppfppp", "cccccp"},
		{"two failures in a row", Definition{FailuresBeforeCritical: 2}, "pfpff", "ppppc"},
		{"a warning before", Definition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 3}, "pfffp", "pwwcp"},
		{"warnings begin where critical does", Definition{FailuresBeforeCritical: 3}, "pfff", "pppc"},
		{"a warning ends a row of failures", Definition{FailuresBeforeCritical: 2}, "pfwf", "ppww"},
		{"from a given status", Definition{Status: Passing, FailuresBeforeCritical: 2}, "ff", "pc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			probes := given(make(chan Status, 1))
			c.d.Interval = time.Nanosecond
			last := Critical
			if c.d.Status != "" {
				last = c.d.Status
			}
			o := Options{Notify: func(s Status) { last = s.Status }, Log: quietSlog()}
			o.setDefaults(&c.d)
			s := newScheduled(&c.d, &o, newReport(&c.d, &o), probes)
			got := ""
			for _, r := range c.results {
				probes <- Status{Status: map[rune]string{'p': Passing, 'w': Warning, 'f': Critical}[r]}
				s.once(t.Context())
				got += last[:1]
			}
			if got != c.want {
				t.Errorf("%s leads to %s, want %s", c.results, got, c.want)
			}
		})
	}
}

func TestWhatStartsIsProbedEachSecondUntilItPasses(t *testing.T) {
	const long = time.Hour
	for _, c := range []struct {
		name    string
		d       Definition
		results string          // c and p, the status after each probe
		want    []time.Duration // the wait after each; -1 is a random part of the interval
	}{
		{"passes at once", Definition{TCP: "h:1", Interval: long}, "pp", []time.Duration{-1, long}},
		{"passes later", Definition{TCP: "h:1", Interval: long}, "ccpc", []time.Duration{time.Second, time.Second, -1, long}},
		{"never passes", Definition{TCP: "h:1", Interval: long}, "ccccccccccc", append(slices.Repeat([]time.Duration{time.Second}, 9), -1, long)},
		{"begins passing", Definition{TCP: "h:1", Interval: long, Status: Passing}, "c", []time.Duration{long}},
		{"is a script", Definition{Args: []string{"true"}, Interval: long}, "c", []time.Duration{long}},
		{"has a short interval", Definition{TCP: "h:1", Interval: 20 * time.Millisecond}, "cp", []time.Duration{20 * time.Millisecond, -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Notify: func(Status) {}, Log: quietSlog(), MinInterval: quick}
			o.setDefaults(&c.d)
			s := newScheduled(&c.d, &o, newReport(&c.d, &o), nil)
			for i, r := range c.results {
				s.report.set(Status{Status: map[rune]string{'p': Passing, 'c': Critical}[r]})
				got, want := s.next(), c.want[i]
				if random := want < 0; random && (got < 0 || got >= c.d.Interval) || !random && got != want {
					t.Errorf("after %q: %v, want %v", c.results[:i+1], got, want)
				}
			}
		})
	}
}

func TestOnlyChangesAreTold(t *testing.T) {
	var told []Status
	r := newReport(&Definition{}, &Options{OutputMax: 8, Log: quietSlog(), Notify: func(s Status) { told = append(told, s) }})
	for _, s := range []Status{
		{Critical, ""}, {Passing, "ok"}, {Passing, "ok"}, {Passing, "fine"}, {Critical, "0123456789"}, {Critical, "01234567 89"},
		{Critical, "a\xffb"}, {Critical, "1234567ü"},
	} {
		r.set(s)
	}
	want := []Status{{Passing, "ok"}, {Passing, "fine"}, {Critical, "01234567"}, {Critical, "a\uFFFDb"}, {Critical, "1234567"}}
	if len(told) != len(want) {
		t.Fatalf("told %q", told)
	}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("told %q, want %q", told[i], want[i])
		}
	}
}

func TestAResultAfterTheEndIsNotTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	probes := given(make(chan Status))
	d := Definition{Interval: time.Nanosecond}
	o := Options{Notify: func(s Status) { t.Errorf("told %v", s) }, Log: quietSlog()}
	o.setDefaults(&d)
	s := newScheduled(&d, &o, newReport(&d, &o), probes)
	cancel()
	s.once(ctx)
}

func TestOutputLimit(t *testing.T) {
	for _, c := range []struct{ agent, own, want int }{
		{0, 0, 4096}, {100, 0, 100}, {100, 50, 50}, {100, 500, 100}, {0, 5000, 4096},
	} {
		o, d := Options{OutputMax: c.agent}, Definition{OutputMaxSize: c.own}
		if o.setDefaults(&d); o.OutputMax != c.want {
			t.Errorf("%+v: %d", c, o.OutputMax)
		}
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, c := range []struct {
		name   string
		limit  int
		writes []string
		want   string
	}{
		{"nothing", 10, nil, ""},
		{"all of it", 10, []string{"01234", "56789"}, "0123456789"},
		{"the end", 50, []string{long, "end"}, "Captured 50 of 10003 bytes\n...\n" + "4567890123456789end"},
		{"no room to say so", 4, []string{long, "x"}, "789x"},
		{"no half letters", 4, []string{"abü", "abc"}, "abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := &tail{limit: c.limit}
			for _, w := range c.writes {
				if _, err := io.WriteString(out, w); err != nil {
					t.Fatal(err)
				}
				if cap(out.last) > 16*max(c.limit, 16) {
					t.Errorf("%d bytes are held", cap(out.last))
				}
			}
			if got := out.String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
