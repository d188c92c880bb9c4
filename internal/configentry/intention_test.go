package configentry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/tenancy"
)

func service(text string) Service {
	parts := strings.Split(text, "/")
	return Service{Name: parts[2], Scope: tenancy.Scope{Partition: parts[0], Namespace: parts[1]}}
}

// rule returns an entry with one intention; the ends are partition/namespace/name.
func rule(t *rapid.T, source, destination, says string) *Entry {
	from, to := service(source), service(destination)
	e := &Entry{Kind: KindServiceIntentions, Name: to.Name, Scope: to.Scope, ServiceIntentions: &ServiceIntentions{Sources: []Source{{
		Name: from.Name, Partition: from.Partition, Namespace: from.Namespace, Action: Action(says),
	}}}}
	if says == "requests" {
		s := &e.ServiceIntentions.Sources[0]
		s.Action, s.Permissions = "", []Permission{{Action: Allow, HTTP: &HTTPPermission{PathPrefix: "/"}}}
	}
	if err := e.Settle(); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPrecedences(t *testing.T) {
	const one, space, all = "default/ns/x", "default/ns/*", "default/*/*"
	for want, c := range map[int][2]string{
		9: {one, one}, 8: {space, one}, 7: {all, one}, 6: {one, space}, 5: {space, space}, 4: {all, space}, 3: {one, all}, 2: {space, all}, 1: {all, all},
	} {
		e := rule(nil, c[0], c[1], "allow")
		if got := e.ServiceIntentions.Sources[0].Precedence; got != want {
			t.Errorf("%s => %s: %d, want %d", c[0], c[1], got, want)
		}
	}
}

func TestDecisions(t *testing.T) {
	const web, api, db = "default/default/web", "default/default/api", "default/default/db"
	for _, c := range []struct {
		name         string
		rules        []string // source, destination, what it says
		from, to     string
		defaultAllow bool
		want         string
	}{
		{"nothing, allowed by default", nil, web, db, true, "true by default"},
		{"nothing, denied by default", nil, web, db, false, "false by default"},
		{"an intention for both", []string{web, db, "allow"}, web, db, false, "true by 9"},
		{"one for another destination", []string{web, api, "allow"}, web, db, false, "false by default"},
		{"one for another source", []string{api, db, "deny"}, web, db, true, "true by default"},
		{"one the other way round", []string{db, web, "allow"}, web, db, false, "false by default"},
		{"names in other capitals", []string{web, db, "deny"}, "default/default/WEB", db, true, "false by 9"},
		{"the more exact source", []string{"default/default/*", db, "deny", web, db, "allow"}, web, db, false, "true by 9"},
		{"the more exact destination before the source", []string{web, "default/default/*", "allow", "default/*/*", db, "deny"}, web, db, true, "false by 7"},
		{"all of a namespace", []string{"default/default/*", "default/default/*", "deny"}, web, db, true, "false by 5"},
		{"all of all namespaces", []string{"default/*/*", "default/*/*", "allow"}, "default/team/web", db, false, "true by 1"},
		{"all of another namespace", []string{"default/team/*", db, "allow"}, web, db, false, "false by default"},
		{"another partition is another thing", []string{web, db, "allow"}, "east/default/web", db, false, "false by default"},
		{"all namespaces are not all partitions", []string{"default/*/*", "default/*/*", "allow"}, "east/default/web", db, false, "false by default"},
		{"a source of another partition", []string{"east/default/web", db, "allow"}, "east/default/web", db, false, "true by 9"},
		{"decided by request", []string{web, db, "requests"}, web, db, true, "false by 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var entries []*Entry
			for r := range slices.Chunk(c.rules, 3) {
				entries = append(entries, rule(nil, r[0], r[1], r[2]))
			}
			d := Decide(service(c.from), service(c.to), Intentions(entries...), c.defaultAllow)
			by := "default"
			if d.By != nil {
				by = fmt.Sprint(d.By.Precedence)
			}
			if got := fmt.Sprintf("%v by %s", d.Allowed, by); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTheReasonOfADecision(t *testing.T) {
	i := Intentions(rule(nil, "default/default/web", "default/default/db", "allow"))[0]
	if got := i.String(); got != "default/web => default/db (Precedence: 9, Action: ALLOW)" {
		t.Error(got)
	}
}

// The model goes through the rows of the table in the documentation, the first that has a rule
// decides.
var table = []struct{ sourceNS, source, destinationNS, destination bool }{ // true is exact
	{true, true, true, true}, {true, false, true, true}, {false, false, true, true},
	{true, true, true, false}, {true, false, true, false}, {false, false, true, false},
	{true, true, false, false}, {true, false, false, false}, {false, false, false, false},
}

func model(rules map[[2]string]string, from, to string, defaultAllow bool) bool {
	for _, row := range table {
		key := [2]string{pattern(from, row.sourceNS, row.source), pattern(to, row.destinationNS, row.destination)}
		if says, ok := rules[key]; ok {
			return says == "allow"
		}
	}
	return defaultAllow
}

func pattern(end string, exactNS, exactName bool) string {
	s := service(end)
	if !exactNS {
		s.Namespace = "*"
	}
	if !exactName {
		s.Name = "*"
	}
	return s.Partition + "/" + s.Namespace + "/" + s.Name
}

// Attack CVE-2021-36213 is one of its kind: a decision that differs from the documented one.
func TestDecisionsAreThoseOfTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.Custom(func(t *rapid.T) string {
			return strings.Join([]string{
				rapid.SampledFrom([]string{"default", "east"}).Draw(t, "partition"),
				rapid.SampledFrom([]string{"default", "team"}).Draw(t, "namespace"),
				rapid.SampledFrom([]string{"web", "db"}).Draw(t, "name"),
			}, "/")
		})
		rules := map[[2]string]string{}
		for range rapid.IntRange(0, 12).Draw(t, "rules") {
			row := rapid.SampledFrom(table).Draw(t, "row")
			from, to := pattern(end.Draw(t, "source"), row.sourceNS, row.source), pattern(end.Draw(t, "destination"), row.destinationNS, row.destination)
			rules[[2]string{from, to}] = rapid.SampledFrom([]string{"allow", "deny", "requests"}).Draw(t, "says")
		}
		var entries []*Entry
		for ends, says := range rules {
			entries = append(entries, rule(t, ends[0], ends[1], says))
		}
		all := Intentions(entries...)
		from, to, allow := end.Draw(t, "from"), end.Draw(t, "to"), rapid.Bool().Draw(t, "default")
		want := model(rules, from, to, allow)
		if d := Decide(service(from), service(to), all, allow); d.Allowed != want {
			t.Fatalf("%s => %s by %v: %+v", from, to, rules, d)
		}
		// What is matched by either end suffices, and its first that is about both decides.
		for _, matched := range [][]Intention{Match(all, BySource, service(from)), Match(all, ByDestination, service(to))} {
			if d := Decide(service(from), service(to), matched, allow); d.Allowed != want {
				t.Fatalf("%s => %s by what matches, %v: %+v", from, to, rules, d)
			}
			for i := range matched {
				if matched[i].Source().Covers(service(from)) && matched[i].Destination().Covers(service(to)) {
					if first := Decide(service(from), service(to), matched[i:i+1], allow); first.Allowed != want {
						t.Fatalf("%s => %s: the first of %v", from, to, matched)
					}
					break
				}
			}
		}
	})
}

func TestOfEqualsTheOneThatDeniesCounts(t *testing.T) {
	web, db := service("default/default/web"), service("default/default/db")
	allow := Intentions(rule(nil, "default/default/web", "default/default/db", "allow"))
	deny := Intentions(rule(nil, "default/default/web", "default/default/db", "deny"))
	for _, list := range [][]Intention{slices.Concat(allow, deny), slices.Concat(deny, allow)} {
		if d := Decide(web, db, list, true); d.Allowed {
			t.Errorf("%+v", d)
		}
	}
}
