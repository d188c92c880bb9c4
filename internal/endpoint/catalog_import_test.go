package endpoint

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

// A token sees of another partition what that exports to its own, if it may use what its own has, and
// nothing else.
func TestServicesOfAnotherPartition(t *testing.T) {
	const everything = `service_prefix "" { policy = "write" } node_prefix "" { policy = "write" }`
	newTown := func(t testing.TB) (*catalogWorld, *entryWorld, tenancy.Scope) {
		w := newCatalogWorld(t)
		entries := &entryWorld{w.world, &ConfigEntries{w.Backend}, &Intentions{Backend: w.Backend}}
		east := w.in("east", "default")
		w.in("west", "default")
		w.register(Registration{Scope: east, Node: catalog.Node{Node: "n1", Address: "10.0.0.1"}, Service: &catalog.Service{Service: "web", Connect: catalog.Connect{Native: true}}})
		w.register(Registration{Scope: east, Node: catalog.Node{Node: "n1", Address: "10.0.0.1"}, Service: &catalog.Service{Service: "db"}})
		return w, entries, east
	}
	const exports = `{"Kind":"exported-services","Name":"east","Services":[{"Name":"web","Consumers":[{"Partition":"default"}]}]}`
	t.Run("who sees what", func(t *testing.T) {
		w, entries, east := newTown(t)
		west := tenancy.Scope{Partition: "west", Namespace: "default"}
		writer := w.caller(tenancy.Default, `service "mine" { policy = "write" }`)
		for _, exported := range []bool{false, true} {
			if exported {
				entries.set(east, exports)
			}
			for _, c := range []struct {
				name, rules string
				scope       tenancy.Scope
				service     string
				want        bool
			}{
				{"who may write some service", `service "mine" { policy = "write" }`, tenancy.Default, "web", exported},
				{"who may read everything", `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`, tenancy.Default, "web", exported},
				{"who may read services alone", `service_prefix "" { policy = "read" }`, tenancy.Default, "web", false},
				{"who has no rights", ``, tenancy.Default, "web", false},
				{"a service that is not exported", everything, tenancy.Default, "db", false},
				{"another partition", everything, west, "web", false},
				{"the partition itself", everything, east, "web", true},
			} {
				who := w.caller(c.scope, c.rules)
				for _, connect := range []bool{false, true} {
					if connect && c.service == "db" {
						continue
					}
					f := Find{Scope: east, Name: c.service, Connect: connect}
					health, _, err := w.catalog.ServiceHealth(ctx, who, f)
					services, _, serviceErr := w.catalog.Service(ctx, who, f)
					if err != nil || serviceErr != nil || (len(health.Rows) == 1) != c.want || (len(services) == 1) != c.want {
						t.Errorf("exported %v: %s: %d, %d, %v, %v", exported, c.name, len(health.Rows), len(services), err, serviceErr)
					}
				}
			}
			nodes, _, err := w.catalog.Nodes(ctx, writer, Find{Scope: east})
			if err != nil || len(nodes) != 0 {
				t.Errorf("nodes: %v, %v", nodes, err)
			}
		}
	})
	t.Run("an export is news", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, entries, east := newTown(t)
			who := w.caller(tenancy.Default, everything)
			f := Find{Scope: east, Name: "web"}
			_, meta, err := w.catalog.ServiceHealth(ctx, who, f)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(time.Second)
				entries.set(east, exports)
			}()
			began := time.Now()
			f.Read = Read{MinIndex: meta.Index, MaxWait: time.Minute}
			health, after, err := w.catalog.ServiceHealth(ctx, who, f)
			if err != nil || len(health.Rows) != 1 || time.Since(began) != time.Second {
				t.Errorf("%v, %+v after %v, %v", health.Rows, after, time.Since(began), err)
			}
		})
	})
}
