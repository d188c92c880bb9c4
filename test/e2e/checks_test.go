package e2e

import (
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/freeport"
)

// subject is what a check of a running agent looks at: it can be broken and mended.
type subject struct {
	name  string
	check api.AgentServiceCheck
	set   func(well bool) error
}

// TestChecksFlip lets a real agent check a real thing of each kind, breaks them all, and mends them: the
// catalog hears of it each time.
func TestChecksFlip(t *testing.T) {
	dir := t.TempDir()
	ports, err := freeport.Take(3)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := startAgent(dir, nil, "-dev", "-node", "n1", "-http-port", strconv.Itoa(ports[0]), "-server-port", strconv.Itoa(ports[1]),
		"-serf-lan-port", strconv.Itoa(ports[2]), "-grpc-port=-1", "-grpc-tls-port=-1", "-dns-port=-1", "-hcl", "enable_script_checks = true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.kill)
	c, err := api.NewClient(&api.Config{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))})
	if err != nil {
		t.Fatal(err)
	}
	subjects := []*subject{webSubject(t), listenerSubject(t), datagramSubject(t), grpcSubject(t), pingSubject(t), scriptSubject(dir), ttlSubject(c)}
	set := func(well bool) {
		for _, s := range subjects {
			if err := s.set(well); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
		}
	}
	for _, s := range subjects {
		if s.check.TTL == "" {
			s.check.Interval = "1s"
		}
		if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: s.name, Check: &s.check}); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	alias := &api.AgentServiceRegistration{Name: "alias", Check: &api.AgentServiceCheck{AliasService: "http"}}
	if err := c.Agent().ServiceRegister(alias); err != nil {
		t.Fatal(err)
	}
	subjects = append(subjects, &subject{name: "alias", set: func(bool) error { return nil }})
	for _, well := range []bool{true, false, true} {
		set(well)
		want := api.HealthCritical
		if well {
			want = api.HealthPassing
		}
		for _, s := range subjects {
			awaitStatus(t, c, s.name, want)
		}
	}
}

// awaitStatus waits until the catalog says that the one check of a service has a status.
func awaitStatus(t *testing.T, c *api.Client, service, want string) {
	t.Helper()
	opts := &api.QueryOptions{WaitTime: patience}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		checks, meta, err := c.Health().Checks(service, opts)
		if err != nil {
			t.Fatal(err)
		}
		if len(checks) == 1 && checks[0].Status == want {
			return
		}
		opts.WaitIndex = meta.LastIndex
	}
	t.Fatalf("%s is not %s", service, want)
}

// webSubject answers 200, and 503 when it is broken.
func webSubject(t *testing.T) *subject {
	var broken atomic.Bool
	addr := serveHTTP(t, listenOn(t, "127.0.0.1:0"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})).Addr
	return &subject{"http", api.AgentServiceCheck{HTTP: "http://" + addr + "/health"}, func(well bool) error {
		broken.Store(!well)
		return nil
	}}
}

// listenerSubject listens, or does not.
func listenerSubject(t *testing.T) *subject {
	l := listenOn(t, "127.0.0.1:0")
	addr := l.Addr().String()
	return &subject{"tcp", api.AgentServiceCheck{TCP: addr}, func(well bool) error {
		_ = l.Close()
		if !well {
			return nil
		}
		var err error
		l, err = net.Listen("tcp", addr)
		return err
	}}
}

// datagramSubject answers datagrams, or has no socket.
func datagramSubject(t *testing.T) *subject {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	addr := conn.LocalAddr().String()
	_ = conn.Close()
	return &subject{"udp", api.AgentServiceCheck{UDP: addr}, func(well bool) error {
		_ = conn.Close()
		if !well {
			return nil
		}
		var err error
		if conn, err = net.ListenPacket("udp", addr); err != nil {
			return err
		}
		go func(conn net.PacketConn) {
			var b [64]byte
			for {
				_, from, err := conn.ReadFrom(b[:])
				if err != nil {
					return
				}
				_, _ = conn.WriteTo([]byte("here"), from)
			}
		}(conn)
		return nil
	}}
}

// grpcSubject is a server of grpc.health.v1.Health.
func grpcSubject(t *testing.T) *subject {
	var status atomic.Int32
	addr := serveHTTP(t, listenOn(t, "127.0.0.1:0"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		message := []byte{1 << 3, byte(status.Load())}
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
		w.Header().Set("Grpc-Status", "0")
	})).Addr
	return &subject{"grpc", api.AgentServiceCheck{GRPC: addr}, func(well bool) error {
		status.Store(2) // NOT_SERVING
		if well {
			status.Store(1)
		}
		return nil
	}}
}

// pingSubject is a server of HTTP/2 over TLS that comes and goes.
func pingSubject(t *testing.T) *subject {
	start := func(addr string) *httptest.Server {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		_ = s.Listener.Close()
		s.Listener, s.EnableHTTP2 = listenOn(t, addr), true
		s.StartTLS()
		return s
	}
	server := start("127.0.0.1:0")
	addr := server.Listener.Addr().String()
	t.Cleanup(func() { server.Close() })
	return &subject{"h2ping", api.AgentServiceCheck{H2PING: addr, TLSSkipVerify: true}, func(well bool) error {
		server.Close()
		if well {
			server = start(addr)
		}
		return nil
	}}
}

// scriptSubject is a file that is there or not.
func scriptSubject(dir string) *subject {
	path := filepath.Join(dir, "well")
	return &subject{"script", api.AgentServiceCheck{Args: []string{"sh", "-c", "cat " + path + " || exit 2"}}, func(well bool) error {
		if well {
			return os.WriteFile(path, []byte("all is well\n"), 0o600)
		}
		return os.Remove(path)
	}}
}

// ttlSubject reports by itself.
func ttlSubject(c *api.Client) *subject {
	return &subject{"ttl", api.AgentServiceCheck{TTL: "1h"}, func(well bool) error {
		report := c.Agent().FailTTL
		if well {
			report = c.Agent().PassTTL
		}
		return report("service:ttl", "as told")
	}}
}

func listenOn(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serveHTTP serves HTTP/1.1 and HTTP/2 without TLS.
func serveHTTP(t *testing.T, l net.Listener, h http.Handler) *http.Server {
	s := &http.Server{Addr: l.Addr().String(), Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return s
}
