package xds

import (
	"fmt"
	"slices"

	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
)

// The names of policies (mesh.md section 7).
const (
	policyLayer4 = "consul-intentions-layer4"
	policyLayer7 = "consul-intentions-layer7-%d"
)

// rules turns the intentions of a proxy's service into RBAC rules. Where the default is to allow they
// say who is denied, else who is allowed. http says that the listener sees requests; where it does not, an intention that
// decides by request denies.
func rules(s *proxycfg.Snapshot, http bool) *rbac.RBAC {
	out := &rbac.RBAC{Action: rbac.RBAC_ALLOW}
	exception := configentry.Allow // the action that the rules list
	if s.DefaultAllow {
		out.Action, exception = rbac.RBAC_DENY, configentry.Deny
	}
	policies := map[string]*rbac.Policy{}
	var layer4 []*rbac.Principal
	for _, a := range applicable(s.Intentions) {
		who := principal(s.TrustDomain, a)
		switch {
		case len(a.Permissions) == 0 && a.Action == exception,
			len(a.Permissions) > 0 && !http && exception == configentry.Deny:
			layer4 = append(layer4, who)
		case len(a.Permissions) > 0 && http:
			if permissions := permissions(a.Permissions, exception); len(permissions) > 0 {
				policies[fmt.Sprintf(policyLayer7, len(policies))] = &rbac.Policy{
					Permissions: permissions, Principals: []*rbac.Principal{who},
				}
			}
		}
	}
	if len(layer4) > 0 {
		policies[policyLayer4] = &rbac.Policy{Permissions: []*rbac.Permission{anyPermission()}, Principals: layer4}
	}
	if len(policies) > 0 {
		out.Policies = policies
	}
	return out
}

// applied is an intention with the callers that others decide about before it.
type applied struct {
	*configentry.Intention
	source configentry.Service
	except []configentry.Service
}

// applicable returns the intentions that decide about anybody, in the order in which they count.
func applicable(all []configentry.Intention) []applied {
	sorted := configentry.Sorted(slices.Clone(all))
	var out []applied
	for n := range sorted {
		i := &sorted[n]
		a := applied{Intention: i, source: i.Source()}
		if a.source.Peer != "" || i.SourceSamenessGroup != "" {
			continue // no root of another cluster is trusted: nobody of it gets as far as this
		}
		shadowed := slices.ContainsFunc(out, func(before applied) bool { return covers(before.source, a.source) })
		if shadowed {
			continue
		}
		for _, before := range out {
			if covers(a.source, before.source) {
				a.except = append(a.except, before.source)
			}
		}
		out = append(out, a)
	}
	return out
}

// covers reports whether every service that b is about is one of a's. Of two patterns either one
// covers the other or they have nothing in common.
func covers(a, b configentry.Service) bool {
	if b.Namespace == tenancy.Wildcard && a.Namespace != tenancy.Wildcard || b.Name == tenancy.Wildcard && a.Name != tenancy.Wildcard {
		return false
	}
	return a.Covers(b)
}

// principal matches the callers that an intention decides about.
func principal(trustDomain string, a applied) *rbac.Principal {
	own := authenticated(trustDomain, a.source)
	if len(a.except) == 0 {
		return own
	}
	all := []*rbac.Principal{own}
	for _, other := range a.except {
		all = append(all, &rbac.Principal{Identifier: &rbac.Principal_NotId{NotId: authenticated(trustDomain, other)}})
	}
	return &rbac.Principal{Identifier: &rbac.Principal_AndIds{AndIds: &rbac.Principal_Set{Ids: all}}}
}

func authenticated(trustDomain string, who configentry.Service) *rbac.Principal {
	name := pattern(principalPattern(trustDomain, who))
	return &rbac.Principal{Identifier: &rbac.Principal_Authenticated_{Authenticated: &rbac.Principal_Authenticated{PrincipalName: name}}}
}

// regex names its engine, which Envoy before 1.24 asks for and later ones have no choice about.
func regex(pattern string) *matcher.RegexMatcher {
	//lint:ignore SA1019 older proxies refuse a pattern without it
	return &matcher.RegexMatcher{Regex: pattern, EngineType: &matcher.RegexMatcher_GoogleRe2{GoogleRe2: &matcher.RegexMatcher_GoogleRE2{}}}
}

// permissions returns what matches the requests that a list of permissions treats with an action. The
// first that matches a request decides, so each leaves out what those before it match.
func permissions(list []configentry.Permission, action configentry.Action) []*rbac.Permission {
	var out, before []*rbac.Permission
	for i := range list {
		p := &list[i]
		if p.JWT != nil && p.Action == configentry.Allow {
			continue // nothing verifies a JWT here: what needs one is allowed to nobody
		}
		match := permission(p.HTTP)
		if p.Action == action {
			out = append(out, andRules(append([]*rbac.Permission{match}, before...)))
		}
		before = append(before, notRule(match))
	}
	return out
}

// permission matches requests. All that it says has to match.
func permission(p *configentry.HTTPPermission) *rbac.Permission {
	if p == nil {
		return anyPermission()
	}
	var all []*rbac.Permission
	if path := pathOf(p); path != nil {
		all = append(all, &rbac.Permission{Rule: &rbac.Permission_UrlPath{UrlPath: &matcher.PathMatcher{
			Rule: &matcher.PathMatcher_Path{Path: path},
		}}})
	}
	for i := range p.Header {
		all = append(all, header(&p.Header[i]))
	}
	if len(p.Methods) > 0 {
		all = append(all, methods(p.Methods))
	}
	if len(all) == 0 {
		return anyPermission()
	}
	return andRules(all)
}

func pathOf(p *configentry.HTTPPermission) *matcher.StringMatcher {
	switch {
	case p.PathExact != "":
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: p.PathExact}}
	case p.PathPrefix != "":
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: p.PathPrefix}}
	case p.PathRegex != "":
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(p.PathRegex)}}
	}
	return nil
}

// header matches a header of a request. Inverted it also matches a request without the header, which
// Envoy's own invert_match does not.
func header(h *configentry.HeaderPermission) *rbac.Permission {
	m := &route.HeaderMatcher{Name: h.Name}
	text := &matcher.StringMatcher{IgnoreCase: h.IgnoreCase}
	switch {
	case h.Exact != "":
		text.MatchPattern = &matcher.StringMatcher_Exact{Exact: h.Exact}
	case h.Prefix != "":
		text.MatchPattern = &matcher.StringMatcher_Prefix{Prefix: h.Prefix}
	case h.Suffix != "":
		text.MatchPattern = &matcher.StringMatcher_Suffix{Suffix: h.Suffix}
	case h.Contains != "":
		text.MatchPattern = &matcher.StringMatcher_Contains{Contains: h.Contains}
	case h.Regex != "":
		pattern := h.Regex
		if h.IgnoreCase { // which StringMatcher does not heed for patterns
			pattern = "(?i:" + pattern + ")"
		}
		text.IgnoreCase = false
		text.MatchPattern = &matcher.StringMatcher_SafeRegex{SafeRegex: regex(pattern)}
	}
	m.HeaderMatchSpecifier = &route.HeaderMatcher_StringMatch{StringMatch: text}
	if text.MatchPattern == nil {
		m.HeaderMatchSpecifier = &route.HeaderMatcher_PresentMatch{PresentMatch: true}
	}
	p := headerRule(m)
	if h.Invert {
		return notRule(p)
	}
	return p
}

func methods(names []string) *rbac.Permission {
	var any []*rbac.Permission
	for _, name := range names {
		any = append(any, headerRule(&route.HeaderMatcher{Name: ":method", HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{
			StringMatch: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: name}},
		}}))
	}
	if len(any) == 1 {
		return any[0]
	}
	return &rbac.Permission{Rule: &rbac.Permission_OrRules{OrRules: &rbac.Permission_Set{Rules: any}}}
}

func headerRule(m *route.HeaderMatcher) *rbac.Permission {
	return &rbac.Permission{Rule: &rbac.Permission_Header{Header: m}}
}

func anyPermission() *rbac.Permission { return &rbac.Permission{Rule: &rbac.Permission_Any{Any: true}} }

func notRule(p *rbac.Permission) *rbac.Permission {
	return &rbac.Permission{Rule: &rbac.Permission_NotRule{NotRule: p}}
}

func andRules(all []*rbac.Permission) *rbac.Permission {
	if len(all) == 1 {
		return all[0]
	}
	return &rbac.Permission{Rule: &rbac.Permission_AndRules{AndRules: &rbac.Permission_Set{Rules: all}}}
}
