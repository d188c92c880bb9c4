package audit

import (
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkOperation is both events of an operation, to one sink.
func BenchmarkOperation(b *testing.B) {
	for _, c := range []struct {
		name string
		sink Sink
	}{
		{"discarded", Sink{Type: TypeFile, Path: "/dev/null"}},
		{"best-effort", Sink{Type: TypeFile, Path: filepath.Join(b.TempDir(), "a")}},
		{"enforced", Sink{Type: TypeFile, Path: filepath.Join(b.TempDir(), "b"), Enforced: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := open(b, Config{Sinks: []Sink{c.sink}})
			auth := &Auth{AccessorID: "b1a5f9e0-3c68-4c4e-8d51-6e0b9a7f2d33", Description: "token created via login", CreateTime: time.Now()}
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := &Request{
						ID: "6f1d3a52-0c1e-4b7a-9f55-2f0a6d8b1c10", Action: "kv.write", Method: "PUT", Endpoint: "/v1/kv/app/limit",
						RemoteAddr: "10.0.3.17:40122", UserAgent: "Go-http-client/1.1", Host: "127.0.0.1:8500",
					}
					rec, err := l.Begin(r, auth)
					if err == nil {
						err = rec.Complete(Result{Status: 200})
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			l.Close()
			s := l.Stats()
			b.ReportMetric(float64(s.Lost)/float64(b.N), "lost/op")
			if w := l.sinks[0]; len(w.buf) > 0 {
				b.ReportMetric(float64(len(w.buf))/float64(len(w.ends)), "B/event")
			}
		})
	}
}
