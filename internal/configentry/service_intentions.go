package configentry

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/tenancy"
)

// ServiceIntentions say who may call the service with the entry's name, or with the name "*" any
// service of its namespace that has no entry of its own; in the namespace "*", any of its partition.
type ServiceIntentions struct {
	Sources []Source        // by falling precedence
	JWT     *JWTRequirement `json:",omitempty"`
}

// Source is who an intention is about, and what it says.
type Source struct {
	Name          string            // "*" is all
	Peer          string            `json:",omitempty"`
	Partition     string            `json:",omitempty"` // "" of a peer's service
	Namespace     string            `json:",omitempty"` // "*" is all, with the name "*"
	SamenessGroup string            `json:",omitempty"`
	Action        Action            `json:",omitempty"` // "" with Permissions
	Permissions   []Permission      `json:",omitempty"` // the first that matches a request decides
	Precedence    int               // 9 counts before 1; see precedence
	Type          string            // SourceConsul
	Description   string            `json:",omitempty"`
	LegacyID      string            `json:",omitempty"` // a UUID, of what was made without naming it by its ends
	LegacyMeta    map[string]string `json:",omitempty"`
	LegacyCreated *time.Time        `json:"LegacyCreateTime,omitempty"`
	LegacyUpdated *time.Time        `json:"LegacyUpdateTime,omitempty"`
}

// Action is what an intention does.
type Action string

// The actions.
const (
	Allow Action = "allow"
	Deny  Action = "deny"
)

// SourceConsul is the only type of a source: a service of the mesh.
const SourceConsul = "consul"

// Permission is what an intention says about some requests.
type Permission struct {
	Action Action
	HTTP   *HTTPPermission `json:",omitempty"`
	JWT    *JWTRequirement `json:",omitempty"`
}

// HTTPPermission matches requests by path, method and headers.
type HTTPPermission struct {
	PathExact  string             `json:",omitempty"`
	PathPrefix string             `json:",omitempty"`
	PathRegex  string             `json:",omitempty"`
	Methods    []string           `json:",omitempty"`
	Header     []HeaderPermission `json:",omitempty"` // all of them have to match
}

// HeaderPermission matches requests by one header.
type HeaderPermission struct {
	Name       string
	Present    bool   `json:",omitempty"`
	Exact      string `json:",omitempty"`
	Prefix     string `json:",omitempty"`
	Suffix     string `json:",omitempty"`
	Contains   string `json:",omitempty"`
	Regex      string `json:",omitempty"`
	Invert     bool   `json:",omitempty"`
	IgnoreCase bool   `json:",omitempty"`
}

// JWTRequirement is what a request's token has to satisfy.
type JWTRequirement struct {
	Providers []JWTProvider `json:",omitempty"`
}

// JWTProvider names a jwt-provider, and claims that a token of it must have.
type JWTProvider struct {
	Name         string     `json:",omitempty"`
	VerifyClaims []JWTClaim `json:",omitempty"`
}

// JWTClaim is one of them.
type JWTClaim struct {
	Path  []string `json:",omitempty"`
	Value string   `json:",omitempty"`
}

// MaxSources is how many sources an entry may have.
const MaxSources = 4096

func (x *ServiceIntentions) normalize(e *Entry) {
	for i := range x.Sources {
		s := &x.Sources[i]
		s.normalize(e.Scope)
		s.Precedence = precedence(s.Namespace, s.Name, e.Namespace, e.Name)
	}
	slices.SortStableFunc(x.Sources, func(a, b Source) int {
		return cmp.Or(-cmp.Compare(a.Precedence, b.Precedence), cmp.Compare(a.id(), b.id()))
	})
}

// normalize completes what a source leaves open: where it is, from where the destination is.
func (s *Source) normalize(destination tenancy.Scope) {
	s.Peer, s.Namespace, s.Partition = strings.ToLower(s.Peer), strings.ToLower(s.Namespace), strings.ToLower(s.Partition)
	if s.Type == "" {
		s.Type = SourceConsul
	}
	if s.Peer != "" || s.SamenessGroup != "" {
		s.Namespace = cmp.Or(s.Namespace, tenancy.DefaultName)
		return
	}
	s.Partition = cmp.Or(s.Partition, destination.Partition)
	s.Namespace = cmp.Or(s.Namespace, destination.Namespace)
	if s.Namespace == tenancy.Wildcard && s.Name != tenancy.Wildcard && destination.Namespace == tenancy.Wildcard {
		s.Namespace = tenancy.DefaultName
	}
}

// id is the same for two sources of an entry that are about the same callers.
func (s *Source) id() string {
	return strings.Join([]string{s.Peer, s.SamenessGroup, s.Partition, s.Namespace, strings.ToLower(s.Name)}, "/")
}

// precedence is the number of the specification's table (mesh.md section 2): how exact the
// destination is counts before how exact the source is.
func precedence(sourceNS, source, destinationNS, destination string) int {
	return 9 - 3*vague(destinationNS, destination) - vague(sourceNS, source)
}

// vague is 0 for a service, 1 for all of a namespace, 2 for all of all namespaces.
func vague(namespace, name string) int {
	switch {
	case namespace == tenancy.Wildcard:
		return 2
	case name == tenancy.Wildcard:
		return 1
	}
	return 0
}

// shown is x as clients see it. Where all is in the default scope they see nothing of scopes.
func (x *ServiceIntentions) shown(s tenancy.Scope) ServiceIntentions {
	out := *x
	if !s.IsDefault() {
		return out
	}
	out.Sources = slices.Clone(x.Sources)
	for i := range out.Sources {
		out.Sources[i].Namespace = unlessDefault(out.Sources[i].Namespace)
		out.Sources[i].Partition = unlessDefault(out.Sources[i].Partition)
	}
	return out
}

func (x *ServiceIntentions) check(e *Entry, wrong *problems) {
	if e.Name == "" {
		wrong.add("Name is required")
	}
	checkWildcards("Name", e.Name, wrong)
	if e.Namespace == tenancy.Wildcard && e.Name != tenancy.Wildcard {
		wrong.add("Namespace: wildcard character '*' is only allowed with the name '*'")
	}
	switch {
	case len(x.Sources) == 0:
		wrong.add("At least one source is required.")
	case len(x.Sources) > MaxSources:
		wrong.add("Sources: more than %d", MaxSources)
		return
	}
	seen := map[string]bool{}
	for i := range x.Sources {
		s := &x.Sources[i]
		s.check(fmt.Sprintf("Sources[%d]", i), wrong)
		if seen[s.id()] {
			wrong.add("Sources[%d] defines %q more than once", i, s.Name)
		}
		seen[s.id()] = true
	}
	x.JWT.check("JWT", wrong)
}

// checkWildcards refuses names that cannot be part of an identity, and "*" as a part of one.
func checkWildcards(at, name string, wrong *problems) {
	if name != tenancy.Wildcard && strings.Contains(name, tenancy.Wildcard) {
		wrong.add("%s: wildcard character '*' cannot be used with partial values", at)
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c == '/' || c <= ' ' || c == 0x7f || c == '\ufffd' }) {
		wrong.add("%s: %q is not the name of a service", at, name)
	}
}

func (s *Source) check(at string, wrong *problems) {
	if s.Name == "" {
		wrong.add("%s.Name is required", at)
	}
	if len(s.Name) > maxName {
		wrong.add("%s.Name must not be longer than %d bytes", at, maxName)
	}
	checkWildcards(at+".Name", s.Name, wrong)
	s.checkScope(at, wrong)
	if s.Type != SourceConsul {
		wrong.add("%s.Type must be set to 'consul'", at)
	}
	if len(s.Description) > maxMetaValue {
		wrong.add("%s.Description exceeds maximum length %d", at, maxMetaValue)
	}
	switch {
	case len(s.Permissions) > 0 && s.Action != "":
		wrong.add("%s.Action must be omitted if Permissions are specified", at)
	case len(s.Permissions) == 0 && s.Action != Allow && s.Action != Deny:
		wrong.add("%s.Action must be set to 'allow' or 'deny'", at)
	}
	for i := range s.Permissions {
		s.Permissions[i].check(fmt.Sprintf("%s.Permissions[%d]", at, i), wrong)
	}
	checkMeta(s.LegacyMeta, wrong)
}

func (s *Source) checkScope(at string, wrong *problems) {
	switch {
	case s.SamenessGroup != "":
		// Left alone, an intention that denies would deny nobody.
		wrong.add("%s.SamenessGroup: config entry kind \"sameness-group\" is not supported yet", at)
	case s.Peer != "" && s.Partition != "":
		wrong.add("%s: Peer and Partition cannot both be set", at)
	case s.Peer == tenancy.Wildcard || s.Partition == tenancy.Wildcard:
		wrong.add("%s: Peer and Partition cannot be the wildcard '*'", at)
	case s.Namespace == tenancy.Wildcard && s.Name != tenancy.Wildcard:
		wrong.add("%s.Namespace: wildcard character '*' is only allowed with the name '*'", at)
	case s.Namespace != tenancy.Wildcard && tenancy.ValidateNamespace(s.Namespace) != nil:
		wrong.add("%s.Namespace: %v", at, tenancy.ValidateNamespace(s.Namespace))
	case s.Partition != "" && tenancy.ValidatePartition(s.Partition) != nil:
		wrong.add("%s.Partition: %v", at, tenancy.ValidatePartition(s.Partition))
	}
}

func (p *Permission) check(at string, wrong *problems) {
	if p.Action != Allow && p.Action != Deny {
		wrong.add("%s.Action must be set to 'allow' or 'deny'", at)
	}
	if p.HTTP == nil && p.JWT == nil {
		wrong.add("%s must have some HTTP or JWT matching criteria", at)
	}
	p.JWT.check(at+".JWT", wrong)
	if p.HTTP != nil {
		p.HTTP.check(at+".HTTP", wrong)
	}
}

// methods are those of RFC 9110 section 9 and RFC 5789.
var methods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

func (h *HTTPPermission) check(at string, wrong *problems) {
	if count(h.PathExact, h.PathPrefix, h.PathRegex) > 1 {
		wrong.add("%s should only contain one of PathExact, PathPrefix, or PathRegex", at)
	}
	if h.PathExact != "" && h.PathExact[0] != '/' {
		wrong.add("%s.PathExact doesn't start with '/': %q", at, h.PathExact)
	}
	if h.PathPrefix != "" && h.PathPrefix[0] != '/' {
		wrong.add("%s.PathPrefix doesn't start with '/': %q", at, h.PathPrefix)
	}
	checkRegex(at+".PathRegex", h.PathRegex, wrong)
	seen := map[string]bool{}
	for _, m := range h.Methods {
		if !slices.Contains(methods, m) {
			wrong.add("%s.Methods contains an invalid method %q", at, m)
		}
		if seen[m] {
			wrong.add("%s.Methods contains %q more than once", at, m)
		}
		seen[m] = true
	}
	for i := range h.Header {
		h.Header[i].check(fmt.Sprintf("%s.Header[%d]", at, i), wrong)
	}
	if count(h.PathExact, h.PathPrefix, h.PathRegex)+len(h.Methods)+len(h.Header) == 0 {
		wrong.add("%s must have a path, a method or a header to match", at)
	}
}

func (h *HeaderPermission) check(at string, wrong *problems) {
	if h.Name == "" {
		wrong.add("%s missing required Name field", at)
	}
	given := count(h.Exact, h.Prefix, h.Suffix, h.Contains, h.Regex)
	if h.Present {
		given++
	}
	if given != 1 {
		wrong.add("%s should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex", at)
	}
	if h.IgnoreCase && (h.Present || h.Regex != "") {
		wrong.add("%s should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase", at)
	}
	checkRegex(at+".Regex", h.Regex, wrong)
}

// checkRegex complains about what the proxies' engine, RE2, does not take; it is Go's too.
func checkRegex(at, text string, wrong *problems) {
	if _, err := regexp.Compile(text); err != nil {
		wrong.add("%s is not a regular expression: %v", at, err)
	}
}

func (r *JWTRequirement) check(at string, wrong *problems) {
	if r != nil {
		// A requirement that nobody enforces would let everybody in.
		wrong.add("%s: config entry kind \"jwt-provider\" is not supported yet", at)
	}
}

// count returns how many texts are not empty.
func count(texts ...string) int {
	n := 0
	for _, text := range texts {
		if text != "" {
			n++
		}
	}
	return n
}

// Source returns the source of a service-intentions entry that is about a caller and about it
// alone, nil if there is none. e may be nil.
func (e *Entry) Source(caller Service) *Source {
	if e == nil {
		return nil
	}
	for i := range e.ServiceIntentions.Sources {
		if s := &e.ServiceIntentions.Sources[i]; s.is(caller) {
			return s
		}
	}
	return nil
}

func (s *Source) is(caller Service) bool {
	return s.Peer == caller.Peer && s.Scope() == caller.Scope && strings.EqualFold(s.Name, caller.Name)
}

// SourceByID returns the source of a service-intentions entry that has an ID, nil if there is none. e
// may be nil.
func (e *Entry) SourceByID(id string) *Source {
	if e == nil {
		return nil
	}
	for i := range e.ServiceIntentions.Sources {
		if s := &e.ServiceIntentions.Sources[i]; s.LegacyID == id {
			return s
		}
	}
	return nil
}

// WithSource returns a copy of the service-intentions e, or where e is nil new ones of a destination, with
// a source in the place of one that they have, or where that is nil, beside those that they have. It
// is not settled.
func (e *Entry) WithSource(destination Service, s Source, in *Source) *Entry {
	out := &Entry{Kind: KindServiceIntentions, Name: destination.Name, Scope: destination.Scope}
	content := ServiceIntentions{}
	if e != nil {
		*out, content = *e, *e.ServiceIntentions
		content.Sources = slices.Clone(content.Sources)
	}
	if in == nil {
		content.Sources = append(content.Sources, s)
	} else {
		at := slices.IndexFunc(content.Sources, func(o Source) bool { return o.is(in.Service()) })
		content.Sources[at] = s
	}
	out.ServiceIntentions = &content
	return out
}

// WithoutSource returns a copy of the service-intentions e without the source about a caller, nil
// if no other is left.
func (e *Entry) WithoutSource(caller Service) *Entry {
	out := *e
	content := *e.ServiceIntentions
	content.Sources = slices.DeleteFunc(slices.Clone(content.Sources), func(s Source) bool { return s.is(caller) })
	if len(content.Sources) == 0 {
		return nil
	}
	out.ServiceIntentions = &content
	return &out
}
