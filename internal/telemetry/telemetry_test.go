package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	metrics "github.com/hashicorp/go-metrics/compat"
)

// clock starts where an interval does.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newMetrics(hostname string) (*Metrics, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	return New(Config{Hostname: hostname, Now: c.now}), c
}

// lines returns a summary without the runtime's gauges, a line each.
func lines(s Summary) string {
	var b strings.Builder
	for _, g := range s.Gauges {
		if !strings.Contains(g.Name, ".runtime.") {
			fmt.Fprintf(&b, "%s=%v%v ", g.Name, g.Value, g.Labels)
		}
	}
	for _, v := range append(s.Counters, s.Samples...) {
		fmt.Fprintf(&b, "%s=%d:%v:%v..%v%v ", v.Name, v.Count, v.Sum, v.Min, v.Max, v.Labels)
	}
	return strings.TrimSpace(b.String())
}

func TestSummaryIsOfTheLastWholeInterval(t *testing.T) {
	m, c := newMetrics("")
	m.Gauge("g", 1)
	m.Gauge("g", 2)
	m.Count("c", 1, Label{"a", "b"})
	m.Count("c", 2, Label{"a", "b"})
	m.Sample("s", 5)
	m.Sample("s", 3)
	const first = "consul.g=2map[] consul.c=2:3:1..2map[a:b] consul.s=2:8:3..5map[]"
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"the first is shown while it is under way", func() {}, first},
		{"and once it is complete", func() { c.t = c.t.Add(Interval) }, first},
		{"what comes now is not shown yet", func() { m.Count("c", 9, Label{"a", "b"}) }, first},
		{"until the interval is over", func() { c.t = c.t.Add(Interval) }, "consul.g=2map[] consul.c=1:9:9..9map[a:b]"},
		{"and no longer than one", func() { c.t = c.t.Add(Interval) }, "consul.g=2map[]"},
		{"an interval without anything comes between", func() { m.Sample("s", 1); c.t = c.t.Add(2 * Interval) }, "consul.g=2map[]"},
	} {
		step.do()
		if got := lines(m.Summary()); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

func TestSummaryAsJSON(t *testing.T) {
	m, _ := newMetrics("h1")
	m.Gauge("raft.applied_index", 7)
	for _, v := range []float64{2, 4, 4, 4, 5, 5, 7, 9} {
		m.Sample("raft.commitTime", v)
	}
	text, err := json.Marshal(m.Summary())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"Timestamp":"2027-01-15 08:00:00 +0000 UTC","Gauges":[{"Name":"consul.h1.raft.applied_index","Value":7,"Labels":{}},`,
		`"Points":[],"Counters":[],"Samples":[{"Name":"consul.raft.commitTime","Count":8,"Rate":4,"Sum":40,"Min":2,"Max":9,"Mean":5,"Stddev":2.138`,
		`{"Name":"consul.h1.runtime.alloc_bytes","Value":`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nlacks %s", text, want)
		}
	}
	var nothing *Metrics
	nothing.Since("x", time.Now())
	nothing.Gauge("x", 1)
	if text, err := json.Marshal(nothing.Summary()); err != nil || string(text) != `{"Timestamp":"","Gauges":[],"Points":[],"Counters":[],"Samples":[]}` {
		t.Errorf("%s %v", text, err)
	}
}

func TestPrometheus(t *testing.T) {
	m, c := newMetrics("h1")
	m.Gauge("raft.applied-index", 7)
	m.Count("api.http", 2, Label{"path", "a\"b\\c\nd\xff"}, Label{"le:x", "1"})
	m.Count("api.http", 1, Label{"path", "z"})
	m.Since("raft.apply", c.t.Add(-1500*time.Microsecond))
	c.t = c.t.Add(time.Hour)
	m.Since("raft.apply", c.t.Add(-time.Millisecond))
	m.Gauge("raft.apply", 1) // another type under the same name
	m.Gauge("bad", math.NaN())
	var b strings.Builder
	if err := m.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	own, runtime, _ := strings.Cut(b.String(), "# HELP consul_runtime")
	want := `# HELP consul_api_http consul_api_http
# TYPE consul_api_http counter
consul_api_http{path="a\"b\\c\nd` + "\uFFFD" + `",le_x="1"} 2
consul_api_http{path="z"} 1
# HELP consul_raft_applied_index consul_raft_applied_index
# TYPE consul_raft_applied_index gauge
consul_raft_applied_index 7
# HELP consul_raft_apply consul_raft_apply
# TYPE consul_raft_apply `
	if !strings.HasPrefix(own, want) {
		t.Errorf("%s\nwant\n%s", own, want)
	}
	if strings.Count(own, "# TYPE consul_raft_apply ") != 1 {
		t.Errorf("%s: one name has two types", own)
	}
	if !strings.Contains(runtime, "\nconsul_runtime_alloc_bytes ") {
		t.Errorf("%s: no alloc_bytes", runtime)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	m, _ := newMetrics("")
	for i := range 2 * maxSeries {
		m.Count("c", 1, Label{"n", fmt.Sprint(i)})
	}
	if got := len(m.series); got != maxSeries {
		t.Errorf("%d series", got)
	}
}

func TestLibrariesReportHere(t *testing.T) {
	m, _ := newMetrics("")
	if err := m.FromLibraries(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = metrics.NewGlobal(&metrics.Config{}, &metrics.BlackholeSink{}) })
	metrics.IncrCounter([]string{"raft", "apply"}, 1)
	metrics.SetGaugeWithLabels([]string{"raft", "peers"}, 3, []metrics.Label{{Name: "dc", Value: "dc1"}})
	metrics.AddSample([]string{"memberlist", "gossip"}, 0.5)
	if got := lines(m.Summary()); got != "consul.raft.peers=3map[dc:dc1] consul.raft.apply=1:1:1..1map[] consul.memberlist.gossip=1:0.5:0.5..0.5map[]" {
		t.Error(got)
	}
}

func TestNextIntervalEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NextInterval(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkSample(b *testing.B) {
	m := New(Config{})
	s := sink{m}
	key := []string{"raft", "commitTime"}
	b.ReportAllocs()
	for b.Loop() {
		s.AddSample(key, 1)
	}
}
