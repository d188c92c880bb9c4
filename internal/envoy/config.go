package envoy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// config is what of Proxy.Config is about the bootstrap.
type config struct {
	prometheus, stats netip.AddrPort // where their listeners are; invalid is nowhere
	tags              []any          // of every statistic
	flushInterval     string
	sinks             []any
	clusters          []any
	listeners         []any
	statsConfig       any // in place of ours; nil is ours
	tracing           any
	template          string
}

// readConfig reads the keys of mesh.md section 4; others are not for the bootstrap.
func readConfig(from map[string]any, getenv func(string) string) (config, error) {
	var c config
	r := reader{from: from, getenv: getenv}
	r.address("envoy_prometheus_bind_addr", &c.prometheus)
	r.address("envoy_stats_bind_addr", &c.stats)
	r.text("envoy_stats_flush_interval", &c.flushInterval)
	r.text("envoy_bootstrap_json_tpl", &c.template)
	r.tags("envoy_stats_tags", &c.tags)
	r.sink("envoy_statsd_url", "envoy.stat_sinks.statsd", "StatsdSink", &c.sinks)
	r.sink("envoy_dogstatsd_url", "envoy.stat_sinks.dog_statsd", "DogStatsdSink", &c.sinks)
	r.list("envoy_extra_stats_sinks_json", &c.sinks)
	r.list("envoy_extra_static_clusters_json", &c.clusters)
	r.list("envoy_extra_static_listeners_json", &c.listeners)
	r.json("envoy_stats_config_json", &c.statsConfig)
	r.json("envoy_tracing_json", &c.tracing)
	return c, r.err
}

// reader reads values and keeps the first error.
type reader struct {
	from   map[string]any
	getenv func(string) string
	err    error
}

func (r *reader) fail(key, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
	}
}

func (r *reader) text(key string, out *string) {
	switch v := r.from[key].(type) {
	case nil:
	case string:
		*out = v
	default:
		r.fail(key, "expected a string, got %T", v)
	}
}

func (r *reader) address(key string, out *netip.AddrPort) {
	var s string
	if r.text(key, &s); s == "" {
		return
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		r.fail(key, "expected an IP address and a port, got %q", s)
		return
	}
	*out = a
}

// tags reads "name=value" texts. A tag of Envoy with a fixed value needs no pattern.
func (r *reader) tags(key string, out *[]any) {
	list, ok := r.from[key].([]any)
	if !ok && r.from[key] != nil {
		r.fail(key, "expected a list of strings")
	}
	for _, v := range list {
		s, _ := v.(string)
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			r.fail(key, "expected name=value, got %q", fmt.Sprint(v))
			return
		}
		*out = append(*out, fixedTag(name, value))
	}
}

// list reads JSON values that are separated by commas.
func (r *reader) list(key string, out *[]any) {
	var s string
	if r.text(key, &s); strings.TrimSpace(s) == "" {
		return
	}
	var list []any
	if err := json.Unmarshal([]byte("["+s+"]"), &list); err != nil {
		r.fail(key, "%v", err)
		return
	}
	*out = append(*out, list...)
}

func (r *reader) json(key string, out *any) {
	var s string
	if r.text(key, &s); strings.TrimSpace(s) == "" {
		return
	}
	if err := json.Unmarshal([]byte(s), out); err != nil {
		r.fail(key, "%v", err)
	}
}

// sink adds the sink of a URL: udp://ip:port, or unix:///path for DogStatsD. A value that
// is "$NAME" as a whole is another such URL; ${NAME} may stand for a part of one.
func (r *reader) sink(key, name, kind string, out *[]any) {
	var s string
	if r.text(key, &s); s == "" {
		return
	}
	if r.getenv != nil {
		s = os.Expand(s, r.getenv)
	}
	if s == "" {
		return // the variable is not set: nobody collects
	}
	u, err := url.Parse(s)
	if err != nil {
		r.fail(key, "it is no URL")
		return
	}
	var where object
	switch {
	case u.Scheme == "udp":
		a, err := netip.ParseAddrPort(u.Host)
		if err != nil {
			r.fail(key, "expected udp://IP:PORT, got %q", s)
			return
		}
		where = address(a)
	case u.Scheme == "unix" && kind == "DogStatsdSink" && u.Path != "":
		where = object{"pipe": object{"path": u.Path}}
	default:
		r.fail(key, "unsupported address %q", s)
		return
	}
	*out = append(*out, object{
		"name": name, "typedConfig": object{"@type": typeURL + "envoy.config.metrics.v3." + kind, "address": where},
	})
}
