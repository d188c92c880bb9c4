package daemon

import (
	"os"

	"github.com/lictor/lictor/internal/telemetry"
)

// openMetrics makes what this agent and its libraries report go to one place.
func (b *base) openMetrics() error {
	cfg := telemetry.Config{
		Prefix: b.cfg.Telemetry.Prefix, Filter: b.cfg.Telemetry.filter(), Retention: b.cfg.Telemetry.PrometheusRetention,
	}
	if !b.cfg.Telemetry.DisableHostname {
		var err error
		if cfg.Hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	b.metrics = telemetry.New(cfg)
	return b.metrics.FromLibraries()
}

// filter returns what prefix_filter and filter_default say. Without a rule everything is kept.
func (t Telemetry) filter() telemetry.Filter {
	return telemetry.Filter{Rules: t.PrefixFilter, DropOthers: !t.FilterDefault && len(t.PrefixFilter) > 0}
}
