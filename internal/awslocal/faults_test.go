package awslocal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	tests := []struct {
		name                  string
		fault                 Fault
		status, size          int
		body, kind, code, loc string
	}{
		{name: "none", status: 200, kind: "text/xml"},
		{name: "slow", fault: Fault{Delay: time.Millisecond}, status: 200, kind: "text/xml"},
		{name: "throttled", fault: Fault{Status: 400, Code: "Throttling"}, status: 400, kind: "text/xml", code: "Throttling"},
		{name: "too many requests", fault: Fault{Status: 429}, status: 429, kind: "text/xml"},
		{name: "failed", fault: Fault{Status: 503, Code: "ServiceUnavailable"}, status: 503, kind: "text/xml", code: "ServiceUnavailable"},
		{name: "redirected", fault: Fault{Status: 302, Location: "http://127.0.0.1:1/"}, status: 302, kind: "text/xml", loc: "http://127.0.0.1:1/"},
		{name: "huge", fault: Fault{Status: 200, Size: 1 << 20}, status: 200, kind: "text/xml", size: 1 << 20},
		{name: "of the wrong kind", fault: Fault{Status: 200, ContentType: "text/html", Body: "<html>"}, status: 200, kind: "text/html", body: "<html>"},
		{name: "an error of the wrong kind", fault: Fault{Status: 403, ContentType: "text/html", Code: "X"}, status: 403, kind: "text/html", code: "X"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan Call, 1)
			s := start(t, Demo(), Options{
				Observe: func(c Call) { calls <- c },
				Fault: func(service, action string) Fault {
					if service != "sts" || action != "GetCallerIdentity" {
						t.Errorf("asked for a fault of %s %s", service, action)
					}
					return tt.fault
				},
			})
			got := ask(t, s, demoKey, "sts", identityBody)
			if got.status != tt.status || got.header.Get("Content-Type") != tt.kind || got.header.Get("Location") != tt.loc {
				t.Errorf("got %d %v", got.status, got.header)
			}
			if tt.body != "" && got.body != tt.body || tt.size != 0 && len(got.body) != tt.size {
				t.Errorf("got %d bytes", len(got.body))
			}
			if tt.code != "" && !strings.Contains(got.body, "<Code>"+tt.code+"</Code>") {
				t.Errorf("got %s", got.body)
			}
			if c := <-calls; c.Service != "sts" || c.Action != "GetCallerIdentity" || c.Status != tt.status || c.Code != tt.code {
				t.Errorf("observed %+v", c)
			}
		})
	}
}

func TestCutConnection(t *testing.T) {
	calls := make(chan Call, 1)
	s := start(t, Demo(), Options{
		Observe: func(c Call) { calls <- c },
		Fault:   func(string, string) Fault { return Fault{Cut: true} },
	})
	resp, err := http.Post(s.URL(), "application/x-www-form-urlencoded", nil)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("got %s", resp.Status)
	}
	if c := <-calls; c.Status != 0 || c.Service != "" || c.Principal != "" {
		t.Errorf("observed %+v", c)
	}
}

func TestLatencyEndsWithTheCaller(t *testing.T) {
	arrived, calls := make(chan struct{}), make(chan Call, 1)
	s := start(t, Demo(), Options{
		Latency: time.Hour,
		Observe: func(c Call) { calls <- c },
		Fault:   func(string, string) Fault { close(arrived); return Fault{} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL()+"/v4/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if c := <-calls; c.Service != "metadata" || c.Status != 0 {
		t.Errorf("observed %+v", c)
	}
}

func TestObserveSeesWhoCalled(t *testing.T) {
	calls := make(chan Call, 1)
	s := start(t, Demo(), Options{Observe: func(c Call) { calls <- c }})
	ask(t, s, demoKey, "iam", "Action=GetUser&Version=2010-05-08")
	if c := <-calls; c.Service != "iam" || c.Action != "GetUser" || c.Principal != "arn:aws:iam::123456789012:user/operator" || c.Status != 200 || c.Duration <= 0 {
		t.Errorf("observed %+v", c)
	}
	ask(t, s, demoKey, "iam", "Action=GetRole&RoleName=nobody&Version=2010-05-08")
	if c := <-calls; c.Code != "NoSuchEntity" || c.Status != 404 {
		t.Errorf("observed %+v", c)
	}
}
