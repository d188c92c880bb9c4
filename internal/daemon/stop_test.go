package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/peer"
)

// A request that has begun when the agent is told to stop gets its answer.
func TestARequestIsAnsweredWhileTheAgentStops(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg, nil)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Ports.HTTP))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"Name": "late"}`
	fmt.Fprintf(conn, "PUT /v1/acl/policy HTTP/1.1\r\nHost: a\r\nX-Consul-Token: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", management, len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGTERM
	for refused := false; !refused; { // the agent has begun to stop once it takes nobody else
		other, err := net.Dial("tcp", addr)
		if refused = err != nil; !refused {
			other.Close()
		}
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || err != nil {
		t.Errorf("%s: %s, %v", resp.Status, text, err)
	}
	if err := <-r.done; !errors.Is(err, ErrStopped) {
		t.Errorf("the agent ended with %v", err)
	}
}

// A client agent asks for its next certificate with the CA of its last reload.
func TestARenewalTrustsTheCAOfTheReload(t *testing.T) {
	dir := t.TempDir()
	old, next := newAuthority(t), newAuthority(t)
	bundle := filepath.Join(dir, "ca.pem")
	write := func(authority *ca.AgentCA) {
		if err := os.WriteFile(bundle, authority.Cert, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old)
	cfg := testConfig(t)
	cfg.Server, cfg.Bootstrap = false, false
	cfg.AutoEncrypt.TLS = true
	cfg.TLS.InternalRPC = TLSListener{CAFile: bundle, VerifyOutgoing: true}
	b, err := newBase(cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: b}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.obtainCertificate(stopped) // makes what asks
	defer c.bare.Close()

	addr := servePort(t, next)
	ask := func() error {
		resp, err := c.bare.Do(t.Context(), addr, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}})
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	if err := ask(); err == nil {
		t.Error("a server of an unknown CA was asked")
	}
	write(next)
	if err := c.reloaded(cfg); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Errorf("after a reload: %v", err)
	}
}

func newAuthority(t *testing.T) *ca.AgentCA {
	t.Helper()
	authority, err := ca.NewAgentCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// servePort opens a server port with a certificate of a CA.
func servePort(t *testing.T, authority *ca.AgentCA) (addr string) {
	t.Helper()
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := peer.NewTLS(peer.TLSConfig{CAs: [][]byte{authority.Cert}, Cert: pair.Cert, Key: pair.Key, VerifyOutgoing: true, Datacenter: "dc1", Domain: "consul"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := peer.Listen("127.0.0.1:0", own, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, http.NotFoundHandler()) }()
	t.Cleanup(func() {
		end()
		if err := errors.Join(<-served, l.Close()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestRequestsThatReadEndWithTheirListener(t *testing.T) {
	for method, ends := range map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodPut: false, http.MethodPost: false, http.MethodDelete: false} {
		life, end := context.WithCancel(t.Context())
		defer end()
		reads, cut := context.WithCancel(life)
		cut()
		shelterWrites(reads, life, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !ends {
				if err := r.Context().Err(); err != nil {
					t.Errorf("%s: %v", method, err)
				}
				end()
			}
			<-r.Context().Done()
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/", nil).WithContext(reads))
	}
}

func TestARequestThatChangesSomethingEndsWithItsCaller(t *testing.T) {
	caller, leave := context.WithCancel(t.Context())
	shelterWrites(t.Context(), t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leave()
		<-r.Context().Done()
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/", nil).WithContext(caller))
}
