package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
)

// traffic sends PUTs through c to the addresses until stopped, repeating only what was
// not sent, and counts.
type traffic struct {
	stop    func() // and wait
	sent    atomic.Int64
	done    atomic.Int64
	handled sync.Map // of the request's number: how often
}

func (f *traffic) handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != r.URL.Path {
		http.Error(w, fmt.Sprintf("body %q, %v", body, err), http.StatusBadRequest)
		return
	}
	n, _ := f.handled.LoadOrStore(r.URL.Path, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

func (f *traffic) start(t *testing.T, c *Client, workers int, addrs func() []string) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				path := fmt.Sprintf("/%d", f.sent.Add(1))
				if err := f.put(c, path, addrs()); err != nil {
					t.Errorf("put %s: %v", path, err)
					return
				}
				f.done.Add(1)
			}
		})
	}
	f.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(f.stop)
}

func (f *traffic) put(c *Client, path string, addrs []string) error {
	var err error
	for _, addr := range addrs {
		var req *http.Request
		if req, err = http.NewRequest(http.MethodPut, "http://server"+path, strings.NewReader(path)); err != nil {
			return err
		}
		var res *http.Response
		if res, err = c.Do(context.Background(), addr, req); errors.Is(err, ErrNotSent) {
			continue
		} else if err != nil {
			return err
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d, %q, %w", res.StatusCode, body, err)
		}
		return nil
	}
	return err
}

// more waits until n further requests are done.
func (f *traffic) more(t *testing.T, n int64) {
	t.Helper()
	to := f.done.Load() + n
	eventually(t, "requests go on", func() bool { return t.Failed() || f.done.Load() >= to })
}

// check reports requests that were not handled exactly once.
func (f *traffic) check(t *testing.T) {
	t.Helper()
	f.stop()
	for n := range f.sent.Load() {
		times, ok := f.handled.Load(fmt.Sprintf("/%d", n+1))
		if !ok || times.(*atomic.Int64).Load() != 1 {
			t.Fatalf("request %d of %d was not handled once", n+1, f.sent.Load())
		}
	}
}

// Certificates are replaced on both sides while requests run. None fails, and those
// that were running go on.
func TestReloadUnderTraffic(t *testing.T) {
	ours := newAuthority(t)
	config := func() TLSConfig { return strict(ours.server(t, "dc1"), ours) }
	server, client := newTLS(t, config()), newTLS(t, config())
	f := &traffic{}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", f.handle)
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "ended")
	})
	p := open(t, server, defaultLimits, mux)
	c := newClient(t, client)
	req, err := http.NewRequest(http.MethodGet, "http://server/long", nil)
	must(t, req, err)
	long, err := c.Do(t.Context(), p.addr(), req)
	must(t, long, err)
	defer long.Body.Close()

	f.start(t, c, 8, func() []string { return []string{p.addr()} })
	for range 10 {
		f.more(t, 20)
		if err := errors.Join(server.Update(config()), client.Update(config())); err != nil {
			t.Fatal(err)
		}
	}
	f.more(t, 20)
	f.check(t)
	close(release)
	if body, err := io.ReadAll(long.Body); string(body) != "begun ended" {
		t.Errorf("the long request: %q, %v", body, err)
	}
}

func TestUpdate(t *testing.T) {
	ours := newAuthority(t)
	good := strict(ours.server(t, "dc1"), ours)
	cfg := newTLS(t, good)
	before := cfg.load()
	for _, tc := range []struct {
		name   string
		change func(*TLSConfig)
		text   string
	}{
		{"nothing", func(*TLSConfig) {}, ""},
		{"a key of another certificate", func(c *TLSConfig) { c.Key = ours.Key }, "private key does not match"},
		{"a certificate without its key", func(c *TLSConfig) { c.Key = "" }, "load certificate and key"},
		{"a CA that is no PEM", func(c *TLSConfig) { c.CAs = [][]byte{[]byte("hello")} }, "no certificate found"},
		{"a CA that is a key", func(c *TLSConfig) { c.CAs = [][]byte{[]byte(ours.Key.Reveal())} }, "no certificate found"},
		{"verify_incoming without a CA", func(c *TLSConfig) { c.CAs = nil }, "VerifyIncoming set but no CA certificates were provided"},
		{"verify_outgoing without a CA", func(c *TLSConfig) { c.CAs, c.VerifyIncoming = nil, false }, "VerifyOutgoing set but no CA certificates were provided"},
		{"verify_server_hostname without a CA", func(c *TLSConfig) { c.CAs, c.VerifyIncoming, c.VerifyOutgoing = nil, false, false },
			"VerifyOutgoing set but no CA certificates were provided"},
		{"an unknown version", func(c *TLSConfig) { c.MinVersion = "TLSv1_4" }, `unknown version "TLSv1_4"`},
		{"an unknown cipher", func(c *TLSConfig) { c.CipherSuites = []string{"ROT13"} }, `unsupported cipher "ROT13"`},
	} {
		next := good
		tc.change(&next)
		err := cfg.Update(next)
		if tc.text == "" && err != nil || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text) || errs.KindOf(err) != errs.Invalid) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.text)
		}
		if cfg.load() != before {
			t.Errorf("%s: something changed", tc.name)
		}
	}
	if err := cfg.SetMesh([][]byte{[]byte("hello")}, nil); err == nil || cfg.load() != before {
		t.Errorf("mesh roots that are none: %v", err)
	}
	if _, err := NewTLS(TLSConfig{VerifyIncoming: true}); err == nil {
		t.Error("made without a CA")
	}
}

// The CA of a running cluster is changed one server after the other, in the three
// rounds that operators know: trust both, present the new, forget the old.
func TestRollingChangeOfCA(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	f := &traffic{}
	var nodes []*TLS
	var ports []*port
	var addrs []string
	for range 3 {
		cfg := newTLS(t, strict(before.server(t, "dc1"), before))
		nodes = append(nodes, cfg)
		ports = append(ports, open(t, cfg, defaultLimits, http.HandlerFunc(f.handle)))
		ports[len(ports)-1].echo(t)
		addrs = append(addrs, ports[len(ports)-1].addr())
	}
	agent := newTLS(t, strict(before.client(t, "dc1"), before))
	var turn atomic.Int64
	f.start(t, newClient(t, agent), 4, func() []string { return []string{addrs[turn.Add(1)%3]} })

	everybodyConnects := func(round string) {
		t.Helper()
		f.more(t, 10)
		for from, cfg := range nodes {
			for _, to := range ports {
				checkRaft(t, to.addr(), cfg, "ok")
				if err := f.put(newClient(t, cfg), fmt.Sprintf("/%d", f.sent.Add(1)), []string{to.addr()}); err != nil {
					t.Fatalf("%s: from server %d: %v", round, from, err)
				}
			}
		}
	}
	rounds := []struct {
		name   string
		server func() TLSConfig
		agent  func() TLSConfig
	}{
		{"trust both", func() TLSConfig { return strict(before.server(t, "dc1"), before, after) },
			func() TLSConfig { return strict(before.client(t, "dc1"), before, after) }},
		{"present the new", func() TLSConfig { return strict(after.server(t, "dc1"), before, after) },
			func() TLSConfig { return strict(after.client(t, "dc1"), before, after) }},
		{"forget the old", func() TLSConfig { return strict(after.server(t, "dc1"), after) },
			func() TLSConfig { return strict(after.client(t, "dc1"), after) }},
	}
	for _, round := range rounds {
		for _, cfg := range nodes {
			if err := cfg.Update(round.server()); err != nil {
				t.Fatal(err)
			}
			everybodyConnects(round.name)
		}
		if err := agent.Update(round.agent()); err != nil {
			t.Fatal(err)
		}
		everybodyConnects(round.name)
	}
	f.check(t)
	old := newClient(t, newTLS(t, strict(before.server(t, "dc1"), before, after)))
	if _, _, err := get(t, old, addrs[0], "/"); !errors.Is(err, ErrNotSent) {
		t.Errorf("the old CA is still trusted: %v", err)
	}
}

// A server that ends lets finish what it began and hurts no request: what comes too
// late is known not to be sent, and goes to another server.
func TestDrain(t *testing.T) {
	f := &traffic{}
	mux := http.NewServeMux()
	mux.HandleFunc("/", f.handle)
	begun := make(chan struct{})
	mux.HandleFunc("/block", func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() })
	stays := open(t, nil, defaultLimits, mux)
	leaves := []*port{open(t, nil, defaultLimits, mux), open(t, nil, defaultLimits, mux)}
	c := newClient(t, nil)
	f.start(t, c, 16, func() []string { return []string{leaves[0].addr(), leaves[1].addr(), stays.addr()} })
	f.more(t, 100)
	blocked := make(chan error, 1)
	go func() {
		_, _, err := get(t, c, leaves[0].addr(), "/block")
		blocked <- err
	}()
	<-begun
	for _, p := range leaves {
		p.drain()
		f.more(t, 100)
	}
	if err := <-blocked; err != nil {
		t.Errorf("a request that blocks is not answered: %v", err)
	}
	f.check(t)
}

// A certificate of auto_encrypt that has expired is not shown: a new one can be had.
func TestExpiredMeshCertificate(t *testing.T) {
	ours, meshCA := newAuthority(t), newAuthority(t)
	server := newTLS(t, strict(ours.server(t, "dc1"), ours))
	if err := server.SetMesh([][]byte{meshCA.Cert}, nil); err != nil {
		t.Fatal(err)
	}
	p := open(t, server, defaultLimits, whoami)
	pair := meshCA.custom(t, nil, "spiffe://x.consul/ap/team/agent/client/dc/dc1/id/task-1")
	client := newTLS(t, TLSConfig{CAs: [][]byte{ours.Cert}, VerifyOutgoing: true, VerifyServerHostname: true})
	if err := client.SetMesh(nil, &pair); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, client)
	if _, body, err := get(t, c, p.addr(), "/"); err != nil || body != "client agent task-1" {
		t.Errorf("%q, %v", body, err)
	}
	m := client.load()
	end := m.meshCert.Leaf.NotAfter
	if len(m.present(end).Certificate) != 0 {
		t.Error("it is shown when it has expired")
	}
	if err := client.SetMesh(nil, nil); err != nil {
		t.Fatal(err)
	}
	if status, _, err := get(t, c, p.addr(), SignPath); err != nil || status != http.StatusOK {
		t.Errorf("asking for one: status %d, %v", status, err)
	}
}

var _ raft.StreamLayer = (*streams)(nil)
