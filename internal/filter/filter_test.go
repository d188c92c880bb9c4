package filter

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-bexpr"

	"github.com/lictor/lictor/internal/errs"
)

type kind string

type address struct {
	Address string
	Port    int
}

type upstream struct {
	DestinationName string
	LocalBindPort   int
}

type proxy struct {
	Name        string `json:"DestinationServiceName"`
	Upstreams   []upstream
	Transparent *address
	Config      map[string]any
}

type scope struct{ Namespace string }

type service struct {
	Kind      kind
	Tags      []string
	Meta      map[string]string
	Addresses map[string]address
	Port      int
	Native    bool
	Proxy     proxy
	Hidden    string `json:"-"`
	scope
	Index uint64
}

type check struct {
	Status string
	Tags   []string
}

type entry struct {
	Service *service
	Checks  []*check
}

func web() *entry {
	return &entry{
		Service: &service{
			Kind: "connect-proxy", Tags: []string{"v1", "blue"}, Meta: map[string]string{"version": "1.2", "odd key": "x", "empty": ""},
			Addresses: map[string]address{"lan": {"10.0.0.1", 80}}, Port: 8080, Native: true, scope: scope{"team"},
			Proxy: proxy{Name: "web", Upstreams: []upstream{{"db", 1}, {"cache", 2}}},
		},
		Checks: []*check{{Status: "passing", Tags: []string{"a"}}, {Status: "warning"}},
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filter string
		want   bool
	}{
		{``, true},
		{`Service.Kind == "connect-proxy"`, true},
		{`Service.Kind matches "proxy$"`, true},
		{`"connect" in Service.Kind`, true},
		{"Service.Kind == `connect-proxy`", true},
		{`Service.Port == 8080`, true},
		{`Service.Port != 8080`, false},
		{`Service.Native == true and not Service.Native == false`, true},
		{`"v1" in Service.Tags and "v2" not in Service.Tags`, true},
		{`Service.Tags contains "blue"`, true},
		{`Service.Tags is empty`, false},
		{`Service.Meta.version == "1.2"`, true},
		{`Service.Meta["odd key"] == x`, true},
		{`Service.Meta["nosuch"] == ""`, false},
		{`Service.Meta["nosuch"] != ""`, true},
		{`Service.Meta.empty == ""`, true},
		{`"version" in Service.Meta`, true},
		{`Service.Meta is not empty`, true},
		{`Service.Addresses.lan.Address == "10.0.0.1" and Service.Addresses.lan.Port == 80`, true},
		{`Service.Addresses.wan.Port == 80`, false},
		{`Service.Addresses.wan.Port != 80`, true},
		{`Service.Namespace == team`, true},
		{`Service.Proxy.DestinationServiceName == web`, true},
		{`Service.Proxy.Transparent.Port == 0`, false},
		{`Service.Proxy.Upstreams is not empty`, true},
		{`Service.Proxy.Upstreams.DestinationName == cache`, true},
		{`Service.Proxy.Upstreams.DestinationName == nosuch`, false},
		{`Service.Proxy.Upstreams.LocalBindPort == 2`, true},
		{`Checks.Status == "warning"`, true},
		{`Checks.Status != "warning"`, true},
		{`not Checks.Status == "critical"`, true},
		{`"a" in Checks.Tags`, true},
		{`Checks.Tags is empty`, true},
		{`Checks is empty`, false},
		{`(Service.Port == 1 or Service.Port == 8080) and Checks.Status == passing`, true},
	} {
		t.Run(c.filter, func(t *testing.T) {
			f, err := Parse(c.filter, entry{})
			if err != nil || f.Match(web()) != c.want || f.Match(*web()) != c.want {
				t.Errorf("got %v (%v), want %v", !c.want, err, c.want)
			}
		})
	}
}

func TestFiltersThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ name, filter, text string }{
		{"an unknown field", `Bogus == 1`, `Selector "Bogus" is not valid`},
		{"other capitals", `service.Port == 1`, `Selector "service.Port" is not valid`},
		{"a field by its Go name", `Service.Proxy.Name == x`, `Selector "Service.Proxy.Name" is not valid`},
		{"a hidden field", `Service.Hidden == x`, `Selector "Service.Hidden" is not valid`},
		{"an embedded struct", `Service.scope is empty`, `Selector "Service.scope" is not valid`},
		{"a struct", `Service == x`, `Selector "Service" is not valid`},
		{"an index of the state", `Service.Index == 1`, `Selector "Service.Index" is not valid`},
		{"free-form data", `Service.Proxy.Config.a == 1`, `Selector "Service.Proxy.Config.a" is not valid`},
		{"a part of a text", `Service.Kind.a == 1`, `Selector "Service.Kind.a" is not valid`},
		{"a number in a list", `Service.Tags.0 == 1`, `Selector "Service.Tags.0" is not valid`},
		{"a pattern for a number", `Service.Port matches "8"`, `Invalid match operator "Matches" for selector "Service.Port"`},
		{"a part of a number", `"8" in Service.Port`, `Invalid match operator "In" for selector "Service.Port"`},
		{"an element of a list of structs", `"db" in Service.Proxy.Upstreams`, `Invalid match operator "In" for selector "Service.Proxy.Upstreams"`},
		{"emptiness of a text", `Service.Kind is empty`, `Invalid match operator "Is Empty" for selector "Service.Kind"`},
		{"no number", `Service.Port == x`, `strconv.Atoi: parsing "x": invalid syntax`},
		{"no truth value", `Service.Native == x`, `strconv.ParseBool: parsing "x": invalid syntax`},
		{"a quantifier", `any Service.Tags as t { t == "a" }`, "any and all are not supported"},
		{"a long text", strings.Repeat("a", 4097), "the expression is longer than 4096 bytes"},
		{"many parentheses", strings.Repeat("(", 40) + `Service.Port == 1` + strings.Repeat(")", 40), "the expression is nested too deeply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.filter, entry{})
			want := "Failed to create boolean expression evaluator: " + c.text
			if err == nil || err.Error() != want || errs.KindOf(err) != errs.Invalid {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func attributes() map[string]any {
	return map[string]any{
		"name": "web", "path": "/a/b", "tags": map[string]string{"team": "eng", "a.b": "/x/y"},
		"groups": []string{"eng", "ops"}, "list": map[string][]string{"groups": {"eng"}},
	}
}

func TestFiltersOfAttributes(t *testing.T) {
	for _, c := range []struct {
		filter string
		want   bool
	}{
		{`name == web and path == "/a/b"`, true},
		{`tags["a.b"] == "x/y"`, false},
		{`tags.team matches "^e"`, true},
		{`"eng" in groups and "eng" in list.groups and "groups" in list`, true},
		{`list.nosuch is empty`, true},
	} {
		f, err := Parse(c.filter, attributes())
		if err != nil || f.Match(attributes()) != c.want {
			t.Errorf("%s: not %v (%v)", c.filter, c.want, err)
		}
		for _, odd := range []map[string]any{nil, {"name": 3, "tags": []string{"team"}, "groups": "eng", "list": map[int]string{}}} {
			_ = f.Match(odd) // does not panic
		}
	}
}

// FuzzParse compares with the library's own evaluation where both take the same
// values: those that do not select out of lists.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`name == "web"`, `tags["a.b"] != ""`, `"team" in tags and not name matches "^w"`, `list.groups contains "eng"`,
		`(tags.team == "x" or groups is empty)`, `tags.nosuch != x`, "name == `a", `"/x" in tags["a.b"]`,
		`any groups as g { g == "a" }`, `((((((`, `name == "\x41"`, `"a\"b`, `Service.Port == 8080`, `Checks.Status != "x"`,
		`Service.Addresses.lan.Port == 80`, `Service.Proxy.Transparent.Port != 1`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := Parse(text, entry{}); err == nil {
			_ = parsed.Match(web())
			_ = parsed.Match(entry{})
		}
		own, err := Compile(text, attributes())
		if err != nil || text == "" {
			return
		}
		library, err := bexpr.CreateEvaluator(plainLiterals(text))
		if err != nil {
			t.Fatalf("the library refuses %q: %v", text, err)
		}
		want, err := library.Evaluate(attributes())
		if err != nil {
			t.Fatalf("the library cannot evaluate %q: %v", text, err)
		}
		if got := own.Match(attributes()); got != want {
			t.Errorf("%q is %v, the library says %v", text, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, err := Parse(`"v1" in Service.Tags and Service.Meta.version == "1.2" and Checks.Status == warning`, entry{})
	if err != nil {
		b.Fatal(err)
	}
	e := web()
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(e) {
			b.Fatal("no match")
		}
	}
}
