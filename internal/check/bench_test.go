package check

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

// BenchmarkMemory prints what a check costs while nothing happens.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name string
		d    Definition
	}{
		{"http", Definition{HTTP: "http://127.0.0.1:1/health", Interval: time.Hour}},
		{"tcp", Definition{TCP: "127.0.0.1:1", Interval: time.Hour}},
		{"ttl", Definition{TTL: time.Hour}},
	} {
		b.Run(c.name, func(b *testing.B) {
			const checks = 2000
			c.d.Name = "x"
			o := Options{Notify: func(Status) {}, Log: quietSlog()}
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				var ended sync.WaitGroup
				kept := make([]Runner, checks)
				before := inUse()
				for i := range kept {
					r, err := New(c.d, o)
					if err != nil {
						b.Fatal(err)
					}
					kept[i] = r
					ended.Go(func() { r.Run(ctx) })
				}
				b.ReportMetric(float64(inUse()-before)/checks, "B/check")
				cancel()
				ended.Wait()
				runtime.KeepAlive(kept)
			}
		})
	}
}

// inUse returns bytes of heap and stacks.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first has freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
