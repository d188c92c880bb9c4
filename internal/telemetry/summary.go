package telemetry

import (
	"context"
	"time"
)

// Summary is the metrics as /v1/agent/metrics shows them: gauges as they are,
// counters and samples over the last interval that is complete, or over the
// first one while it is under way.
type Summary struct {
	Timestamp string // when the interval began
	Gauges    []GaugeValue
	Points    []struct{} // always empty
	Counters  []SampledValue
	Samples   []SampledValue
}

// GaugeValue is a metric that has one value.
type GaugeValue struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// SampledValue sums up what was seen of a metric in an interval. Rate is the
// sum per second.
type SampledValue struct {
	Name   string
	Count  int
	Rate   float64
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels map[string]string
}

// Summary returns the metrics of the last interval.
func (m *Metrics) Summary() Summary {
	sum := Summary{Gauges: []GaugeValue{}, Points: []struct{}{}, Counters: []SampledValue{}, Samples: []SampledValue{}}
	if m == nil {
		return sum
	}
	now, list := m.all()
	shown := max(m.begun, now-1)
	sum.Timestamp = time.Unix(0, shown*int64(Interval)).UTC().Format("2006-01-02 15:04:05 -0700 MST")
	for _, s := range list {
		name, labels := m.cfg.Prefix+"."+s.name, labelMap(s.labels)
		if s.kind == gauge {
			if m.cfg.Hostname != "" {
				name = m.cfg.Prefix + "." + m.cfg.Hostname + "." + s.name
			}
			sum.Gauges = append(sum.Gauges, GaugeValue{name, s.value, labels})
			continue
		}
		seen := s.previous
		if shown == now {
			seen = s.current
		}
		if seen.count == 0 {
			continue
		}
		value := SampledValue{
			Name: name, Count: seen.count, Rate: seen.sum / Interval.Seconds(), Sum: seen.sum, Min: seen.min, Max: seen.max,
			Mean: seen.mean(), Stddev: seen.deviation(), Labels: labels,
		}
		if s.kind == counter {
			sum.Counters = append(sum.Counters, value)
		} else {
			sum.Samples = append(sum.Samples, value)
		}
	}
	return sum
}

func labelMap(labels []Label) map[string]string {
	all := make(map[string]string, len(labels))
	for _, l := range labels {
		all[l.Name] = l.Value
	}
	return all
}

// NextInterval waits until the current interval is complete. It returns ctx's
// error if ctx ends before.
func NextInterval(ctx context.Context) error {
	timer := time.NewTimer(Interval - time.Duration(time.Now().UnixNano())%Interval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
