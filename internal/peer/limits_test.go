package peer

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestOperatorsBoundConnections(t *testing.T) {
	l, err := ListenWithin("127.0.0.1:0", nil, slog.New(slog.DiscardHandler), Limits{ConnsPerAddr: 2, Handshake: 100 * time.Millisecond})
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
	dial := func(say string) error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, say); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		return err
	}
	const hello = httpPreface + "\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if err := dial(""); err == nil {
		t.Error("a connection that says nothing got an answer")
	}
	for i := range 2 {
		if err := dial(hello); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if err := dial(hello); err == nil {
		t.Error("a third connection is served")
	}
}
