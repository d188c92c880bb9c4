package oneconn

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func call(t *testing.T, c *http.Client, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "here" {
		t.Errorf("%q, %v", text, err)
	}
	return nil
}

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	t.Cleanup(s.Close)
	return s
}

// slowWriter is a connection whose writes return long after the other side has what was written.
type slowWriter struct{ net.Conn }

func (w slowWriter) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	<-time.After(100 * time.Millisecond)
	return n, err
}

func TestTheConnectionStaysOnABusyMachine(t *testing.T) {
	server, dialled := serve(t), 0
	c := &http.Client{Transport: &Transport{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled++
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return slowWriter{conn}, err
	}}}
	defer c.CloseIdleConnections()
	for range 3 {
		if err := call(t, c, server.URL); err != nil {
			t.Error(err)
		}
	}
	if dialled != 1 {
		t.Errorf("%d connections", dialled)
	}
}

func TestTheEndOfTheConnectionIsFinal(t *testing.T) {
	server := serve(t)
	c := &http.Client{Transport: &Transport{}}
	defer c.CloseIdleConnections()
	if err := call(t, c, server.URL); err != nil {
		t.Fatal(err)
	}
	server.CloseClientConnections()
	for range 2 {
		if err := call(t, c, server.URL); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v", err)
		}
	}
}
