package httpapi

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// writesListener counts the writes of its connections.
type writesListener struct {
	net.Listener
	writes atomic.Int64
	broken atomic.Bool // a write ends in its middle
}

type writesConn struct {
	net.Conn
	l *writesListener
}

func (l *writesListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &writesConn{c, l}, err
}

func (c *writesConn) Write(p []byte) (int, error) {
	c.l.writes.Add(1)
	if c.l.broken.Load() {
		n, _ := c.Conn.Write(p[:len(p)/2])
		return n, errors.New("timed out")
	}
	return c.Conn.Write(p)
}

func TestAnAnswerLeavesInOnePiece(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", maxWhole/16+1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Content-Length", strconv.Itoa(n))
		writeWhole(w, r, http.StatusOK, []byte(body[:n]))
	})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := &writesListener{Listener: inner}
	srv := NewServer(h, Limits{}, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(NewListener(l, Limits{})) }()
	defer func() {
		_ = srv.Close()
		<-done
	}()
	conn, err := net.Dial("tcp", inner.Addr().String())
	check(t, err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func(n int) (string, error) {
		if _, err := io.WriteString(conn, "GET /"+strconv.Itoa(n)+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return "", err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(res.Body)
		return string(text), err
	}
	for _, tc := range []struct{ bytes, most int }{
		{0, 1}, {1, 1}, {ownLength, 1}, {ownLength + 1, 1}, {4096, 2}, {9000, 1}, {maxWhole, 1}, {maxWhole + 1, 2}, {9000, 1},
	} {
		l.writes.Store(0)
		got, err := ask(tc.bytes)
		check(t, err)
		if n := int(l.writes.Load()); got != body[:tc.bytes] || n > tc.most {
			t.Errorf("%d bytes: came as %d in %d writes", tc.bytes, len(got), n)
		}
	}
	l.broken.Store(true)
	if got, err := ask(9000); err == nil {
		t.Errorf("an answer that was not written came as %d bytes", len(got))
	}
	l.broken.Store(false)
	if _, err := ask(1); err == nil {
		t.Error("the connection goes on behind an answer that was cut")
	}
}
