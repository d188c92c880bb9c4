package httpapi

import (
	"net/http"
	"net/http/httptest"
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
