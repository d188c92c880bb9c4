package endpoint

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

// entryWorld is a world with config entries.
type entryWorld struct {
	*world
	entries    *ConfigEntries
	intentions *Intentions
}

func newEntryWorld(t testing.TB) *entryWorld {
	w := newWorld(t)
	return &entryWorld{w, &ConfigEntries{w.Backend}, &Intentions{Backend: w.Backend}}
}

// entry is an entry of a text, in s.
func (w *entryWorld) entry(s tenancy.Scope, text string) configentry.Entry {
	w.t.Helper()
	e := must(configentry.DecodeJSON([]byte(text)))(w.t)
	e.Scope = s
	return *e
}

func (w *entryWorld) set(s tenancy.Scope, text string) {
	w.t.Helper()
	if done, err := w.entries.Set(ctx, w.root, w.entry(s, text), nil); err != nil || !done {
		w.t.Fatal(text, done, err)
	}
}

// samples are an entry of each kind, by its name.
var entrySamples = map[string]string{
	"web":     `{"Kind":"service-defaults","Name":"web"}`,
	"global":  `{"Kind":"proxy-defaults","Name":"global"}`,
	"db":      `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Action":"allow"}]}`,
	"mesh":    `{"Kind":"mesh"}`,
	"default": `{"Kind":"exported-services","Name":"default","Services":[{"Name":"*","Consumers":[{"Partition":"east"}]}]}`,
}

// CVE-2023-2816 is one of their kind: who may write a service's entry could change others. Each caller
// can read and write what the table of the documentation says.
func TestCVE_2023_2816_TheScopeOfEachKindOfEntry(t *testing.T) {
	w := newEntryWorld(t)
	for _, text := range entrySamples {
		w.set(tenancy.Default, text)
	}
	for _, c := range []struct{ rules, reads, writes string }{
		{``, "global mesh", ""},
		{`service "web" { policy = "read" }`, "global mesh web", ""},
		{`service "web" { policy = "write" }`, "global mesh web", "web"},
		{`service "db" { policy = "write" }`, "db global mesh", ""},
		{`service "db" { policy = "read" intentions = "write" }`, "db global mesh", "db"},
		{`service "db" { policy = "write" intentions = "deny" }`, "global mesh", ""},
		{`mesh = "read"`, "default global mesh", ""},
		{`mesh = "write"`, "default global mesh", "default global mesh"},
		{`operator = "write"`, "default global mesh", "default global mesh"},
		{`operator = "write" mesh = "deny"`, "global mesh", ""},
		{`service_prefix "" { policy = "write" intentions = "write" } mesh = "write"`, "db default global mesh web", "db default global mesh web"},
	} {
		who := w.caller(tenancy.Default, c.rules)
		var reads, writes []string
		for _, name := range []string{"db", "default", "global", "mesh", "web"} {
			e := w.entry(tenancy.Default, entrySamples[name])
			req := ConfigEntryRead{Scope: tenancy.Default, Kind: e.Kind, Name: name}
			got, _, err := w.entries.Get(ctx, who, req)
			list, meta, listErr := w.entries.List(ctx, who, ConfigEntryRead{Scope: tenancy.Default, Kind: e.Kind})
			if (err == nil) != (len(list) == 1) || meta.FilteredByACLs != (len(list) == 0) || listErr != nil {
				t.Errorf("%s: %s: %v, but the list is %v, %v", c.rules, name, err, list, listErr)
			}
			if err == nil && got != nil {
				reads = append(reads, name)
			}
			_, err = w.entries.Set(ctx, who, e, nil)
			never := uint64(1)
			_, deleteErr := w.entries.Delete(ctx, who, req, &never)
			if (err == nil) != (deleteErr == nil) || err != nil && errs.KindOf(err) != errs.Denied {
				t.Errorf("%s: write %s: %v, delete: %v", c.rules, name, err, deleteErr)
			}
			if err == nil {
				writes = append(writes, name)
			}
		}
		if r, wr := strings.Join(reads, " "), strings.Join(writes, " "); r != c.reads || wr != c.writes {
			t.Errorf("%s reads %q, want %q, and writes %q, want %q", c.rules, r, c.reads, wr, c.writes)
		}
	}
}

func TestConfigEntriesOfScopes(t *testing.T) {
	w := newEntryWorld(t)
	team, east := w.in("default", "team"), w.in("east", "default")
	for _, s := range []tenancy.Scope{tenancy.Default, team, east} {
		w.set(s, entrySamples["web"])
		w.set(s, entrySamples["mesh"])
	}
	rows, _, err := w.entries.List(ctx, w.root, ConfigEntryRead{Scope: team, Kind: configentry.KindServiceDefaults})
	if err != nil || len(rows) != 1 || rows[0].Scope != team {
		t.Errorf("%v, %v", rows, err)
	}
	mesh, _, err := w.entries.Get(ctx, w.root, ConfigEntryRead{Scope: team, Kind: configentry.KindMesh, Name: "mesh"})
	if err != nil || mesh.Scope != tenancy.Default {
		t.Errorf("%v, %v", mesh, err)
	}
	rows, _, err = w.entries.List(ctx, w.root, ConfigEntryRead{Scope: tenancy.Default, Kind: configentry.KindServiceDefaults, Filter: `Name == "web" and Protocol == ""`})
	if err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	_, _, err = w.entries.List(ctx, w.root, ConfigEntryRead{Scope: tenancy.Default, Kind: configentry.KindServiceDefaults, Filter: `Sources is empty`})
	wantError(t, err, errs.Invalid, `Failed to create boolean expression evaluator: Selector "Sources" is not valid`)
}

func TestConfigEntryWritesThatCompare(t *testing.T) {
	w := newEntryWorld(t)
	at := func(index uint64) *uint64 { return &index }
	e := w.entry(tenancy.Default, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)
	req := ConfigEntryRead{Scope: tenancy.Default, Kind: e.Kind, Name: "web"}
	step := func(what string, want bool, done bool, err error) {
		t.Helper()
		if done != want || err != nil {
			t.Errorf("%s: %v, %v", what, done, err)
		}
	}
	set := func(what string, cas *uint64, want bool) {
		t.Helper()
		done, err := w.entries.Set(ctx, w.root, e, cas)
		step(what, want, done, err)
	}
	set("create", at(0), true)
	e.ServiceDefaults.Protocol = "grpc"
	set("create again", at(0), false)
	got, _, _ := w.entries.Get(ctx, w.root, req)
	set("change", at(got.ModifyIndex), true)
	set("the same with an old index", at(got.ModifyIndex), true)
	done, err := w.entries.Delete(ctx, w.root, req, at(got.ModifyIndex))
	step("delete with an old index", false, done, err)
	done, err = w.entries.Delete(ctx, w.root, req, nil)
	step("delete", true, done, err)
	done, err = w.entries.Delete(ctx, w.root, req, nil)
	step("delete again", true, done, err)
	_, err = w.entries.Set(ctx, w.root, w.entry(tenancy.Default, `{"Kind":"service-defaults","Name":"*"}`), nil)
	wantError(t, err, errs.Invalid, "service-defaults name must be the name of a service, and not a wildcard")
}

// A query on an entry is answered by a change of it, or by its permission's end, and by nothing else.
func TestBlockedOnConfigEntries(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*entryWorld)
		wakes  bool
	}{
		{"its change", func(w *entryWorld) {
			w.set(tenancy.Default, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)
		}, true},
		{"its deletion", func(w *entryWorld) {
			must(w.entries.Delete(ctx, w.root, ConfigEntryRead{Scope: tenancy.Default, Kind: configentry.KindServiceDefaults, Name: "web"}, nil))(w.t)
		}, true},
		{"another's change", func(w *entryWorld) { w.set(tenancy.Default, `{"Kind":"service-defaults","Name":"api"}`) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newEntryWorld(t)
				w.set(tenancy.Default, entrySamples["web"])
				req := ConfigEntryRead{Scope: tenancy.Default, Kind: configentry.KindServiceDefaults, Name: "web"}
				_, meta, err := w.entries.Get(ctx, w.root, req)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					time.Sleep(time.Second)
					c.change(w)
				}()
				began := time.Now()
				req.Read = Read{MinIndex: meta.Index, MaxWait: time.Minute}
				_, after, err := w.entries.Get(ctx, w.root, req)
				if err != nil || (time.Since(began) == time.Second) != c.wakes || (after.Index > meta.Index) != c.wakes {
					t.Errorf("index %d, then %d after %v, %v", meta.Index, after.Index, time.Since(began), err)
				}
			})
		})
	}
}

func TestExportedServices(t *testing.T) {
	w := newEntryWorld(t)
	for _, name := range []string{"web", "consul"} {
		w.propose(fsm.Register{Node: catalog.Node{Node: "n1", Scope: tenancy.Default}, Instance: &catalog.Instance{Service: catalog.Service{ID: name, Service: name, Scope: tenancy.Default}}})
	}
	list, _, err := w.entries.Exported(ctx, w.root, tenancy.Default, Read{})
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	w.set(tenancy.Default, `{"Kind":"exported-services","Name":"default","Services":[{"Name":"*","Consumers":[{"Partition":"east"}]},
		{"Name":"api","Consumers":[{"Peer":"p"}]},{"Name":"web","Consumers":[{"Partition":"east"},{"Partition":"west"}]}]}`)
	list, _, err = w.entries.Exported(ctx, w.root, tenancy.Default, Read{})
	if err != nil || len(list) != 2 || list[0].Service != "api" || list[0].Consumers.Peers[0] != "p" || strings.Join(list[1].Consumers.Partitions, " ") != "east west" {
		t.Errorf("%+v, %v", list, err)
	}
	_, _, err = w.entries.Exported(ctx, w.caller(tenancy.Default, `service_prefix "" { policy = "write" }`), tenancy.Default, Read{})
	if errs.KindOf(err) != errs.Denied {
		t.Error(err)
	}
}

func end(s tenancy.Scope, name string) configentry.Service {
	return configentry.Service{Name: name, Scope: s}
}

func from(name string, action configentry.Action) configentry.Source {
	return configentry.Source{Name: name, Partition: "default", Namespace: "default", Action: action}
}

func (w *entryWorld) put(to configentry.Service, s configentry.Source) {
	w.t.Helper()
	if err := w.intentions.Put(ctx, w.root, to, s); err != nil {
		w.t.Fatal(err)
	}
}

func TestIntentionPermissions(t *testing.T) {
	w := newEntryWorld(t)
	db := end(tenancy.Default, "db")
	id := must(w.intentions.Create(ctx, w.root, db, from("web", configentry.Allow)))(t)
	for _, c := range []struct {
		rules                      string
		read, check, match, writes bool
	}{
		{``, false, false, false, false},
		{`service "web" { policy = "write" intentions = "write" }`, false, false, false, false},
		{`service "db" { policy = "read" }`, true, true, true, false},
		{`service "db" { policy = "write" }`, true, true, true, false},
		{`service "db" { policy = "deny" intentions = "read" }`, true, false, true, false},
		{`service "db" { policy = "read" intentions = "write" }`, true, true, true, true},
		{`service_prefix "" { policy = "read" intentions = "deny" }`, false, true, false, false},
	} {
		who := w.caller(tenancy.Default, c.rules)
		bare := func(what string, err error, may bool) {
			t.Helper()
			if may != (err == nil) || err != nil && err.Error() != "Permission denied" {
				t.Errorf("%s: %s: %v", c.rules, what, err)
			}
		}
		full := func(what string, err error, may bool) {
			t.Helper()
			if may != (err == nil) || err != nil && (errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "lacks permission")) {
				t.Errorf("%s: %s: %v", c.rules, what, err)
			}
		}
		ends := IntentionRead{Source: end(tenancy.Default, "web"), Destination: db}
		_, _, err := w.intentions.Get(ctx, who, ends)
		full("get", err, c.read)
		_, _, err = w.intentions.ByID(ctx, who, id, Read{})
		full("get by ID", err, c.read)
		_, _, err = w.intentions.Check(ctx, who, ends)
		full("check", err, c.check)
		_, _, err = w.intentions.Match(ctx, who, IntentionMatch{By: configentry.ByDestination, Services: []configentry.Service{db}})
		full("match", err, c.match)
		list, meta, err := w.intentions.List(ctx, who, IntentionList{Scope: tenancy.Default})
		if err != nil || (len(list) == 1) != c.read || meta.FilteredByACLs == c.read {
			t.Errorf("%s: list: %v, %+v, %v", c.rules, list, meta, err)
		}
		bare("put", w.intentions.Put(ctx, who, db, from("web", configentry.Allow)), c.writes)
		bare("update", w.intentions.Update(ctx, who, id, db, from("web", configentry.Allow)), c.writes)
		bare("delete what is not there", w.intentions.Delete(ctx, who, end(tenancy.Default, "x"), db), c.writes)
		if !c.writes {
			_, err = w.intentions.Create(ctx, who, db, from("new", configentry.Allow))
			bare("create", err, false)
			bare("delete by ID", w.intentions.DeleteByID(ctx, who, id), false)
		}
	}
}

func TestIntentionsThatMatch(t *testing.T) {
	w := newEntryWorld(t)
	east, wide := w.in("east", "default"), tenancy.Scope{Partition: "default", Namespace: "*"}
	all := configentry.Source{Name: "*", Partition: "default", Namespace: "*", Action: configentry.Deny}
	w.put(end(tenancy.Default, "db"), from("web", configentry.Allow))
	w.put(end(tenancy.Default, "*"), from("web", configentry.Deny))
	w.put(end(wide, "*"), all)
	w.put(end(tenancy.Default, "api"), from("cron", configentry.Allow))
	w.put(end(east, "db"), from("web", configentry.Allow))
	for _, c := range []struct {
		by      configentry.By
		service configentry.Service
		want    string
	}{
		{configentry.ByDestination, end(tenancy.Default, "db"), "web=>db 9, web=>* 6, *=>* 1"},
		{configentry.ByDestination, end(tenancy.Default, "nobody"), "web=>* 6, *=>* 1"},
		{configentry.ByDestination, end(east, "db"), "web=>db 9"},
		{configentry.BySource, end(tenancy.Default, "web"), "web=>db 9, web=>db 9, web=>* 6, *=>* 1"},
		{configentry.BySource, end(east, "web"), ""},
	} {
		lists, _, err := w.intentions.Match(ctx, w.root, IntentionMatch{By: c.by, Services: []configentry.Service{c.service}})
		if err != nil {
			t.Fatal(err)
		}
		if got := intentionNames(lists[0]); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.by, c.service, got, c.want)
		}
	}
	// Of other partitions only what may be read is shown.
	who := w.caller(tenancy.Default, `service_prefix "" { policy = "read" }`)
	lists, _, err := w.intentions.Match(ctx, who, IntentionMatch{By: configentry.BySource, Services: []configentry.Service{end(tenancy.Default, "web")}})
	if err != nil || intentionNames(lists[0]) != "web=>db 9, web=>* 6" {
		t.Errorf("%v, %v", lists, err)
	}
	list, _, err := w.intentions.List(ctx, w.root, IntentionList{Scope: wide, Filter: `Precedence == 6 or SourceName == cron`})
	if err != nil || intentionNames(list) != "cron=>api 9, web=>* 6" {
		t.Errorf("%v, %v", list, err)
	}
}

func intentionNames(list []configentry.Intention) string {
	var names []string
	for _, i := range list {
		names = append(names, i.SourceName+"=>"+i.DestinationName+" "+string(rune('0'+i.Precedence)))
	}
	return strings.Join(names, ", ")
}

func TestTheDefaultOfIntentions(t *testing.T) {
	for _, c := range []struct {
		policy             string
		acls, allow, wants bool
	}{
		{"", true, false, false}, {"", true, true, true}, {"", false, false, true},
		{"allow", true, false, true}, {"deny", false, true, false}, {"deny", true, true, false},
	} {
		w := newEntryWorld(t)
		w.Resolver.Enabled, w.Resolver.DefaultPolicyAllow, w.intentions.DefaultPolicy = c.acls, c.allow, c.policy
		d, _, err := w.intentions.Check(ctx, acl.Caller{Authorizer: acl.AllowAll()}, IntentionRead{Source: end(tenancy.Default, "a"), Destination: end(tenancy.Default, "b")})
		if err != nil || d.Allowed != c.wants {
			t.Errorf("%+v: %v, %v", c, d, err)
		}
	}
}

func TestIntentionsByID(t *testing.T) {
	w := newEntryWorld(t)
	db := end(tenancy.Default, "db")
	s := from("web", configentry.Allow)
	s.LegacyMeta = map[string]string{"a": "b"}
	id := must(w.intentions.Create(ctx, w.root, db, s))(t)
	_, err := w.intentions.Create(ctx, w.root, db, s)
	wantError(t, err, errs.Invalid, `Sources[1] defines "web" more than once`)
	i, _, err := w.intentions.ByID(ctx, w.root, strings.ToUpper(id), Read{})
	if err != nil || i.SourceName != "web" || i.Meta["a"] != "b" || !i.CreatedAt.Equal(w.clock) {
		t.Errorf("%+v, %v", i, err)
	}
	wantError(t, w.intentions.Update(ctx, w.root, id, end(tenancy.Default, "other"), s), errs.Invalid, "the destination of an intention cannot be changed")
	wantError(t, w.intentions.Update(ctx, w.root, someID, db, s), errs.NotFound, "Cannot modify non-existent intention: '"+someID+"'")
	if err := w.intentions.Update(ctx, w.root, id, db, from("moved", configentry.Deny)); err != nil {
		t.Error(err)
	}
	i, _, err = w.intentions.ByID(ctx, w.root, id, Read{})
	if err != nil || i.SourceName != "moved" || i.Action != configentry.Deny || len(i.Meta) != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	_, _, err = w.intentions.ByID(ctx, w.root, "short", Read{})
	wantError(t, err, errs.Invalid, "failed config entry lookup: index error: UUID must be 36 characters")
	for range 2 {
		if err := w.intentions.DeleteByID(ctx, w.root, id); err != nil {
			t.Error(err)
		}
	}
	if i, _, err := w.intentions.ByID(ctx, w.root, id, Read{}); i != nil || err != nil {
		t.Errorf("%+v, %v", i, err)
	}
}
