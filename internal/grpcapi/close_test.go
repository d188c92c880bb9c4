package grpcapi

import (
	"log/slog"
	"net"
	"testing"
	"time"
)

// A server waits for the handshakes that it has begun, and a stranger may take as long as it likes for its part.
func TestAttack_WhoSaysNothingDoesNotDelayTheEnd(t *testing.T) {
	api := &API{Resolver: oneToken{}, Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bounded := NewListener(l, 0)
	server := api.NewServer(nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(bounded) }()
	for _, says := range []string{"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"} {
		silent, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		if _, err := silent.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	server.Close()
	<-served
	if took := time.Since(begun); took > handshakeTime/2 {
		t.Errorf("the end took %v", took)
	}
}
