package envoy

import (
	"maps"
	"regexp"
	"testing"
)

// tagsOf does what Envoy does with the name of a statistic: it returns the tags, and what
// is left of the name.
func tagsOf(t *testing.T, name string) (tags map[string]string, rest string) {
	t.Helper()
	tags = map[string]string{}
	gone := make([]bool, len(name))
	list := sidecar().statsConfig(config{}).(object)["stats_tags"].([]any)
	for _, e := range list {
		tag := e.(object)
		pattern, ok := tag["regex"].(string)
		if !ok {
			continue
		}
		at := regexp.MustCompile(pattern).FindStringSubmatchIndex(name)
		if at == nil {
			continue
		}
		if len(at) != 6 {
			t.Fatalf("%s has %d groups", tag["tag_name"], len(at)/2-1)
		}
		tags[tag["tag_name"].(string)] = name[at[4]:at[5]]
		for i := at[2]; i < at[3]; i++ {
			gone[i] = true
		}
	}
	for i, c := range []byte(name) {
		if !gone[i] {
			rest += string(c)
		}
	}
	return tags, rest
}

// with adds the names that tags of destinations had at first.
func with(tags map[string]string) map[string]string {
	all := maps.Clone(tags)
	for _, t := range destinationTags {
		if v, ok := tags["consul.destination."+t.name]; ok && t.deprecated {
			all["consul."+t.name] = v
		}
	}
	return all
}

func TestTagsOfStatistics(t *testing.T) {
	const td = "8c7f19b0-3d1e-4c6a-9a35-7f6f0c0c2a11"
	tests := []struct {
		name, stat, rest string
		tags             map[string]string
	}{
		{"a service", "cluster.stock.default.dc1.internal." + td + ".consul.upstream_cx_total", "cluster.upstream_cx_total", with(map[string]string{
			"consul.destination.service": "stock", "consul.destination.namespace": "default", "consul.destination.datacenter": "dc1",
			"consul.destination.routing_type": "internal", "consul.destination.trust_domain": td,
			"consul.destination.target": "stock.default.dc1", "consul.destination.full_target": "stock.default.dc1.internal." + td,
		})},
		{"a subset with a hash", "cluster.a1b2~v2.stock.default.dc1.internal." + td + ".consul.membership_healthy", "cluster.membership_healthy", with(map[string]string{
			"consul.destination.custom_hash": "a1b2", "consul.destination.service_subset": "v2",
			"consul.destination.service": "stock", "consul.destination.namespace": "default", "consul.destination.datacenter": "dc1",
			"consul.destination.routing_type": "internal", "consul.destination.trust_domain": td,
			"consul.destination.target": "a1b2~v2.stock.default.dc1", "consul.destination.full_target": "a1b2~v2.stock.default.dc1.internal." + td,
		})},
		{"another partition", "cluster.stock.team.ecs.dc1.internal-v1." + td + ".consul.upstream_rq_2xx", "cluster.upstream_rq_2xx", with(map[string]string{
			"consul.destination.service": "stock", "consul.destination.namespace": "team", "consul.destination.partition": "ecs",
			"consul.destination.datacenter": "dc1", "consul.destination.routing_type": "internal-v1", "consul.destination.trust_domain": td,
			"consul.destination.target": "stock.team.ecs.dc1", "consul.destination.full_target": "stock.team.ecs.dc1.internal-v1." + td,
		})},
		{"a subset in another partition", "cluster.v2.stock.team.ecs.dc1.internal-v1." + td + ".consul.x", "cluster.x", with(map[string]string{
			"consul.destination.service_subset": "v2", "consul.destination.service": "stock", "consul.destination.namespace": "team",
			"consul.destination.partition": "ecs", "consul.destination.datacenter": "dc1", "consul.destination.routing_type": "internal-v1",
			"consul.destination.trust_domain": td, "consul.destination.target": "v2.stock.team.ecs.dc1",
			"consul.destination.full_target": "v2.stock.team.ecs.dc1.internal-v1." + td,
		})},
		{"a peer", "cluster.stock.default.east.external." + td + ".consul.x", "cluster.x", with(map[string]string{
			"consul.destination.service": "stock", "consul.destination.namespace": "default", "consul.destination.peer": "east",
			"consul.destination.routing_type": "external", "consul.destination.trust_domain": td,
			"consul.destination.target": "stock.default.east", "consul.destination.full_target": "stock.default.east.external." + td,
		})},
		{"an upstream's listener", "tcp.upstream.stock.team.ecs.dc1.downstream_cx_total", "tcp.downstream_cx_total", map[string]string{
			"consul.upstream.service": "stock", "consul.upstream.namespace": "team", "consul.upstream.partition": "ecs", "consul.upstream.datacenter": "dc1",
		}},
		{"that of a peer", "http.upstream_peered.stock.default.east.downstream_rq_2xx", "http.downstream_rq_2xx", map[string]string{
			"consul.upstream.service": "stock", "consul.upstream.namespace": "default", "consul.upstream.peer": "east",
		}},
		{"the application", "cluster.local_app.upstream_cx_total", "cluster.local_app.upstream_cx_total", map[string]string{}},
		{"the agent", "cluster.local_agent.upstream_rq_total", "cluster.local_agent.upstream_rq_total", map[string]string{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tags, rest := tagsOf(t, tc.stat)
			if !maps.Equal(tags, tc.tags) || rest != tc.rest {
				t.Errorf("left %q of\n%s\ngot  %v\nwant %v", rest, tc.stat, tags, tc.tags)
			}
		})
	}
}
