// Package telemetry keeps an agent's metrics in memory, its own and those of the
// libraries that it is made of, under the names that Consul's dashboards use, and
// shows them as JSON or in the text format of Prometheus (spec: agent.md section 16).
package telemetry

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// Interval is what counters and samples are summed up over in a Summary.
	Interval = 10 * time.Second
	// maxSeries bounds how many different metrics are kept; what comes later is not.
	maxSeries = 4096
)

// Config says how metrics are named. The zero value works.
type Config struct {
	Prefix   string           // of every name; empty is "consul"
	Hostname string           // follows the prefix in the names of gauges in a Summary; empty leaves it out
	Now      func() time.Time // nil is time.Now
	Filter   Filter           // which metrics are kept

	// Retention leaves series out of what Prometheus reads that have not changed for so long; 0
	// leaves out none.
	Retention time.Duration
}

// Metrics are the metrics of one agent. They are safe for concurrent use. A nil
// *Metrics keeps nothing.
type Metrics struct {
	cfg   Config
	begun int64 // interval

	mu     sync.Mutex // guards what follows
	filter Filter
	series map[string]*series
	read   []func() // see OnRead
}

// Label makes one series of a metric differ from another.
type Label struct{ Name, Value string }

// New returns metrics without any.
func New(cfg Config) *Metrics {
	if cfg.Prefix == "" {
		cfg.Prefix = "consul"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Metrics{cfg: cfg, filter: cfg.Filter, series: map[string]*series{}}
	m.begun = m.interval()
	return m
}

type kind byte

const (
	gauge   kind = 'g'
	counter kind = 'c'
	sample  kind = 's'

	counterTotal kind = 'C' // a counter, of which the total is told
)

// series is one metric with one set of labels.
type series struct {
	kind   kind
	name   string // without prefix
	labels []Label

	unwanted bool      // by the filter: nothing is kept of it
	changed  time.Time // when something was noted
	value    float64   // of a gauge
	total    aggregate // since the start
	interval int64     // that current is of
	current  aggregate
	previous aggregate // of the interval before
	recent   reservoir // of a sample
}

// aggregate sums up what was seen of a counter or sample.
type aggregate struct {
	count                  int
	sum, squares, min, max float64
}

func (a *aggregate) add(v float64) {
	if a.count == 0 {
		a.min, a.max = v, v
	}
	a.count++
	a.sum += v
	a.squares += v * v
	a.min, a.max = min(a.min, v), max(a.max, v)
}

func (a *aggregate) mean() float64 {
	if a.count == 0 {
		return 0
	}
	return a.sum / float64(a.count)
}

func (a *aggregate) deviation() float64 {
	n := float64(a.count)
	if a.count < 2 {
		return 0
	}
	return math.Sqrt(max(0, (n*a.squares-a.sum*a.sum)/(n*(n-1))))
}

// Gauge sets what the metric is now. name is without the prefix, its parts are
// joined by dots.
func (m *Metrics) Gauge(name string, value float64, labels ...Label) {
	m.observe(gauge, name, value, labels)
}

// Count adds n to what has been counted.
func (m *Metrics) Count(name string, n float64, labels ...Label) {
	m.observe(counter, name, n, labels)
}

// Sample notes one value of many.
func (m *Metrics) Sample(name string, value float64, labels ...Label) {
	m.observe(sample, name, value, labels)
}

// CountTo makes what has been counted total, which somebody else counts.
func (m *Metrics) CountTo(name string, total float64, labels ...Label) {
	m.observe(counterTotal, name, total, labels)
}

// OnRead has f called before the metrics are shown, to set those that cost something to find out.
func (m *Metrics) OnRead(f func()) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read = append(m.read, f)
}

// SetFilter changes which metrics are kept.
func (m *Metrics) SetFilter(f Filter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter = f
	for _, s := range m.series {
		s.unwanted = !f.keeps(m.cfg.Prefix + "." + s.name)
	}
}

// Since notes the milliseconds since start as a sample.
func (m *Metrics) Since(name string, start time.Time, labels ...Label) {
	if m != nil {
		m.observe(sample, name, float64(m.cfg.Now().Sub(start))/float64(time.Millisecond), labels)
	}
}

func (m *Metrics) interval() int64 { return m.cfg.Now().UnixNano() / int64(Interval) }

// maxKey is the room that most keys fit into.
const maxKey = 128

func (m *Metrics) observe(k kind, name string, v float64, labels []Label) {
	if m == nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	told := k
	if k == counterTotal {
		k = counter
	}
	key := append(make([]byte, 0, maxKey), byte(k))
	key = append(key, name...)
	for _, l := range labels {
		key = append(append(key, 0), l.Name...)
		key = append(append(key, 0), l.Value...)
	}
	at := m.cfg.Now()
	now := at.UnixNano() / int64(Interval)
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.series[string(key)]
	if !known {
		if len(m.series) >= maxSeries {
			return
		}
		s = &series{kind: k, name: strings.Clone(name), labels: slices.Clone(labels), interval: now}
		s.unwanted = !m.filter.keeps(m.cfg.Prefix + "." + name)
		m.series[string(key)] = s
	}
	if s.unwanted {
		return
	}
	s.note(told, v, at, now)
}

// note takes over a value that comes at a time, in an interval.
func (s *series) note(told kind, v float64, at time.Time, interval int64) {
	if told == gauge {
		s.value, s.changed = v, at
		return
	}
	if told == counterTotal {
		if v -= s.total.sum; v <= 0 && s.total.count > 0 {
			return
		}
	}
	s.changed = at
	s.roll(interval)
	s.current.add(v)
	s.total.add(v)
	if told == sample {
		s.recent.add(v)
	}
}

// roll makes current that of interval now.
func (s *series) roll(now int64) {
	if now <= s.interval {
		return
	}
	s.previous = aggregate{}
	if now == s.interval+1 {
		s.previous = s.current
	}
	s.current, s.interval = aggregate{}, now
}

// all returns copies of all series, ordered by name and labels, with what the
// runtime tells now.
func (m *Metrics) all() (now int64, list []series) {
	m.observeRuntime()
	m.mu.Lock()
	before := m.read
	m.mu.Unlock()
	for _, f := range before {
		f()
	}
	now = m.interval()
	m.mu.Lock()
	for _, s := range m.series {
		if !s.unwanted {
			s.roll(now)
			list = append(list, s.copy())
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b series) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return slices.CompareFunc(a.labels, b.labels, func(a, b Label) int { return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value) })
	})
	return now, list
}

// observeRuntime sets the gauges of the Go runtime. They cost nothing until
// somebody looks.
func (m *Metrics) observeRuntime() {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m.Gauge("runtime.num_goroutines", float64(runtime.NumGoroutine()))
	m.Gauge("runtime.alloc_bytes", float64(s.Alloc))
	m.Gauge("runtime.sys_bytes", float64(s.Sys))
	m.Gauge("runtime.malloc_count", float64(s.Mallocs))
	m.Gauge("runtime.free_count", float64(s.Frees))
	m.Gauge("runtime.heap_objects", float64(s.HeapObjects))
	m.Gauge("runtime.total_gc_pause_ns", float64(s.PauseTotalNs))
	m.Gauge("runtime.total_gc_runs", float64(s.NumGC))
}
