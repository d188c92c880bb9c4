package telemetry

import (
	"fmt"
	"strings"
	"time"

	metrics "github.com/hashicorp/go-metrics/compat"
)

// FromLibraries makes raft, serf and memberlist report here. They all write to
// one global of go-metrics, so that of several agents in one process the last
// one gets everything.
func (m *Metrics) FromLibraries() error {
	cfg := &metrics.Config{TimerGranularity: time.Millisecond, FilterDefault: true}
	if _, err := metrics.NewGlobal(cfg, sink{m}); err != nil {
		return fmt.Errorf("metrics of libraries: %w", err)
	}
	return nil
}

// sink is what go-metrics writes to. Keys come in parts.
type sink struct{ to *Metrics }

func (s sink) SetGauge(key []string, v float32)    { s.SetGaugeWithLabels(key, v, nil) }
func (s sink) EmitKey(key []string, v float32)     { s.SetGaugeWithLabels(key, v, nil) }
func (s sink) IncrCounter(key []string, v float32) { s.IncrCounterWithLabels(key, v, nil) }
func (s sink) AddSample(key []string, v float32)   { s.AddSampleWithLabels(key, v, nil) }

func (s sink) SetGaugeWithLabels(key []string, v float32, labels []metrics.Label) {
	s.to.Gauge(strings.Join(key, "."), float64(v), ownLabels(labels)...)
}

func (s sink) IncrCounterWithLabels(key []string, v float32, labels []metrics.Label) {
	s.to.Count(strings.Join(key, "."), float64(v), ownLabels(labels)...)
}

func (s sink) AddSampleWithLabels(key []string, v float32, labels []metrics.Label) {
	s.to.Sample(strings.Join(key, "."), float64(v), ownLabels(labels)...)
}

func ownLabels(labels []metrics.Label) []Label {
	if len(labels) == 0 {
		return nil
	}
	own := make([]Label, len(labels))
	for i, l := range labels {
		own[i] = Label(l)
	}
	return own
}
