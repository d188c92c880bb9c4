package envoy

// Envoy names a statistic of a cluster after the cluster, whose name is the SNI that
// mesh.md section 7 lists:
//
//	[<hash>~][<subset>.]<service>.<namespace>.<datacenter>.internal.<trust domain>
//	[<hash>~][<subset>.]<service>.<namespace>.<partition>.<datacenter>.internal-v1.<trust domain>
//	[<hash>~][<subset>.]<service>.<namespace>[.<partition>].<peer>.external.<trust domain>
//
// A tag is a pattern: what its first group matches goes from the statistic's name, what its
// second group matches is the tag's value. Which parts are there is told by what follows.
const (
	part     = `[^.]+`
	head     = `^cluster\.((?:[^.~]+~)?`           // what a name begins with
	subset   = `(?:[^.~]+\.)?`                     // may follow it
	tail     = `\.` + part + `\.consul\.)`         // of a trust domain
	kinds    = `(?:internal|internal-v1|external)` // routing types
	afterNS  = `\.(?:` + part + `\.internal|` + part + `\.` + part + `\.internal-v1|(?:` + part + `\.)?` + part + `\.external)`
	afterSvc = `\.` + part + afterNS
)

// destinationTags say where a cluster's requests go. The deprecated ones have another
// prefix, and no partition or peer.
var destinationTags = []struct {
	name, pattern string
	deprecated    bool
}{
	{"custom_hash", `^cluster\.((?:([^.~]+)~)(?:` + part + `\.)+` + kinds + tail, true},
	{"service_subset", head + `(?:([^.~]+)\.)` + part + afterSvc + tail, true},
	{"service", head + subset + `(` + part + `)` + afterSvc + tail, true},
	{"namespace", head + subset + part + `\.(` + part + `)` + afterNS + tail, true},
	{"partition", head + subset + part + `\.` + part + `\.(` + part + `)\.` + part + `\.(?:internal-v1|external)` + tail, false},
	{"datacenter", head + `(?:` + part + `\.)+(` + part + `)\.(?:internal|internal-v1)` + tail, true},
	{"peer", head + `(?:` + part + `\.)+(` + part + `)\.external` + tail, false},
	{"routing_type", head + `(?:` + part + `\.)+(` + kinds[3:len(kinds)-1] + `)` + tail, true},
	{"trust_domain", head + `(?:` + part + `\.)+` + kinds + `\.(` + part + `)\.consul\.)`, true},
	{"target", `^cluster\.(((?:` + part + `\.)*` + part + `)\.` + kinds + tail, true},
	{"full_target", `^cluster\.(((?:` + part + `\.)+` + kinds + `\.` + part + `)\.consul\.)`, true},
}

// upstreamTags say which of its upstreams a proxy's listener is for, by the listener's
// statistics prefix: upstream.<service>.<namespace>.<partition>.<datacenter>, and
// upstream_peered.<service>.<namespace>.<peer>.
var upstreamTags = []struct{ name, pattern string }{
	{"service", `^(?:tcp|http)\.(upstream(?:_peered)?\.([^.]+)\.)`},
	{"datacenter", `^(?:tcp|http)\.upstream\.` + part + `\.` + part + `\.` + part + `\.(([^.]+)\.)`},
	{"peer", `^(?:tcp|http)\.upstream_peered\.` + part + `\.` + part + `\.(([^.]+)\.)`},
	{"namespace", `^(?:tcp|http)\.upstream(?:_peered)?\.` + part + `\.(([^.]+)\.)`},
	{"partition", `^(?:tcp|http)\.upstream\.` + part + `\.` + part + `\.(([^.]+)\.)`},
}

// statsConfig is how Envoy turns parts of the names of statistics into tags.
func (b Bootstrap) statsConfig(c config) any {
	if c.statsConfig != nil {
		return c.statsConfig
	}
	var tags []any
	pattern := func(name, regex string) { tags = append(tags, object{"tag_name": name, "regex": regex}) }
	for _, t := range destinationTags {
		pattern("consul.destination."+t.name, t.pattern)
	}
	for _, t := range upstreamTags {
		pattern("consul.upstream."+t.name, t.pattern)
	}
	for _, t := range destinationTags {
		if t.deprecated && b.DeprecatedTags {
			pattern("consul."+t.name, t.pattern)
		}
	}
	tags = append(tags,
		fixedTag("local_cluster", b.Cluster),
		fixedTag("consul.source.service", b.Cluster),
		fixedTag("consul.source.namespace", or(b.Namespace, "default")),
		fixedTag("consul.source.partition", or(b.Partition, "default")),
		fixedTag("consul.source.datacenter", b.Datacenter),
	)
	return object{"stats_tags": append(tags, c.tags...), "use_all_default_tags": true}
}

func fixedTag(name, value string) object { return object{"tag_name": name, "fixed_value": value} }
