package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// trust returns options that trust the certificate of a test server.
func trust(s *httptest.Server) Options {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

func TestHTTPFlips(t *testing.T) {
	var code atomic.Int32
	code.Store(200)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(code.Load()))
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.Header.Get("X-A"), body)
	}))
	defer s.Close()
	w := watch(t, Definition{HTTP: s.URL + "/h", Method: "POST", Body: "hello", Header: map[string][]string{"x-a": {"b"}, "Host": {"example"}}}, Options{})
	if got, want := w.next(), (Status{Passing, "HTTP POST " + s.URL + "/h: 200 OK Output: POST example b hello"}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	code.Store(429)
	w.until(Warning, "429 Too Many Requests Output: POST")
	code.Store(503)
	w.until(Critical, "503 Service Unavailable Output: POST")
	code.Store(204)
	w.until(Passing, "204 No Content")
	s.Close()
	w.until(Critical, `Post "`+s.URL+`/h": dial tcp `+s.Listener.Addr().String()+": connect: connection refused")
}

func TestHTTPOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.TLS.ServerName) }))
	defer s.Close()
	s.Config.ErrorLog = quietLog()
	watch(t, Definition{HTTP: s.URL}, Options{}).until(Critical, "certificate signed by unknown authority")
	watch(t, Definition{HTTP: s.URL, TLSSkipVerify: true}, Options{}).until(Passing, "200 OK")
	watch(t, Definition{HTTP: s.URL}, trust(s)).until(Passing, "200 OK")
	watch(t, Definition{HTTP: s.URL, TLSServerName: "example.com"}, trust(s)).until(Passing, "Output: example.com")
	watch(t, Definition{HTTP: s.URL, TLSServerName: "other.test"}, trust(s)).until(Critical, "not other.test")
}

func TestHTTPBodyIsBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil { // never ends by itself
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	w := watch(t, Definition{HTTP: s.URL, OutputMaxSize: 100}, Options{})
	if got := w.next(); got.Status != Passing || len(got.Output) != 100 {
		t.Errorf("%d bytes: %q", len(got.Output), got)
	}
}

func TestHTTPTimeout(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	watch(t, Definition{HTTP: s.URL, Timeout: 20 * time.Millisecond}, Options{}).until(Critical, "context deadline exceeded")
}

func TestHTTPKeepsNoConnection(t *testing.T) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	requests := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		_, _ = fmt.Fprint(w, requests, " requests, ", len(open), " open")
	}))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if open[c] = true; state == http.StateClosed {
			delete(open, c)
		}
	}
	s.Start()
	defer s.Close()
	w := watch(t, Definition{HTTP: s.URL}, Options{})
	for range 20 {
		w.next()
	}
	w.until(Passing, ", 1 open") // those before are closed
}

func TestTCPFlips(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	w := watch(t, Definition{TCP: addr}, Options{})
	w.until(Passing, "TCP connect "+addr+": Success")
	_ = l.Close()
	w.until(Critical, "connection refused")
	listen(t, addr)
	w.until(Passing, "TCP connect "+addr+": Success")
}

func TestTCPWithTLS(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	s.Config.ErrorLog = quietLog()
	addr := s.Listener.Addr().String()
	watch(t, Definition{TCP: addr, TCPUseTLS: true}, Options{}).until(Critical, "certificate signed by unknown authority")
	watch(t, Definition{TCP: addr, TCPUseTLS: true}, trust(s)).until(Passing, "Success")
	watch(t, Definition{TCP: addr, TCPUseTLS: true, TLSSkipVerify: true, TLSServerName: "x"}, Options{}).until(Passing, "Success")
	plain := listen(t, "127.0.0.1:0")
	watch(t, Definition{TCP: plain.Addr().String(), TCPUseTLS: true, Timeout: 20 * time.Millisecond}, Options{}).until(Critical, "context deadline exceeded")
}

func TestUDPFlips(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	w := watch(t, Definition{UDP: addr, Timeout: 20 * time.Millisecond}, Options{})
	w.until(Passing, "UDP connect "+addr+": Success") // nobody answers
	_ = conn.Close()
	w.until(Critical, "connection refused")
	if conn, err = net.ListenPacket("udp", addr); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		var b [16]byte
		for {
			_, from, err := conn.ReadFrom(b[:])
			if err != nil {
				return
			}
			_, _ = conn.WriteTo([]byte("yes"), from)
		}
	}()
	w.until(Passing, "Success")
}

// grpcHealth is a gRPC health server over the HTTP/2 of net/http.
type grpcHealth struct{ statuses sync.Map } // of services

func (g *grpcHealth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	if r.URL.Path != grpcHealthPath {
		w.Header().Set("Grpc-Status", "12")
		w.Header().Set("Grpc-Message", "unknown service%20grpc.health.v1.Health")
		return
	}
	body, _ := io.ReadAll(r.Body)
	service := ""
	if len(body) > 5 {
		service = string(body[7:])
	}
	status, known := g.statuses.Load(service)
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	if !known {
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "unknown service")
		return
	}
	message := []byte{1 << 3, byte(status.(int))}
	_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
	w.Header().Set("Grpc-Status", "0")
}

// h2Server is a server of HTTP/2 alone, without TLS.
func h2Server(t *testing.T, h http.Handler, addr string) *http.Server {
	t.Helper()
	l := listen(t, addr)
	s := &http.Server{Addr: l.Addr().String(), Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestGRPCFlips(t *testing.T) {
	var health grpcHealth
	health.statuses.Store("", 1)
	health.statuses.Store("shop", 2)
	s := h2Server(t, &health, "127.0.0.1:0")
	w := watch(t, Definition{GRPC: s.Addr}, Options{})
	w.until(Passing, "gRPC check "+s.Addr+": success")
	health.statuses.Store("", 2)
	w.until(Critical, "gRPC application didn't report service healthy")
	health.statuses.Store("", 1)
	w.until(Passing, "success")
	_ = s.Close()
	w.until(Critical, "rpc error: code = Unavailable desc = dial tcp "+s.Addr+": connect: connection refused")
	h2Server(t, &health, s.Addr)
	w.until(Passing, "success")

	w = watch(t, Definition{GRPC: s.Addr + "/shop"}, Options{})
	w.until(Critical, "didn't report")
	health.statuses.Store("shop", 1)
	w.until(Passing, "gRPC check "+s.Addr+"/shop: success")
	watch(t, Definition{GRPC: s.Addr + "/none"}, Options{}).until(Critical, "rpc error: code = NotFound desc = unknown service")
}

func TestGRPCOverTLS(t *testing.T) {
	var health grpcHealth
	health.statuses.Store("", 1)
	s := httptest.NewUnstartedServer(&health)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	s.Config.ErrorLog = quietLog()
	addr := s.Listener.Addr().String()
	watch(t, Definition{GRPC: addr, GRPCUseTLS: true}, trust(s)).until(Passing, "success")
	watch(t, Definition{GRPC: addr, GRPCUseTLS: true}, Options{}).until(Critical, "certificate signed by unknown authority")
}

func TestGRPCErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{"no health service", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "12")
			w.Header().Set("Grpc-Message", "unknown service%20grpc.health.v1.Health")
		}, "rpc error: code = Unimplemented desc = unknown service grpc.health.v1.Health"},
		{"a web server", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 404) },
			`rpc error: code = Unknown desc = unexpected answer: HTTP status 404, content type "text/plain; charset=utf-8"`},
		{"no status", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
		}, "rpc error: code = Internal desc = the answer has no status"},
		{"no message", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "0")
		}, "rpc error: code = Internal desc = the answer cannot be read"},
		{"an endless message", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}, "rpc error: code = Internal desc = the answer is too long"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := h2Server(t, c.h, "127.0.0.1:0")
			d := Definition{GRPC: s.Addr}
			if c.name == "no answer" {
				d.Timeout = 20 * time.Millisecond
			}
			if got := watch(t, d, Options{}).next(); got != (Status{Critical, c.want}) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzGRPCAnswer(f *testing.F) {
	for _, seed := range []string{"", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x02\x08\x01", "\x00\x00\x00\x00\x04\x12\x00\x08\x02", "\x00\x00\x00\x00\x02\x12\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, err := parseGRPCAnswer(body); err != nil && status != 0 {
			t.Errorf("%d with %v", status, err)
		}
	})
}

func TestGRPCMessages(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       uint64
		wrong      bool
	}{
		{"serving", "\x00\x00\x00\x00\x02\x08\x01", 1, false},
		{"unknown is the zero value", "\x00\x00\x00\x00\x00", 0, false},
		{"fields that are not known", "\x00\x00\x00\x00\x14\x12\x02ab\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x08\x02", 2, false},
		{"compressed", "\x01\x00\x00\x00\x02\x08\x01", 0, true},
		{"cut off", "\x00\x00\x00\x00\x02\x08", 0, true},
		{"a field beyond the end", "\x00\x00\x00\x00\x02\x12\x05", 0, true},
		{"a group", "\x00\x00\x00\x00\x01\x0b", 0, true},
		{"half a number", "\x00\x00\x00\x00\x02\x08\xff", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseGRPCAnswer([]byte(c.body))
			if got != c.want || (err != nil) != c.wrong {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	if got := string(grpcRequest("ab")); got != "\x00\x00\x00\x00\x04\x0a\x02ab" {
		t.Errorf("%q", got)
	}
}

func TestH2PingFlips(t *testing.T) {
	s := h2Server(t, http.NotFoundHandler(), "127.0.0.1:0")
	w := watch(t, Definition{H2PING: s.Addr}, Options{})
	w.until(Passing, "HTTP2 ping was successful")
	_ = s.Close()
	w.until(Critical, "connection refused")
	h2Server(t, http.NotFoundHandler(), s.Addr)
	w.until(Passing, "HTTP2 ping was successful")
}

func TestH2PingOverTLS(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.EnableHTTP2 = h2
		s.StartTLS()
		defer s.Close()
		s.Config.ErrorLog = quietLog()
		d := Definition{H2PING: s.Listener.Addr().String(), H2PingUseTLS: true}
		if h2 {
			watch(t, d, trust(s)).until(Passing, "successful")
			watch(t, d, Options{}).until(Critical, "certificate signed by unknown authority")
		} else {
			watch(t, d, trust(s)).until(Critical, "HTTP2 ping failed: ")
		}
	}
}

func TestH2PingOfOtherServers(t *testing.T) {
	for name, c := range map[string]struct{ says, want string }{
		"HTTP/1":               {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"},
		"no settings first":    {"\x00\x00\x00\x06\x01\x00\x00\x00\x00", "does not speak HTTP/2"},
		"goodbye":              {"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00", "closes the connection"},
		"the end":              {"", "EOF"},
		"a ping, no answer":    {"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678", h2MaxSkip), "many frames"},
		"a frame that is long": {"\x01\x00\x00\x04\x00\x00\x00\x00\x00", "does not speak HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					var hello [24 + 9 + 17]byte
					_, _ = io.ReadFull(conn, hello[:])
					_, _ = io.WriteString(conn, c.says)
					_ = conn.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}
			}()
			watch(t, Definition{H2PING: l.Addr().String()}, Options{}).until(Critical, c.want)
		})
	}
}

func TestDockerFlips(t *testing.T) {
	var code atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("POST /containers/{id}/exec", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Cmd []string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || strings.Join(body.Cmd, "|") != "check|it" {
			t.Errorf("%v %v", body, err)
		}
		if r.PathValue("id") != "web/1" {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"message":"No such container: `+r.PathValue("id")+`"}`)
			return
		}
		w.WriteHeader(201)
		_, _ = io.WriteString(w, `{"Id":"e1"}`)
	})
	mux.HandleFunc("POST /exec/e1/start", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "\x01\x00\x00\x00\x00\x00\x00\x04out \x02\x00\x00\x00\x00\x00\x00\x03err")
	})
	mux.HandleFunc("GET /exec/e1/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Running":false,"ExitCode":%d}`, code.Load())
	})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }()
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	d := Definition{Args: []string{"check", "it"}, DockerContainerID: "web/1"}
	w := watch(t, d, Options{Scripts: true})
	w.until(Passing, "out err")
	code.Store(1)
	w.until(Warning, "out err")
	code.Store(2)
	w.until(Critical, "out err")
	code.Store(0)
	w.until(Passing, "out err")
	d.DockerContainerID = "gone"
	watch(t, d, Options{Scripts: true}).until(Critical, "docker: No such container: gone")
	_ = s.Close()
	w.until(Critical, "docker: dial unix")

	t.Setenv("DOCKER_HOST", "ssh://x")
	d.Name, d.Interval = "x", time.Second
	if _, err := New(d, Options{Scripts: true}); err == nil {
		t.Error("a daemon over ssh was taken")
	}
}

func TestOSServiceFlips(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(state+"~", []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(state+"~", state); err != nil {
			t.Fatal(err)
		}
	}
	program := "#!/bin/sh\n[ \"$1 $2 $3\" = 'is-active -- sshd' ] || exit 9\nread state <" + state + "\necho $state\n[ $state = active ]\n"
	if err := os.WriteFile(filepath.Join(dir, serviceManager), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	write("active")
	w := watch(t, Definition{OSService: "sshd"}, Options{})
	w.until(Passing, `service "sshd": active`)
	write("activating")
	w.until(Warning, "activating")
	write("failed")
	w.until(Critical, "failed")
	write("active")
	w.until(Passing, "active")
}

func TestAliasFlips(t *testing.T) {
	var mu sync.Mutex
	var checks []AliasCheck
	changed := make(chan struct{})
	put := func(now ...AliasCheck) {
		mu.Lock()
		defer mu.Unlock()
		checks = now
		close(changed)
		changed = make(chan struct{})
	}
	w := watch(t, Definition{AliasService: "web"}, Options{Alias: func(context.Context) ([]AliasCheck, <-chan struct{}, error) {
		mu.Lock()
		defer mu.Unlock()
		return checks, changed, nil
	}})
	for _, c := range []struct {
		checks []AliasCheck
		want   Status
	}{
		{nil, Status{Passing, "No checks found."}},
		{[]AliasCheck{{"a", Passing, "x"}}, Status{Passing, "All checks passing."}},
		{[]AliasCheck{{"a", Passing, "x"}, {"b", Warning, "slow"}, {"c", Critical, "down"}}, Status{Critical, `Aliased check "c" failing: down`}},
		{[]AliasCheck{{"b", Warning, "slow"}, {"c", Passing, "up"}, {"d", Warning, "too"}}, Status{Warning, `Aliased check "b" failing: slow`}},
		{[]AliasCheck{{"b", Passing, "fast"}}, Status{Passing, "All checks passing."}},
	} {
		put(c.checks...)
		if got := w.next(); got != c.want {
			w.until(c.want.Status, c.want.Output)
		}
	}
	watch(t, Definition{AliasNode: "n"}, Options{Alias: func(context.Context) ([]AliasCheck, <-chan struct{}, error) {
		return nil, nil, net.ErrClosed
	}}).until(Critical, "failed to read the aliased checks")
}

func TestTTLFlips(t *testing.T) {
	w := watch(t, Definition{TTL: 30 * time.Millisecond}, Options{})
	w.until(Critical, "TTL expired")
	ttl := w.runner.(*TTL)
	set := func(status, output string) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- ttl.Set(status, output) }()
		w.until(status, output)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	set(Passing, "xx")
	w.until(Critical, "TTL expired (last output before timeout follows): xx")
	set(Warning, "slow")
	set(Passing, "fine")
	if err := ttl.Set("HEALTHY", ""); err == nil || err.Error() != "Invalid check status: 'HEALTHY'" {
		t.Error(err)
	}
}

func TestTTLIsRestored(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		state   Status
		expires time.Time
		told    bool
	}{
		{"not expired", Status{Passing, "fine"}, now.Add(time.Minute), true},
		{"expired", Status{Passing, "fine"}, now.Add(-time.Second), false},
		{"of another clock", Status{Passing, "fine"}, now.Add(2 * time.Hour), false},
		{"of no status", Status{"fine", ""}, now.Add(time.Minute), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := false
			o := Options{Notify: func(s Status) { told = s == c.state }, Log: quietSlog(), Now: func() time.Time { return now }}
			r, err := New(Definition{Name: "x", TTL: time.Hour}, o)
			if err != nil {
				t.Fatal(err)
			}
			ttl := r.(*TTL)
			ttl.Restore(c.state, c.expires)
			if told != c.told {
				t.Errorf("told: %v", told)
			}
			ttl.Run(t.Context())
			want := now.Add(time.Hour)
			if c.told {
				want = c.expires
			}
			if got := ttl.Expires(); !got.Equal(want) {
				t.Errorf("expires %v, want %v", got, want)
			}
		})
	}
}
