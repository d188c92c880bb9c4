package audit

import (
	"fmt"
	"strings"
)

// pattern matches operations: an optional HTTP method and a space, and then the beginning
// of an endpoint, which starts with a slash, or the name of an operation. A star at the
// end stands for any rest; a method alone or a star alone is everything of it.
type pattern struct {
	method, text   string
	path, anything bool // text is of an endpoint; text is only a beginning
}

// parsePattern reads "GET", "GET /v1/kv/*", "acl.token.*" or "*".
func parsePattern(s string) (pattern, error) {
	var p pattern
	first, rest, both := strings.Cut(s, " ")
	switch {
	case both:
		p.method, p.text = first, rest
	case isMethod(first):
		p.method, p.text = first, "*"
	default:
		p.text = first
	}
	if both && !isMethod(first) || p.text == "" || strings.ContainsAny(p.text, " \t") {
		return p, fmt.Errorf("%q is not a pattern such as \"GET /v1/kv/*\" or \"acl.token.*\"", s)
	}
	p.path = p.text[0] == '/'
	p.text, p.anything = strings.CutSuffix(p.text, "*")
	if strings.Contains(p.text, "*") {
		return p, fmt.Errorf("%q has a star that is not at its end", s)
	}
	return p, nil
}

func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func (p pattern) matches(r *Request) bool {
	if p.method != "" && p.method != r.Method {
		return false
	}
	on := r.Action
	if p.path {
		on = r.Endpoint
	}
	return on == p.text || p.anything && strings.HasPrefix(on, p.text)
}

// filter says which operations a sink is for.
type filter struct{ include, exclude []pattern }

func newFilter(include, exclude []string) (filter, error) {
	var f filter
	for _, list := range []struct {
		from []string
		to   *[]pattern
	}{{include, &f.include}, {exclude, &f.exclude}} {
		for _, s := range list.from {
			p, err := parsePattern(s)
			if err != nil {
				return f, err
			}
			*list.to = append(*list.to, p)
		}
	}
	return f, nil
}

// wants reports whether r is included, and not excluded. No include includes everything.
func (f *filter) wants(r *Request) bool {
	in := len(f.include) == 0
	for _, p := range f.include {
		in = in || p.matches(r)
	}
	for _, p := range f.exclude {
		in = in && !p.matches(r)
	}
	return in
}
