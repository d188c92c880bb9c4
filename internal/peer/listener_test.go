package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// hungUp reports whether the other end closes c without a word, after what it may
// have said.
func hungUp(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// What a stranger can take is bounded: in number by address and in all, and in time
// (attacks.md, CVE-2020-7219).
func TestSlowStrangers(t *testing.T) {
	ours := newAuthority(t)
	cfg := newTLS(t, strict(ours.server(t, "dc1"), ours))
	starts := map[string][]byte{
		"says nothing":            nil,
		"half a TLS record":       {0x16, 3, 1, 0xff},
		"half an HTTP/2 preface":  []byte(httpPreface[:7]),
		"half a raft preface":     []byte(raftPreface[:7]),
		"a record of great size":  append([]byte{0x16, 3, 1, 0x3f, 0xff}, bytes.Repeat([]byte{1}, 100)...),
		"almost a client's hello": append([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196}, bytes.Repeat([]byte{3}, 100)...),
	}
	for name, start := range starts {
		for form, cfg := range map[string]*TLS{"TLS": cfg, "in the clear": nil} {
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				most := defaultLimits
				most.handshake = 500 * time.Millisecond
				p := open(t, cfg, most, whoami)
				for range 20 {
					if _, err := tcp(t, p.addr()).Write(start); err != nil {
						t.Fatal(err)
					}
				}
				eventually(t, "every place is free again", func() bool { return p.unidentified.Held() == 0 })
				c := newClient(t, cfg)
				eventually(t, "a server is let in afterwards, if it is given time for its handshake", func() bool {
					_, body, err := get(t, c, p.addr(), "/")
					return err == nil && strings.HasPrefix(body, "server")
				})
			})
		}
	}
}

func TestFloodOfStrangers(t *testing.T) {
	ours := newAuthority(t)
	cfg := newTLS(t, strict(ours.server(t, "dc1"), ours))
	most := defaultLimits
	most.handshake, most.perAddr, most.unidentified = time.Hour, 5, 8
	p := open(t, cfg, most, whoami)
	from := func(host string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
		c, err := d.Dial("tcp", p.addr())
		must(t, c, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for range 5 {
		from("127.0.0.1")
	}
	eventually(t, "five are in", func() bool { return p.unidentified.Held() == 5 })
	if !hungUp(t, from("127.0.0.1")) {
		t.Error("a sixth of one address is kept")
	}
	for range 3 {
		from("127.0.0.2")
	}
	eventually(t, "eight are in", func() bool { return p.unidentified.Held() == 8 })
	if !hungUp(t, from("127.0.0.3")) {
		t.Error("a ninth of all is kept")
	}
	p.log.wait(t, "too many connections")
}

// Strangers that complete the handshake have places of their own.
func TestFloodOfAnonymousClients(t *testing.T) {
	ours := newAuthority(t)
	server := newTLS(t, strict(ours.server(t, "dc1"), ours))
	most := defaultLimits
	most.anonymousPer = 3
	p := open(t, server, most, whoami)
	anonymous := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	for n := range 5 {
		c, err := tls.Dial("tcp", p.addr(), anonymous)
		must(t, c, err)
		defer c.Close()
		if n >= 3 && !hungUp(t, c) {
			t.Error("a fourth is kept")
		}
		eventually(t, "it is in", func() bool { return p.anonymous.Held() == int64(min(n+1, 3)) })
	}
	if _, body, err := get(t, newClient(t, server), p.addr(), "/"); err != nil || body != "server s1" {
		t.Errorf("a server meanwhile: %q, %v", body, err)
	}
}

// Under verify_incoming, who has no certificate may ask for one, briefly and shortly.
func TestAskingForACertificate(t *testing.T) {
	ours := newAuthority(t)
	server := strict(ours.server(t, "dc1"), ours)
	handled := make(chan error, 1)
	p := open(t, newTLS(t, server), defaultLimits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, limited := r.Context().Deadline()
		if !limited {
			t.Error("it may take for ever")
		}
		if From(r) != (Identity{}) {
			t.Errorf("from %v", From(r))
		}
		_, err := io.Copy(io.Discard, r.Body)
		handled <- err
	}))
	server.Cert, server.Key = nil, ""
	c := newClient(t, newTLS(t, server))
	for _, tc := range []struct {
		name    string
		size    int
		allowed bool
	}{
		{"a request of usual size", 500, true},
		{"a request without end", maxSignBody + 1, false},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://server"+SignPath, strings.NewReader(strings.Repeat("x", tc.size)))
		must(t, req, err)
		res, err := c.Do(t.Context(), p.addr(), req)
		if err == nil {
			_ = res.Body.Close()
		}
		if err := <-handled; (err == nil) != tc.allowed {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for _, path := range []string{"/v1/agent/self", "/internal/read-index", SignPath + "/", "/internal/auto-encrypt/%73ign/..", "/"} {
		if status, body, err := get(t, c, p.addr(), path); err != nil || status != http.StatusForbidden {
			t.Errorf("%s: status %d, %q, %v", path, status, body, err)
		}
	}
	select {
	case <-handled:
		t.Error("a handler ran")
	default:
	}
}

func TestHeadersAreBounded(t *testing.T) {
	p := open(t, nil, defaultLimits, whoami)
	req, err := http.NewRequest(http.MethodGet, "http://server/", nil)
	must(t, req, err)
	req.Header.Set("X-Consul-Token", strings.Repeat("x", 2*maxHeader))
	res, err := newClient(t, nil).Do(t.Context(), p.addr(), req)
	if err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", res.StatusCode)
		}
	}
}

// A health check that connects and leaves is not worth a warning, and HTTP/1 is not
// spoken.
func TestOtherProtocols(t *testing.T) {
	p := open(t, nil, defaultLimits, whoami)
	_ = tcp(t, p.addr()).Close()
	c := tcp(t, p.addr())
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if !hungUp(t, c) {
		t.Error("HTTP/1 is answered")
	}
	p.log.wait(t, "speaks neither raft nor HTTP/2")
	if strings.Contains(p.log.String(), "first bytes: EOF") {
		t.Errorf("the log:\n%s", p.log)
	}
	ours := newAuthority(t)
	secure := open(t, newTLS(t, strict(ours.server(t, "dc1"), ours)), defaultLimits, whoami)
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"acme-tls/1"}} {
		c, err := tls.Dial("tcp", secure.addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err == nil && !hungUp(t, c) {
			t.Errorf("ALPN %q is answered", protocols)
		}
	}
}

// A raft connection that no raft takes does not stay.
func TestRaftThatNobodyTakes(t *testing.T) {
	most := defaultLimits
	most.handshake = 30 * time.Millisecond
	p := open(t, nil, most, whoami)
	c := tcp(t, p.addr())
	if _, err := c.Write([]byte(raftPreface)); err != nil {
		t.Fatal(err)
	}
	if !hungUp(t, c) {
		t.Error("it is kept")
	}
	eventually(t, "its place is free", func() bool { return p.verified.Held() == 0 })
}

func TestListenNeedsACertificate(t *testing.T) {
	ours := newAuthority(t)
	cfg := TLSConfig{CAs: [][]byte{ours.Cert}, VerifyOutgoing: true}
	if l, err := Listen("127.0.0.1:0", newTLS(t, cfg), slog.New(slog.DiscardHandler)); err == nil {
		_ = l.Close()
		t.Error("a server without a certificate listens")
	} else if errs.KindOf(err) != errs.Invalid {
		t.Errorf("kind of %v", err)
	}
}

func TestCloseTwice(t *testing.T) {
	p := open(t, nil, defaultLimits, whoami)
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}

// Serve ends by itself when the port is closed under it.
func TestServeEndsWithThePort(t *testing.T) {
	served := make(chan error, 1)
	l, err := Listen("127.0.0.1:0", nil, slog.New(slog.DiscardHandler))
	must(t, l, err)
	go func() { served <- l.Serve(context.Background(), whoami) }()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestComplaintsAreThrottled(t *testing.T) {
	lines := &logged{news: make(chan struct{}, 1)}
	log := slog.New(slog.NewTextHandler(lines, nil))
	noise := throttle{second: time.Now().Add(time.Hour)}
	for range 100 {
		noise.warn(log, "again")
	}
	if n := strings.Count(lines.text.String(), "\n"); n != complaints {
		t.Errorf("%d lines", n)
	}
	noise.second = time.Now().Add(-time.Second)
	noise.warn(log, "again")
	if !strings.HasSuffix(lines.text.String(), "not_logged=90\n") {
		t.Errorf("the last lines:\n%s", lines.text.String())
	}
}
