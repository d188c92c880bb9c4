package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// http2 plays a server by hand: after the preface and each request header, it sends
// what answer returns for the n-th connection. It returns its address.
func http2(t *testing.T, answer func(n int) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, l, err)
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	open.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = c.Close() })
			open.Go(func() {
				defer c.Close()
				play(c, answer(n))
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); open.Wait() })
	return l.Addr().String()
}

const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7
)

func frame(kind byte, stream uint32, payload ...uint32) []byte {
	f := []byte{0, 0, byte(4 * len(payload)), kind, 0}
	f = binary.BigEndian.AppendUint32(f, stream)
	for _, word := range payload {
		f = binary.BigEndian.AppendUint32(f, word)
	}
	return f
}

func play(c net.Conn, answer []byte) {
	if _, err := io.ReadFull(c, make([]byte, 24)); err != nil { // the preface
		return
	}
	_, _ = c.Write(frame(frameSettings, 0))
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return
		}
		if head[3] != frameHeaders {
			continue
		}
		if answer == nil {
			return
		}
		_, _ = c.Write(answer)
	}
}

// nobody is an address of loopback where nobody listens: systems lend such ports to nobody.
func nobody(n int) string { return fmt.Sprintf("127.0.0.1:%d", 1+n) }

// due is a context whose deadline is when a channel is closed.
type due struct {
	context.Context
	done <-chan struct{}
}

func (d due) Done() <-chan struct{} { return d.done }

func (d due) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Only where the server has certainly not acted on a request may a write be repeated.
func TestNotSent(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	good := strict(ours.server(t, "dc1"), ours)
	secure := open(t, newTLS(t, good), defaultLimits, whoami)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, silent, err)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if c, err := silent.Accept(); err == nil {
			t.Cleanup(func() { _ = c.Close() })
			_, _ = io.ReadFull(c, make([]byte, 1))
		}
	}()
	t.Cleanup(func() { _ = silent.Close(); <-heard })
	aborting := open(t, nil, defaultLimits, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	begun := make(chan struct{})
	blocking := open(t, nil, defaultLimits, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}))
	closedClient := NewClient(nil)
	closedClient.Close()

	always := func(answer []byte) func(int) []byte { return func(int) []byte { return answer } }
	clear := newClient(t, nil)
	tests := []struct {
		name    string
		client  *Client
		addr    string
		due     <-chan struct{} // when it has to be answered; nil is later
		notSent bool
		text    string
	}{
		{"nobody listens", clear, nobody(0), nil, true, "connection refused"},
		{"the other end says nothing", clear, silent.Addr().String(), heard, true, "deadline exceeded"},
		{"the other end hangs up at once", newClient(t, nil), secure.addr(), nil, true, "closed the connection at once"},
		{"the server's CA is not ours", newClient(t, newTLS(t, strict(ours.server(t, "dc1"), other))), secure.addr(), nil, true, "unknown authority"},
		{"our CA is not the server's", newClient(t, newTLS(t, strict(other.server(t, "dc1"), ours))), secure.addr(), nil, true, "remote error: tls"},
		{"the client is closed", closedClient, secure.addr(), nil, true, "closed"},
		{"no such address", clear, "127.0.0.1:port", nil, true, ""},
		{"the server goes away before it looks at it", clear, http2(t, always(frame(frameGoAway, 0, 0, 0))), nil, true, "GOAWAY"},
		{"the server refuses the stream", clear, http2(t, always(frame(frameReset, 1, refusedStream))), nil, true, "REFUSED_STREAM"},

		{"the server goes away after it has looked at it", clear, http2(t, always(append(frame(frameGoAway, 0, 1, 0), frame(frameReset, 1, 2)...))), nil, false, "INTERNAL_ERROR"},
		{"the server resets the stream", clear, http2(t, always(frame(frameReset, 1, 2))), nil, false, "INTERNAL_ERROR"},
		{"the server hangs up on the request", clear, http2(t, always(nil)), nil, false, ""},
		{"the handler dies", clear, aborting.addr(), nil, false, ""},
		{"the answer takes too long", clear, blocking.addr(), begun, false, "deadline exceeded"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ctx := due{t.Context(), tc.due}
			req := httptest.NewRequest(http.MethodPut, "/v1/kv/a", strings.NewReader("body"))
			res, err := tc.client.Do(ctx, tc.addr, req)
			if err == nil {
				_ = res.Body.Close()
				t.Fatalf("status %d", res.StatusCode)
			}
			if errors.Is(err, ErrNotSent) != tc.notSent || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("not sent %v: %v; want %v, %q", errors.Is(err, ErrNotSent), err, tc.notSent, tc.text)
			}
			if errs.KindOf(err) != errs.Unavailable {
				t.Errorf("kind %v", errs.KindOf(err))
			}
		})
	}
}

func TestRequestThatWasLeftAloneIsSentAgain(t *testing.T) {
	answers := append(frame(frameHeaders, 1), 0x88) // HPACK: ":status: 200"
	answers[2], answers[4] = 1, 0x5                 // one byte; END_HEADERS and END_STREAM
	addr := http2(t, func(n int) []byte {
		if n < sendAttempts-1 {
			return frame(frameGoAway, 0, 0, 0)
		}
		return answers
	})
	c := newClient(t, nil)
	req, err := http.NewRequest(http.MethodPut, "http://server/", strings.NewReader("body"))
	must(t, req, err)
	res, err := c.Do(t.Context(), addr, req)
	must(t, res, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestManyRequestsShareFewConnections(t *testing.T) {
	const requests = 400
	arrived := make(chan struct{}, requests)
	release := make(chan struct{})
	p := open(t, nil, defaultLimits, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	c := newClient(t, nil)
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if status, _, err := get(t, c, p.addr(), "/"); err != nil || status != 200 {
				t.Errorf("status %d, %v", status, err)
			}
		})
	}
	for range requests {
		<-arrived
	}
	if open := p.verified.Held(); open > connsPerAddr {
		t.Errorf("%d connections for %d requests", open, requests)
	}
	close(release)
	all.Wait()
}

// The pool waits for a free stream when every connection is full.
func TestFullConnections(t *testing.T) {
	ours := newAuthority(t)
	server := strict(ours.server(t, "dc1"), ours)
	server.VerifyIncoming = false
	const requests = anonymousStream*connsPerAddr + 50
	var now, most atomic.Int64
	p := open(t, newTLS(t, server), defaultLimits, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		now.Add(-1)
	}))
	client := server
	client.Cert, client.Key = nil, ""
	c := newClient(t, newTLS(t, client))
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if status, _, err := get(t, c, p.addr(), "/"); err != nil || status != 200 {
				t.Errorf("status %d, %v", status, err)
			}
		})
	}
	all.Wait()
	if most.Load() > anonymousStream*connsPerAddr {
		t.Errorf("%d requests at a time", most.Load())
	}
}

// relay passes bytes on until it is told to swallow them, like a machine that is gone.
type relay struct {
	net.Listener
	to      string
	swallow atomic.Bool
	all     sync.WaitGroup
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r := &relay{Listener: must(t, l, err), to: to}
	r.all.Go(func() {
		for {
			in, err := r.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", r.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			swallow := &r.swallow
			r.all.Go(func() { pass(out, in, swallow) })
			r.all.Go(func() { pass(in, out, swallow) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.all.Wait() })
	return r
}

func pass(to, from net.Conn, swallow *atomic.Bool) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !swallow.Load() {
			_, _ = to.Write(buf[:n])
		}
	}
}

func TestDeadServerIsNoticed(t *testing.T) {
	if clientPing+clientPingWait >= 5*time.Second {
		t.Error("it takes 5 s or more")
	}
	p := open(t, nil, defaultLimits, whoami)
	between := newRelay(t, p.addr())
	c := newClient(t, nil)
	c.ping, c.pingWait = 20*time.Millisecond, time.Second
	addr := between.Addr().String()
	answers := func() bool {
		_, body, err := get(t, c, addr, "/")
		return err == nil && body == "server"
	}
	eventually(t, "the server answers", answers)
	between.swallow.Store(true)
	if _, _, err := get(t, c, addr, "/"); err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotSent) {
		t.Errorf("a request to a dead server: %v", err)
	}
	between.swallow.Store(false)
	eventually(t, "it answers after it has come back", answers)
}

// A client forgets addresses that it has no connection to.
func TestAddressesAreForgotten(t *testing.T) {
	c := newClient(t, nil)
	for n := range 3 {
		if _, _, err := get(t, c, nobody(n), "/"); !errors.Is(err, ErrNotSent) {
			t.Errorf("%v", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pools) > 1 {
		t.Errorf("%d addresses are kept", len(c.pools))
	}
}
