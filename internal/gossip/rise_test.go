package gossip

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// encoded is a message of memberlist or serf: its type and v.
func encoded(t *testing.T, kind byte, v any) []byte {
	t.Helper()
	var body []byte
	if err := codec.NewEncoderBytes(&body, &codec.MsgpackHandle{}).Encode(v); err != nil {
		t.Fatal(err)
	}
	return append([]byte{kind}, body...)
}

// TestAnAgentThatIsToldOfItselfWhileItStarts starts an agent again and again, while members that have not missed it
// say that it and they are there.
func TestAnAgentThatIsToldOfItselfWhileItStarts(t *testing.T) {
	again := start(t, "again")
	again.stop()
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprint("other", i))
	}
	names = append(names, "again")
	packet := []byte{7, byte(len(names))} // memberlist's compound message, of so many parts
	var parts []byte
	for _, name := range names {
		cfg := again.cfg
		cfg.NodeName, cfg.NodeID = name, "id-of-"+name
		part := encoded(t, 4, struct { // memberlist's alive message
			Incarnation uint32
			Node        string
			Addr        []byte
			Port        uint16
			Meta        []byte
			Vsn         []uint8
		}{7, name, []byte{127, 0, 0, 1}, again.Addr().Port(), encoded(t, 255, cfg.tags().encode()), []uint8{1, 5, 2, 2, 5, 4}})
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(part)))
		parts = append(parts, part...)
	}
	packet = append(packet, parts...)
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: again.cfg.Port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var told sync.WaitGroup
	end := make(chan struct{})
	told.Go(func() {
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				_, _ = conn.Write(packet) // nobody may listen yet
			}
		}
	})
	defer told.Wait()
	defer close(end)
	for range 200 {
		again = again.restart()
		if !slices.ContainsFunc(again.serf.Memberlist().Members(), func(m *memberlist.Node) bool { return m.Name == "again" }) {
			t.Fatalf("not among its own members\n%s", again.log)
		}
		again.stop()
	}
}
