package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
)

func TestRequestsWithinTheProcess(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		code    int
		body    string
		fails   bool
	}{
		{"an answer", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK) // too late
			_, _ = w.Write(append(body, r.RequestURI...))
		}, http.StatusTeapot, "/v1/x?y=1", false},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, http.StatusOK, "", false},
		{"an answer that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, 0, "", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			client := http.Client{Transport: &inProcess{tc.handler}}
			res, err := client.Get("http://agent/v1/x?y=1")
			if tc.fails {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != tc.code || string(body) != tc.body {
				t.Errorf("%d %s %v", res.StatusCode, body, err)
			}
		})
	}
}

func TestARequestWithinTheProcessEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &inProcess{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
