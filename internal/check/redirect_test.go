package check

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// TestCVE_2022_29153_RedirectsOfChecks follows servers only where they may send an agent.
func TestCVE_2022_29153_RedirectsOfChecks(t *testing.T) {
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsServer.Close()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "elsewhere with %q", r.Header.Get("X-Key"))
	}))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			_, _ = fmt.Fprintf(w, "here with %q", r.Header.Get("X-Key"))
		}
	}))
	defer s.Close()
	for _, c := range []struct {
		name, to string
		d        Definition
		want     Status
	}{
		{"to the same host", "/h", Definition{}, Status{Passing, `200 OK Output: here with "k"`}},
		{"to another host, without what was for the first", elsewhere.URL, Definition{}, Status{Passing, `200 OK Output: elsewhere with ""`}},
		{"off", "/h", Definition{DisableRedirects: true}, Status{Critical, "302 Found"}},
		{"for ever", "/loop", Definition{}, Status{Critical, "stopped after 10 redirects"}},
		{"to another scheme", tlsServer.URL, Definition{TLSSkipVerify: true}, Status{Critical, "redirect from http to https refused"}},
		{"to a file", "file:///etc/passwd", Definition{}, Status{Critical, "redirect from http to file refused"}},
		{"to a link-local address", "http://169.254.10.1/", Definition{}, Status{Critical, "link-local address refused"}},
		{"to instance metadata", "http://169.254.169.254/latest/", Definition{}, Status{Critical, "link-local address refused"}},
		{"to the task's credentials", "http://169.254.170.2/v2/", Definition{}, Status{Critical, "link-local address refused"}},
		{"to one in IPv6", "http://[fe80::1%25lo]/", Definition{}, Status{Critical, "link-local address refused"}},
		{"to one in IPv6's clothes", "http://[::ffff:169.254.169.254]/", Definition{}, Status{Critical, "link-local address refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.d.HTTP, c.d.Header = s.URL+"/?to="+url.QueryEscape(c.to), map[string][]string{"X-Key": {"k"}}
			if got := watch(t, c.d, Options{}).next(); got.Status != c.want.Status || !strings.Contains(got.Output, c.want.Output) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDialledAddresses(t *testing.T) {
	for _, c := range []struct {
		addr              string
		direct, redirects bool // may be dialled
	}{
		{"127.0.0.1", true, true},
		{"10.0.0.1", true, true},
		{"::1", true, true},
		{"169.254.20.10", true, false},
		{"::ffff:169.254.20.10", true, false},
		{"fe80::1%eth0", true, false},
		{"febf::1", true, false},
		{"fec0::1", true, true},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"169.254.170.2", false, false},
		{"169.254.170.23", false, false},
		{"fd00:ec2::254", false, false},
		{"fd00:ec2::23", false, false},
	} {
		address := netip.AddrPortFrom(netip.MustParseAddr(c.addr), 80).String()
		var g guard
		if err := g.control(context.Background(), "tcp", address, nil); (err == nil) != c.direct {
			t.Errorf("%s: %v", c.addr, err)
		}
		g.redirected.Store(true)
		if err := g.control(context.Background(), "tcp", address, nil); (err == nil) != c.redirects {
			t.Errorf("%s after a redirect: %v", c.addr, err)
		}
	}
	if err := new(guard).control(context.Background(), "tcp", "name:80", nil); err == nil {
		t.Error("a name passes for an address")
	}
}
