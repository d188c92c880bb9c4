package telemetry

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
)

// PrometheusType is the content type of what WritePrometheus writes.
const PrometheusType = "text/plain; version=0.0.4; charset=utf-8"

// WritePrometheus writes everything in the text format of Prometheus: gauges as
// they are, counters and samples since the start, and of samples the quantiles of the last values. Names have no
// hostname.
func (m *Metrics) WritePrometheus(w io.Writer) error {
	if m == nil {
		return nil
	}
	out := bufio.NewWriter(w)
	_, list := m.all()
	now := m.cfg.Now()
	described := map[string]kind{}
	for i := range list {
		s := &list[i]
		if m.cfg.Retention > 0 && now.Sub(s.changed) > m.cfg.Retention {
			continue
		}
		name := promName(m.cfg.Prefix + "." + s.name)
		if before, done := described[name]; done && before != s.kind {
			continue // one name has one type
		} else if !done {
			described[name] = s.kind
			_, _ = out.WriteString("# HELP " + name + " " + name + "\n# TYPE " + name + " " + promType(s.kind) + "\n")
		}
		s.writeTo(out, name)
	}
	return out.Flush()
}

func promType(k kind) string {
	switch k {
	case gauge:
		return "gauge"
	case counter:
		return "counter"
	}
	return "summary"
}

// writeTo writes the values of a series; Flush tells of errors.
func (s *series) writeTo(out *bufio.Writer, name string) {
	labels := promLabels(s.labels...)
	line := func(suffix string, v float64) {
		_, _ = out.WriteString(name + suffix + labels + " " + strconv.FormatFloat(v, 'g', -1, 64) + "\n")
	}
	switch s.kind {
	case gauge:
		line("", s.value)
	case counter:
		line("", s.total.sum)
	case sample:
		slices.Sort(s.recent.values)
		for _, q := range quantiles {
			with := append(s.labels[:len(s.labels):len(s.labels)], Label{"quantile", strconv.FormatFloat(q, 'g', -1, 64)})
			_, _ = out.WriteString(name + promLabels(with...) + " " + strconv.FormatFloat(quantile(s.recent.values, q), 'g', 6, 64) + "\n")
		}
		line("_sum", s.total.sum)
		line("_count", float64(s.total.count))
	}
}

// promName replaces what a name of Prometheus may not have by underscores.
func promName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, s)
}

var promEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func promLabels(labels ...Label) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i, l := range labels {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(strings.ReplaceAll(promName(l.Name), ":", "_") + `="` + promEscapes.Replace(strings.ToValidUTF8(l.Value, "\uFFFD")) + `"`)
	}
	return b.String() + "}"
}
