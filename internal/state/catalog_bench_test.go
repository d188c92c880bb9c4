package state

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
)

const (
	benchNodes    = 500
	benchServices = 5000 // instances, ten of each name and ten on each node
)

// load registers benchServices with a check each on benchNodes, as many in one transaction as 32 clients cause.
func load(t testing.TB, s *Store) {
	t.Helper()
	index := s.Read().LastWrite()
	for n := range benchNodes {
		index++
		write(t, s, index, func(tx *Tx) error {
			name := nodeName(n)
			must(0, tx.PutNode(catalog.Node{ID: uuid(), Node: name, Address: "10.0.0.1", Datacenter: "dc1", Scope: home, Meta: map[string]string{"rack": "7"}}))
			return tx.PutCheck(check(home, name, catalog.SerfHealth, "", catalog.Passing))
		})
	}
	for first := 0; first < benchServices; first += 32 {
		index++
		write(t, s, index, func(tx *Tx) error {
			for i := first; i < min(first+32, benchServices); i++ {
				name := fmt.Sprint("service-", i%(benchServices/10))
				id := fmt.Sprint(name, "-", i)
				node := nodeName(i / 10)
				must(0, tx.PutInstance(instance(home, node, id, name, "v1", "blue")))
				must(0, tx.PutCheck(check(home, node, "check-"+id, id, catalog.Passing)))
			}
			return nil
		})
	}
}

func nodeName(i int) string { return fmt.Sprintf("node-%03d", i) }

// BenchmarkLoad registers 5,000 services on 500 nodes and tells the time and the memory of it.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		before := heap()
		s := newStore(b)
		start := time.Now()
		load(b, s)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/load")
		b.ReportMetric(float64(heap()-before)/benchServices, "B/service")
		runtime.KeepAlive(s)
	}
}

// answer reads what a health query about a service shows, and returns how much that is.
func answer(tx *Tx, name string) (rows int) {
	for _, i := range must(tx.ServiceInstances(nil, home, name)) {
		if must(tx.Node(nil, i.Partition, i.Node)) != nil {
			rows += 1 + len(must(tx.InstanceChecks(nil, i)))
		}
	}
	return rows
}

// BenchmarkServiceQuery reads ten of 5,000 instances with their nodes and checks.
func BenchmarkServiceQuery(b *testing.B) {
	s := newStore(b)
	load(b, s)
	b.ReportAllocs()
	for b.Loop() {
		tx := s.Read()
		if _, err := tx.WatchService(nil, home, "service-7"); err != nil || answer(tx, "service-7") != 30 {
			b.Fatal("not all there")
		}
	}
}

// BenchmarkWake changes a check of a service that 2,000 queries wait for, and waits until each has its new
// answer, while 2,000 others wait for something else.
func BenchmarkWake(b *testing.B) {
	s := newStore(b)
	load(b, s)
	const watchers = 2000
	statuses := []string{catalog.Warning, catalog.Passing}
	for n := 0; b.Loop(); n++ {
		var woken, waiting sync.WaitGroup
		ctx, cancel := context.WithCancel(b.Context())
		waiting.Add(2 * watchers)
		woken.Add(watchers)
		before := heap()
		for i := range 2 * watchers {
			name := "service-7"
			if i >= watchers {
				name = fmt.Sprint("service-", 8+i%100)
			}
			go func() {
				ws := memdb.NewWatchSet()
				index := must(s.Read().WatchService(ws, home, name))
				waiting.Done()
				if ws.WatchCtx(ctx) != nil {
					return
				}
				tx := s.Read()
				if name != "service-7" || must(tx.WatchService(nil, home, name)) <= index || answer(tx, name) != 30 {
					panic("woken for nothing: " + name)
				}
				woken.Done()
			}()
		}
		waiting.Wait()
		b.ReportMetric(float64(heap()-before)/(2*watchers), "B/watcher")
		start := time.Now()
		write(b, s, s.Read().LastWrite()+1, func(tx *Tx) error {
			return tx.PutCheck(check(home, nodeName(0), "check-service-7-7", "service-7-7", statuses[n%2]))
		})
		woken.Wait()
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/wake")
		cancel()
	}
}
