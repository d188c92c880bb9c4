package telemetry

import (
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"nothing", Filter{}, "raft.apply raft.peers kvs.apply"},
		{"one part is left out", Filter{Rules: []string{"-consul.raft"}}, "kvs.apply"},
		{"the longest rule counts", Filter{Rules: []string{"-consul.raft", "+consul.raft.apply"}}, "raft.apply kvs.apply"},
		{"in any order", Filter{Rules: []string{"+consul.raft.apply", "-consul.raft"}}, "raft.apply kvs.apply"},
		{"of equal ones the one that leaves out", Filter{Rules: []string{"+consul.raft", "-consul.raft", "+consul.raft"}}, "kvs.apply"},
		{"only what is mentioned", Filter{Rules: []string{"+consul.kvs"}, DropOthers: true}, "kvs.apply"},
	} {
		m := New(Config{Filter: c.filter})
		changed := New(Config{})
		for _, m := range []*Metrics{m, changed} {
			for _, name := range strings.Fields("raft.apply raft.peers kvs.apply") {
				m.Gauge(name, 1)
			}
		}
		changed.SetFilter(c.filter)
		for _, m := range []*Metrics{m, changed} {
			got := map[string]bool{}
			for _, g := range m.Summary().Gauges {
				got[g.Name] = true
			}
			for _, name := range strings.Fields("raft.apply raft.peers kvs.apply") {
				if want := strings.Contains(c.want, name); got["consul."+name] != want {
					t.Errorf("%s: %s is there: %v", c.name, name, !want)
				}
			}
		}
	}
}

func TestWhatIsReadLast(t *testing.T) {
	m, c := newMetrics("")
	m.cfg.Retention = time.Minute
	total := 3.0
	m.OnRead(func() { m.CountTo("audit.lost", total); m.Gauge("members", 2) })
	m.Count("old", 1)
	m.Sample("slow", 10)
	prometheus := func() string {
		var b strings.Builder
		if err := m.WritePrometheus(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := prometheus()
	total = 5
	c.t = c.t.Add(time.Hour)
	second := prometheus()
	for _, want := range []string{"\nconsul_audit_lost 3\n", "\nconsul_members 2\n", "\nconsul_old 1\n", "\nconsul_slow{quantile=\"0.9\"} 10\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if !strings.Contains(second, "\nconsul_audit_lost 5\n") || strings.Contains(second, "consul_old") || strings.Contains(second, "consul_slow") {
		t.Errorf("after an hour:\n%s", second)
	}
}

func TestQuantilesFollowTheLastValues(t *testing.T) {
	var r reservoir
	for range 10 * kept {
		r.add(1000)
	}
	for i := range 20 * kept {
		r.add(float64(i % 100))
	}
	m, _ := newMetrics("")
	for _, v := range r.values {
		m.Sample("s", float64(v))
	}
	var b strings.Builder
	if err := m.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	if len(r.values) != kept || strings.Contains(b.String(), "1000") {
		t.Errorf("%d values kept:\n%s", len(r.values), b.String())
	}
}
