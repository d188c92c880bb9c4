package httpapi

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// sink is an answer that nobody reads.
type sink struct {
	header http.Header
	code   int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(code int)        { s.code = code }

// BenchmarkTokenSelf is a token that reads itself, from the handler to the state.
func BenchmarkTokenSelf(b *testing.B) {
	w := newWorld(b)
	req := httptest.NewRequest("GET", "/v1/acl/token/self", nil)
	req.Header.Set("X-Consul-Token", management)
	out := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(out.header)
		w.http.ServeHTTP(out, req)
		if out.code > 200 {
			b.Fatal(out.code)
		}
	}
}

// BenchmarkKVGet is a key that is read with a token, from the handler to the state, beside
// what the same router and a bare handler take.
func BenchmarkKVGet(b *testing.B) {
	w := newKVWorld(b)
	secret := w.token("reader", `key_prefix "a/" { policy = "read" }`)
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`[{"LockIndex":0,"Key":"a/1","Flags":42,"Value":"dmFsdWU=","CreateIndex":12,"ModifyIndex":12}]`))
	})
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"api", w.http}, {"bare", bare}} {
		b.Run(c.name, func(b *testing.B) {
			req := httptest.NewRequest("GET", "/v1/kv/a/1", nil)
			req.Header.Set("X-Consul-Token", secret)
			out := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(out.header)
				c.handler.ServeHTTP(out, req)
				if out.code > 200 {
					b.Fatal(out.code)
				}
			}
		})
		b.Run(c.name+"/connections=64", func(b *testing.B) { benchmarkConnections(b, c.handler, secret) })
	}
}

// benchmarkConnections reads over 64 connections that are kept alive.
func benchmarkConnections(b *testing.B, h http.Handler, secret string) {
	const connections = 64
	server := NewServer(h, Limits{}, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	request := []byte("GET /v1/kv/a/1 HTTP/1.1\r\nHost: a\r\nX-Consul-Token: " + secret + "\r\n\r\n")
	var all sync.WaitGroup
	left := atomic.Int64{}
	left.Store(int64(b.N))
	b.ResetTimer()
	for range connections {
		all.Go(func() {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				answer, err := http.ReadResponse(in, nil)
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Error(answer, err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
			}
		})
	}
	all.Wait()
}
