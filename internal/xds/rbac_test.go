package xds

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
)

// request is what the rules decide about; path "" is a connection as a whole.
type request struct {
	uri, method, path string
	headers           map[string]string
}

// lets reports what Envoy makes of rules (envoy.config.rbac.v3): the action counts for what a policy
// matches, the opposite for the rest.
func lets(rules *rbac.RBAC, r request) bool {
	matched := false
	for _, p := range rules.Policies {
		matched = matched || slices.ContainsFunc(p.Principals, r.is) && slices.ContainsFunc(p.Permissions, r.does)
	}
	return matched == (rules.Action == rbac.RBAC_ALLOW)
}

func (r request) is(p *rbac.Principal) bool {
	switch id := p.Identifier.(type) {
	case *rbac.Principal_AndIds:
		return !slices.ContainsFunc(id.AndIds.Ids, func(p *rbac.Principal) bool { return !r.is(p) })
	case *rbac.Principal_NotId:
		return !r.is(id.NotId)
	case *rbac.Principal_Authenticated_:
		return matches(id.Authenticated.PrincipalName, r.uri)
	}
	panic("a principal that is not made here")
}

func (r request) does(p *rbac.Permission) bool {
	switch rule := p.Rule.(type) {
	case *rbac.Permission_Any:
		return true
	case *rbac.Permission_AndRules:
		return !slices.ContainsFunc(rule.AndRules.Rules, func(p *rbac.Permission) bool { return !r.does(p) })
	case *rbac.Permission_OrRules:
		return slices.ContainsFunc(rule.OrRules.Rules, r.does)
	case *rbac.Permission_NotRule:
		return !r.does(rule.NotRule)
	case *rbac.Permission_UrlPath:
		path, _, _ := strings.Cut(r.path, "?")
		return matches(rule.UrlPath.GetPath(), path)
	case *rbac.Permission_Header:
		value, present := r.headers[rule.Header.Name]
		if rule.Header.Name == ":method" {
			value, present = r.method, true
		}
		if text := rule.Header.GetStringMatch(); text != nil {
			return present && matches(text, value)
		}
		return present
	}
	panic("a permission that is not made here")
}

func matches(m *matcher.StringMatcher, value string) bool {
	equal := func(f func(a, b string) bool, want string) bool {
		if m.IgnoreCase {
			return f(strings.ToLower(value), strings.ToLower(want))
		}
		return f(value, want)
	}
	switch p := m.MatchPattern.(type) {
	case *matcher.StringMatcher_Exact:
		return equal(func(a, b string) bool { return a == b }, p.Exact)
	case *matcher.StringMatcher_Prefix:
		return equal(strings.HasPrefix, p.Prefix)
	case *matcher.StringMatcher_Suffix:
		return equal(strings.HasSuffix, p.Suffix)
	case *matcher.StringMatcher_Contains:
		return equal(strings.Contains, p.Contains)
	case *matcher.StringMatcher_SafeRegex:
		found := regexp.MustCompile("^(?:" + p.SafeRegex.Regex + ")$").MatchString(value)
		return found
	}
	panic("a pattern that is not made here")
}

var names = []string{"web", "api", "Api", "a.i", "*"}

func randomIntentions(random *rand.Rand, permissions func() []configentry.Permission) []configentry.Intention {
	var all []configentry.Intention
	seen := map[string]bool{}
	for range random.IntN(7) {
		i := configentry.Intention{
			SourceNS: []string{"default", "blue", "*"}[random.IntN(3)], SourceName: names[random.IntN(len(names))],
			SourcePartition: []string{"", "team"}[random.IntN(2)], DestinationNS: "default", DestinationName: []string{"shop", "*"}[random.IntN(2)],
			Action: []configentry.Action{configentry.Allow, configentry.Deny}[random.IntN(2)],
		}
		if i.SourceNS == "*" {
			i.SourceName = "*"
		}
		i.Precedence = 9
		for _, name := range []string{i.SourceNS, i.SourceName} {
			if name == "*" {
				i.Precedence--
			}
		}
		if i.DestinationName == "*" {
			i.Precedence -= 3
		}
		key := strings.ToLower(i.SourcePartition + i.SourceNS + "/" + i.SourceName + " " + i.DestinationName)
		if seen[key] {
			continue // an entry has a source once
		}
		seen[key] = true
		if permissions != nil && random.IntN(2) == 0 {
			i.Action, i.Permissions = "", permissions()
		}
		all = append(all, i)
	}
	return all
}

func randomCaller(random *rand.Rand) (configentry.Service, string) {
	s := configentry.Service{
		Name:  []string{"web", "Web", "api", "aXi", "other"}[random.IntN(5)],
		Scope: tenancy.Scope{Partition: []string{"default", "team"}[random.IntN(2)], Namespace: []string{"default", "blue"}[random.IntN(2)]},
	}
	id := ca.ServiceID{TrustDomain: trustDomain, Datacenter: "dc2", Service: s.Name, Scope: s.Scope}
	return s, id.URI().String()
}

var ourselves = configentry.Service{Name: "shop", Scope: tenancy.Default}

func TestRulesDecideAboutConnectionsAsIntentionsDo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	deny := func() []configentry.Permission {
		return []configentry.Permission{{Action: configentry.Allow, HTTP: &configentry.HTTPPermission{PathExact: "/"}}}
	}
	for range 3000 {
		all := randomIntentions(random, deny)
		for _, defaultAllow := range []bool{true, false} {
			r := rules(shop(intended(all...), func(s *proxycfg.Snapshot) { s.DefaultAllow = defaultAllow }), false)
			if err := r.ValidateAll(); err != nil {
				t.Fatal(err)
			}
			caller, uri := randomCaller(random)
			want := configentry.Decide(caller, ourselves, all, defaultAllow).Allowed
			if got := lets(r, request{uri: uri}); got != want {
				t.Fatalf("default allow %v: %s may call: %v, want %v\nintentions %+v\nrules %v", defaultAllow, caller, got, want, all, r)
			}
		}
	}
}

func TestAttack_NobodyOfAnotherTrustDomainIsAllowed(t *testing.T) {
	r := rules(shop(intended(from("*", configentry.Allow, 8))), false)
	for _, uri := range []string{
		"spiffe://22222222-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web",
		"spiffe://" + strings.Replace(trustDomain, ".", "x", 1) + "/ns/default/dc/dc1/svc/web",
		"spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/web/x",
		"x spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/web",
		"spiffe://" + trustDomain + "/agent/client/dc/dc1/id/n1",
	} {
		if lets(r, request{uri: uri}) {
			t.Errorf("%s may call", uri)
		}
	}
}

// decide is what a list of permissions means (mesh.md section 2).
func decide(all []configentry.Intention, caller configentry.Service, r request, defaultAllow bool) bool {
	d := configentry.Decide(caller, ourselves, all, defaultAllow)
	if d.By == nil || len(d.By.Permissions) == 0 {
		return d.Allowed
	}
	for _, p := range d.By.Permissions {
		if p.HTTP == nil || applies(p.HTTP, r) {
			return p.Action == configentry.Allow
		}
	}
	return defaultAllow
}

func applies(p *configentry.HTTPPermission, r request) bool {
	path, _, _ := strings.Cut(r.path, "?")
	if p.PathExact != "" && path != p.PathExact || p.PathPrefix != "" && !strings.HasPrefix(path, p.PathPrefix) ||
		p.PathRegex != "" && !regexp.MustCompile("^(?:"+p.PathRegex+")$").MatchString(path) ||
		len(p.Methods) > 0 && !slices.Contains(p.Methods, r.method) {
		return false
	}
	for _, h := range p.Header {
		value, present := r.headers[h.Name]
		if h.IgnoreCase {
			value, h.Exact, h.Regex = strings.ToLower(value), strings.ToLower(h.Exact), strings.ToLower(h.Regex)
		}
		found := present && (h.Exact == "" || value == h.Exact) && (h.Regex == "" || regexp.MustCompile("^(?:"+h.Regex+")$").MatchString(value))
		if found == h.Invert {
			return false
		}
	}
	return true
}

func TestCVE_2021_36213_RulesDecideAboutRequestsAsPermissionsDo(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	permissions := func() []configentry.Permission {
		var list []configentry.Permission
		for range 1 + random.IntN(3) {
			p := configentry.Permission{Action: configentry.Action(pick("allow", "deny")), HTTP: &configentry.HTTPPermission{}}
			switch random.IntN(4) {
			case 0:
				p.HTTP.PathExact = pick("/", "/admin")
			case 1:
				p.HTTP.PathPrefix = pick("/a", "/admin")
			case 2:
				p.HTTP.PathRegex = pick("/a.*", "/[0-9]+")
			}
			if random.IntN(2) == 0 {
				p.HTTP.Methods = []string{pick("GET", "PUT"), "HEAD"}
			}
			if random.IntN(2) == 0 {
				h := configentry.HeaderPermission{Name: "x-team", Invert: random.IntN(2) == 0, IgnoreCase: random.IntN(2) == 0}
				switch random.IntN(3) {
				case 0:
					h.Exact = "Core"
				case 1:
					h.Regex = "C.re"
				default:
					h.Present = true
				}
				p.HTTP.Header = append(p.HTTP.Header, h)
			}
			list = append(list, p)
		}
		return list
	}
	for range 3000 {
		all := randomIntentions(random, permissions)
		for _, defaultAllow := range []bool{true, false} {
			rules := rules(shop(intended(all...), func(s *proxycfg.Snapshot) { s.DefaultAllow = defaultAllow }), true)
			if err := rules.ValidateAll(); err != nil {
				t.Fatal(err)
			}
			caller, uri := randomCaller(random)
			r := request{uri: uri, method: pick("GET", "PUT", "HEAD"), path: pick("/", "/admin", "/admin?x", "/a", "/17"), headers: map[string]string{}}
			if random.IntN(2) == 0 {
				r.headers["x-team"] = pick("Core", "core", "other")
			}
			if got, want := lets(rules, r), decide(all, caller, r, defaultAllow); got != want {
				t.Fatalf("default allow %v: %s may do %+v: %v, want %v\nintentions %+v\nrules %v", defaultAllow, caller, r, got, want, all, rules)
			}
		}
	}
}

func TestAttack_APermissionThatNeedsAJWTAllowsNobody(t *testing.T) {
	needs := &configentry.JWTRequirement{Providers: []configentry.JWTProvider{{Name: "okta"}}}
	r := rules(shop(intended(from("web", "", 9,
		configentry.Permission{Action: configentry.Allow, JWT: needs},
		configentry.Permission{Action: configentry.Allow, HTTP: &configentry.HTTPPermission{PathExact: "/open"}},
	))), true)
	uri := "spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/web"
	if lets(r, request{uri: uri, path: "/"}) || !lets(r, request{uri: uri, path: "/open"}) {
		t.Error("not only /open is open")
	}
}

func TestAttack_AnIdentityHasNoOtherSpelling(t *testing.T) {
	r := rules(shop(intended(from("a.i", configentry.Allow, 9))), false)
	if lets(r, request{uri: "spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/axi"}) {
		t.Error("a dot in a name matches any letter")
	}
}

func TestAttack_AnotherCaseIsTheSameCaller(t *testing.T) {
	denied := rules(shop(allowed, intended(from("web", configentry.Deny, 9))), false)
	permitted := rules(shop(intended(from("web", configentry.Deny, 9), from("*", configentry.Allow, 8))), false)
	for _, name := range []string{"web", "Web", "WEB"} {
		uri := "spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/" + name
		if lets(denied, request{uri: uri}) || lets(permitted, request{uri: uri}) {
			t.Errorf("%s may call where web is denied", name)
		}
	}
}
