package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestOperatorsBoundConnections(t *testing.T) {
	dial := func(limits Limits) func(say string) error {
		l, err := ListenWithin("127.0.0.1:0", nil, slog.New(slog.DiscardHandler), limits)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- l.Serve(ctx, http.NotFoundHandler()) }()
		t.Cleanup(func() {
			end()
			<-served
			_ = l.Close()
		})
		return func(say string) error {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := io.WriteString(c, say); err != nil {
				return err
			}
			if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadFull(c, make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection that says %q is neither answered nor closed", say)
			}
			return err
		}
	}
	if err := dial(Limits{Handshake: 100 * time.Millisecond})(""); err == nil {
		t.Error("a connection that says nothing got an answer")
	}
	const hello = httpPreface + "\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	two := dial(Limits{ConnsPerAddr: 2, Handshake: quiet})
	for i := range 2 {
		if err := two(hello); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if err := two(hello); err == nil {
		t.Error("a third connection is served")
	}
}
