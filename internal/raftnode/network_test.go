package raftnode

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
)

// tcpLayer is a plain raft.StreamLayer.
type tcpLayer struct{ net.Listener }

func (tcpLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// TestCloseRightAfterOpen closes servers at every moment of their first election.
func TestCloseRightAfterOpen(t *testing.T) {
	for i := range 60 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		n, err := Open(Config{
			ID: "a", Addr: l.Addr().String(), Bootstrap: true,
			Transport: Network(tcpLayer{l}, slog.New(slog.DiscardHandler)),
		}, fsm.New(state.New()))
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		time.AfterFunc(time.Duration(i)*50*time.Microsecond, func() { closed <- n.Close() })
		select {
		case err := <-closed:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Close hangs")
		}
	}
}
