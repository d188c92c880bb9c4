package httpapi

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/limit"
)

// patience is for what happens at once, unless the machine stalls.
const patience = time.Minute

// listen serves w as a process does, and returns the address.
func (w *world) listen(limits Limits) string {
	w.t.Helper()
	limits.HeaderTimeout = cmp.Or(limits.HeaderTimeout, patience)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := NewServer(w.http, limits, w.api.Log)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(NewListener(l, limits)) }()
	w.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l.Addr().String()
}

// send writes raw to a server and returns the first answer.
func send(t *testing.T, addr, raw string) (*http.Response, string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(patience)))
	_, unsent := io.WriteString(conn, raw) // a server that refuses may not read to the end
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, "", errors.Join(err, unsent)
	}
	return resp, text(resp.Body), nil
}

func TestCVE_2025_11374_HostileBodies(t *testing.T) {
	addr := newWorld(t).listen(Limits{})
	impatient := newWorld(t, func(a *API) { a.bodyTimeout = 50 * time.Millisecond }).listen(Limits{})
	const head = "PUT /v1/acl/policy HTTP/1.1\r\nHost: x\r\nX-Consul-Token: " + management + "\r\n"
	const login = "POST /v1/acl/login HTTP/1.1\r\nHost: x\r\n"
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat(" ", n)) }
	for _, c := range []struct{ name, addr, raw, want string }{
		{"as large as allowed", addr, head + length(maxBody, `{"Name":"p"}`), "200"},
		{"one byte more", addr, head + length(maxBody+1, `{"Name":"p"}`), "413 Request body too large, max size: 65536 bytes"},
		{"announces a terabyte", addr, head + "Content-Length: 1000000000000\r\n\r\n{}", "413 Request body too large"},
		{"more than announced is another request", addr, head + "Content-Length: 2\r\nConnection: close\r\n\r\n{} rubbish", "400 Invalid Policy: no Name is set"},
		{"less than announced", impatient, head + "Content-Length: 100\r\n\r\n{}", "400 Failed to read request body"},
		{"endless chunks", addr, head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk(8192), 9), "413 Request body too large"},
		{"chunks that stop", impatient, head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(10), "400 Failed to read request body"},
		{"chunks and a length", addr, head + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "400 Invalid Policy: no Name is set"},
		{"two lengths", addr, head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}", "400"},
		{"nothing after the header", impatient, login + "Content-Length: 10\r\n\r\n", "400 Failed to read request body"},
		{"a login may be larger", addr, login + length(maxLoginBody, `{"AuthMethod":"x"}`), `403 ACL not found: auth method "x" not found`},
		{"a login has its limit too", addr, login + length(maxLoginBody+1, `{"AuthMethod":"x"}`), "413 Request body too large, max size: 131072 bytes"},
		{"deep", addr, login + exact(strings.Repeat("[", 100_000)), "400 Failed to decode request body: json: nested more than 32 levels deep"},
		{"on a path that is none", impatient, "PUT /v1/nope HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "404"},
		{"a huge header", addr, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", "431"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body, err := send(t, c.addr, c.raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(resp.StatusCode, " ", body); !strings.HasPrefix(got, c.want) {
				t.Fatalf("got %.200s, want %s", got, c.want)
			}
		})
	}
}

// length is the rest of a request whose body is n bytes: value, then space.
func length(n int, value string) string { return exact(value + strings.Repeat(" ", n-len(value))) }

func exact(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

func TestSlowHeader(t *testing.T) {
	addr := newWorld(t).listen(Limits{HeaderTimeout: 50 * time.Millisecond})
	if _, _, err := send(t, addr, "GET /v1/status/leader HTTP/1.1\r\nX-Slow:"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open: %v", err)
	}
}

// oneConn accepts one connection.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if conn, open := <-l; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { close(l); return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestRows(t, &seen{}, func(r *request) (any, error) {
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(2 * bodyTimeout): // of the bubble's clock
				return "done", nil
			}
		})
		l := make(oneConn, 1)
		srv := NewServer(w.http, Limits{}, w.api.Log)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		conn, served := net.Pipe()
		l <- served
		defer func() {
			_, _ = conn.Close(), srv.Close()
			<-done
		}()
		in := bufio.NewReader(conn)
		for _, method := range []string{"PUT", "GET"} { // which reads its body, and which does not
			_, err := io.WriteString(conn, method+" /v1/open HTTP/1.1\r\nHost: x\r\n"+exact("{}"))
			check(t, err)
			resp, err := http.ReadResponse(in, nil)
			check(t, err)
			if body := text(resp.Body); body != `"done"` {
				t.Errorf("%s: %s", method, body)
			}
		}
	})
}

func TestCVE_2020_7219_ConnectionsPerClient(t *testing.T) {
	addr := newWorld(t).listen(Limits{MaxConnsPerClient: 2})
	ask := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		check(t, conn.SetDeadline(time.Now().Add(patience)))
		_, _ = io.WriteString(conn, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		return conn, err
	}
	first, err := ask()
	check(t, err)
	second, err := ask()
	check(t, err)
	third, err := ask()
	if err == nil {
		t.Fatal("a third connection was served")
	}
	_, _, _ = first.Close(), second.Close(), third.Close()
	for deadline := time.Now().Add(patience); ; {
		conn, err := ask()
		_ = conn.Close()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("closed connections still count: %v", err)
		}
	}
}

func TestConnectionsAreCountedPerAddress(t *testing.T) {
	l := &limitedListener{open: limit.Places{PerSource: 1}}
	if !l.open.Take("192.0.2.1", 1) || l.open.Take("192.0.2.1", 1) || !l.open.Take("192.0.2.2", 1) {
		t.Fatal("the limit is not per address")
	}
	l.open.Give("192.0.2.1", 1)
	l.open.Give("192.0.2.2", 1)
	if n := l.open.Held(); n != 0 {
		t.Fatalf("left over: %d", n)
	}
}

func TestHTTP2OnTLS(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(w.http, Limits{}, w.api.Log)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	resp, err := srv.Client().Post(srv.URL+"/v1/internal/acl/authorize?token="+management, "application/json",
		strings.NewReader(`[{"Resource":"acl","Access":"write"},{"Resource":"key","Access":"read","Segment":"k"}]`))
	check(t, err)
	defer resp.Body.Close()
	const want = `[{"Resource":"acl","Access":"write","Allow":true},{"Resource":"key","Access":"read","Segment":"k","Allow":true}]`
	if got := text(resp.Body); resp.ProtoMajor != 2 || got != want {
		t.Fatalf("HTTP/%d: %s", resp.ProtoMajor, got)
	}
	if state := resp.TLS; state == nil || state.Version < tls.VersionTLS12 {
		t.Fatalf("TLS: %+v", state)
	}
}

func TestARefusedHandshakeSaysWhy(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	named := httptest.NewUnstartedServer(nil) // for its certificate
	named.StartTLS()
	defer named.Close()
	srv := NewServer(w.http, Limits{HeaderTimeout: patience}, w.api.Log)
	limited := NewListener(l, Limits{}).(*limitedListener)
	limited.linger = patience
	done := make(chan error, 1)
	go func() {
		done <- srv.Serve(tls.NewListener(limited, &tls.Config{
			Certificates: named.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert,
		}))
	}()
	defer func() {
		_ = srv.Close()
		<-done
	}()
	for range 50 {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		check(t, err) // with TLS 1.3 the client is done before it is refused
		for range 60 {
			if _, err := conn.Write(make([]byte, 1<<10)); err != nil {
				t.Fatalf("the connection ended before the refusal was read: %v", err)
			}
		}
		_, err = conn.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "tls: certificate required") {
			t.Fatalf("read returned %v", err)
		}
		check(t, conn.Close())
	}
}
