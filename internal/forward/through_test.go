package forward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/peer"
)

// clientFunc is a client whose every call is another one's.
type clientFunc func(req *http.Request) (*http.Response, error)

func (f clientFunc) Do(_ context.Context, _ string, req *http.Request) (*http.Response, error) {
	return f(req)
}

func TestALongBodyIsSentOnAsItComesIn(t *testing.T) {
	const body = "a body that is not kept"
	notSent := fmt.Errorf("%w: connection refused", peer.ErrNotSent)
	answer := func(code int, h http.Header) (*http.Response, error) {
		if h == nil {
			h = http.Header{}
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("done"))}, nil
	}
	tests := []struct {
		name     string
		attempts []func(got string) (*http.Response, error) // got is the body, which is read if the attempt begins
		begins   []bool
		code     int
		err      error
	}{
		{"it arrives", []func(string) (*http.Response, error){
			func(got string) (*http.Response, error) {
				if got != body {
					t.Errorf("got %q", got)
				}
				return answer(200, nil)
			},
		}, []bool{true}, 200, nil},
		{"it is sent elsewhere where it was not begun", []func(string) (*http.Response, error){
			func(string) (*http.Response, error) { return nil, notSent },
			func(got string) (*http.Response, error) {
				if got != body {
					t.Errorf("got %q", got)
				}
				return answer(200, nil)
			},
		}, []bool{false, true}, 200, nil},
		{"it is not sent again once it was begun", []func(string) (*http.Response, error){
			func(string) (*http.Response, error) { return nil, notSent },
		}, []bool{true}, 0, peer.ErrNotSent},
		{"the answer counts once it was begun", []func(string) (*http.Response, error){
			func(string) (*http.Response, error) {
				return answer(500, http.Header{http.CanonicalHeaderKey(peer.NotAppliedHeader): {"true"}})
			},
		}, []bool{true}, 500, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			f := &forward.Forwarder{
				Leader: func() (string, bool) { return "10.0.0.1:8300", false },
				Hold:   time.Minute,
				Client: clientFunc(func(req *http.Request) (*http.Response, error) {
					i := n
					n++
					if i >= len(tc.attempts) {
						return nil, errors.New("one attempt too many")
					}
					if req.ContentLength != int64(len(body)) {
						t.Errorf("length %d", req.ContentLength)
					}
					got := ""
					if tc.begins[i] {
						data, err := io.ReadAll(req.Body)
						if err != nil {
							t.Error(err)
						}
						got = string(data)
					}
					_ = req.Body.Close()
					return tc.attempts[i](got)
				}),
			}
			rec := httptest.NewRecorder()
			req := httptest.NewRequest(http.MethodPut, "/v1/snapshot", strings.NewReader(body))
			done, err := f.Forward(rec, req, true, false, nil)
			if !done || !errors.Is(err, tc.err) || n != len(tc.attempts) {
				t.Fatalf("done %t after %d attempts: %v", done, n, err)
			}
			if tc.err == nil && (rec.Code != tc.code || rec.Body.String() != "done") {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}
