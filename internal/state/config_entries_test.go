package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/tenancy"
)

func putEntry(s tenancy.Scope, text string) func(*Tx) error {
	return func(tx *Tx) error {
		e, err := configentry.DecodeJSON([]byte(text))
		if err != nil {
			return err
		}
		e.Scope = s
		if err := e.Settle(); err != nil {
			return err
		}
		return tx.PutConfigEntry(*e)
	}
}

func defaultsOf(name, protocol string) string {
	return `{"Kind":"service-defaults","Name":"` + name + `","Protocol":"` + protocol + `"}`
}

func intentionsTo(name, action string) string {
	return `{"Kind":"service-intentions","Name":"` + name + `","Sources":[{"Name":"web","Action":"` + action + `"}]}`
}

func deleteEntry(k configentry.Kind, s tenancy.Scope, name string) func(*Tx) error {
	return func(tx *Tx) error { return tx.DeleteConfigEntry(k, s, name) }
}

// A change of one entry wakes who waits for it, and nobody else is told that something changed.
func TestIndexesOfConfigEntriesAreExact(t *testing.T) {
	everywhere := tenancy.Scope{Partition: "default", Namespace: "*"}
	queries := []struct {
		name string
		ask  func(*Tx, memdb.WatchSet) (uint64, error)
	}{
		{"web", func(tx *Tx, ws memdb.WatchSet) (uint64, error) {
			_, index, err := tx.ConfigEntry(ws, configentry.KindServiceDefaults, tenancy.Default, "web")
			return index, err
		}},
		{"missing", func(tx *Tx, ws memdb.WatchSet) (uint64, error) {
			_, index, err := tx.ConfigEntry(ws, configentry.KindServiceDefaults, tenancy.Default, "missing")
			return index, err
		}},
		{"to db", func(tx *Tx, ws memdb.WatchSet) (uint64, error) {
			_, index, err := tx.IntentionsTo(ws, tenancy.Default, "db")
			return index, err
		}},
		{"to api", func(tx *Tx, ws memdb.WatchSet) (uint64, error) {
			_, index, err := tx.IntentionsTo(ws, tenancy.Default, "api")
			return index, err
		}},
	}
	for _, c := range []struct {
		name   string
		change func(*Tx) error
		raises string // "," between; "gone" is what is missing
	}{
		{"a new entry", putEntry(tenancy.Default, defaultsOf("new", "http")), ""},
		{"a changed entry", putEntry(tenancy.Default, defaultsOf("web", "grpc")), "web"},
		{"an entry in other capitals", putEntry(tenancy.Default, defaultsOf("WEB", "grpc")), "web"},
		{"the same again", putEntry(tenancy.Default, defaultsOf("web", "http")), ""},
		{"the same name elsewhere", putEntry(tenancy.Scope{Partition: "default", Namespace: "team"}, defaultsOf("web", "grpc")), ""},
		{"another kind", putEntry(tenancy.Default, intentionsTo("web", "deny")), ""},
		{"what was missing", putEntry(tenancy.Default, defaultsOf("missing", "http")), "missing"},
		{"a deleted entry", deleteEntry(configentry.KindServiceDefaults, tenancy.Default, "Web"), "web,missing,to db,to api"},
		{"one that was not there", deleteEntry(configentry.KindServiceDefaults, tenancy.Default, "nosuch"), ""},
		{"intentions to db", putEntry(tenancy.Default, intentionsTo("db", "deny")), "to db"},
		{"intentions to all of the namespace", putEntry(tenancy.Default, intentionsTo("*", "deny")), "to db,to api"},
		{"intentions to all", putEntry(everywhere, intentionsTo("*", "deny")), "to db,to api"},
		{"intentions to all of another partition", putEntry(tenancy.Scope{Partition: "east", Namespace: "*"}, intentionsTo("*", "deny")), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newKVWorld(t)
			w.write(putEntry(tenancy.Default, defaultsOf("web", "http")), putEntry(tenancy.Default, defaultsOf("gone", "http")))
			w.write(putEntry(tenancy.Default, intentionsTo("db", "allow")))
			w.write(deleteEntry(configentry.KindServiceDefaults, tenancy.Default, "gone"))
			before := make([]uint64, len(queries))
			watches := make([]memdb.WatchSet, len(queries))
			ask := func(i int, ws memdb.WatchSet) uint64 {
				index, err := queries[i].ask(w.Read(), ws)
				if err != nil {
					t.Fatal(err)
				}
				return index
			}
			for i := range queries {
				watches[i] = memdb.NewWatchSet()
				before[i] = ask(i, watches[i])
			}
			w.write(c.change)
			var raised []string
			for i, q := range queries {
				after := ask(i, nil)
				if after == before[i] {
					continue
				}
				raised = append(raised, q.name)
				if after != w.index || !fired(watches[i]) && !strings.HasPrefix(c.name, "a deleted") {
					t.Errorf("%s: index %d after %d, watch %v", q.name, after, before[i], fired(watches[i]))
				}
			}
			if got := strings.Join(raised, ","); got != c.raises {
				t.Errorf("raised %s, want %s", got, c.raises)
			}
		})
	}
}

func TestListsOfConfigEntries(t *testing.T) {
	team, wide := tenancy.Scope{Partition: "default", Namespace: "team"}, tenancy.Scope{Partition: "default", Namespace: "*"}
	east := tenancy.Scope{Partition: "east", Namespace: "default"}
	w := newKVWorld(t)
	w.write(func(tx *Tx) error { return tx.PutNamespace(tenancy.Namespace{Partition: "default", Name: "team"}) },
		func(tx *Tx) error { return tx.PutPartition(tenancy.Partition{Name: "east"}) },
		putEntry(tenancy.Default, intentionsTo("b", "deny")), putEntry(tenancy.Default, intentionsTo("A", "deny")),
		putEntry(team, intentionsTo("a", "deny")), putEntry(wide, intentionsTo("*", "deny")), putEntry(east, intentionsTo("e", "deny")),
		putEntry(team, `{"Kind":"mesh"}`), putEntry(tenancy.Default, defaultsOf("x", "")))
	for _, c := range []struct {
		name  string
		kind  configentry.Kind
		scope tenancy.Scope
		want  string
	}{
		{"of a namespace, by name", configentry.KindServiceIntentions, tenancy.Default, "default/A default/b"},
		{"of another", configentry.KindServiceIntentions, team, "team/a"},
		{"of all", configentry.KindServiceIntentions, wide, "*/* default/A default/b team/a"},
		{"of another partition", configentry.KindServiceIntentions, east, "default/e"},
		{"of a kind that is the partition's", configentry.KindMesh, team, "default/mesh"},
		{"of a kind without entries", configentry.KindProxyDefaults, team, ""},
	} {
		rows, err := w.Read().ConfigEntries(nil, c.kind, c.scope)
		if got := entryNames(rows); err != nil || got != c.want {
			t.Errorf("%s: %s, want %s, %v", c.name, got, c.want, err)
		}
	}
	all, err := w.Read().AllIntentions(nil)
	if got := entryNames(all); err != nil || got != "*/* default/A default/b team/a default/e" {
		t.Errorf("all intentions: %s, %v", got, err)
	}
	found, _, err := w.Read().IntentionsTo(nil, tenancy.Default, "*")
	if got := entryNames(found); err != nil || got != "*/*" {
		t.Errorf("intentions to the wildcard: %s, %v", got, err)
	}
}

func entryNames(rows []*configentry.Entry) string {
	names := make([]string, len(rows))
	for i, e := range rows {
		names[i] = e.Namespace + "/" + e.Name
	}
	return strings.Join(slices.Clip(names), " ")
}
