package audit

import (
	"bytes"
	"encoding/json"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// message is one of RFC 5424 with the fields that this package writes.
var message = regexp.MustCompile(`^<86>1 2030-01-02T03:04:05\.600100Z n1 consul \d+ audit - (\{.*\})\n?$`)

func TestSyslog(t *testing.T) {
	now := func() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 600100200, time.UTC) }
	dir := t.TempDir()
	for _, network := range []string{"udp", "unixgram", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr, path := "127.0.0.1:0", ""
			if network != "udp" {
				addr = filepath.Join(dir, network)
			}
			var read func() []byte
			buf := make([]byte, 64<<10)
			if network == "unix" {
				l, err := net.Listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				path = "unix://" + addr
				read = func() []byte {
					conn, err := l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					n := 0
					for bytes.Count(buf[:n], []byte("\n")) < 2 {
						more, err := conn.Read(buf[n:])
						if err != nil {
							t.Fatal(err)
						}
						n += more
					}
					return buf[:n]
				}
			} else {
				conn, err := net.ListenPacket(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if path = "unix://" + addr; network == "udp" {
					path = "udp://" + conn.LocalAddr().String()
				}
				read = func() []byte {
					var all []byte
					for range 2 {
						n, _, err := conn.ReadFrom(buf)
						if err != nil {
							t.Fatal(err)
						}
						all = append(append(all, buf[:n]...), '\n')
					}
					return all
				}
			}
			l := open(t, Config{Host: "n1\n", Now: now, Sinks: []Sink{{Name: "s", Type: TypeSyslog, Path: path}}})
			operate(t, l, 1)
			lines := bytes.SplitAfter(read(), []byte("\n"))
			for i, stage := range []string{"OperationStart", "OperationComplete"} {
				found := message.FindSubmatch(lines[i])
				var e event
				if found == nil || json.Unmarshal(found[1], &e) != nil || e.Payload.Stage != stage {
					t.Fatalf("got %q", lines[i])
				}
				if s, ok := parseLine(found[1]); !ok || !s.sound || s.seq != uint64(i+1) {
					t.Errorf("its chain: %+v", s)
				}
			}
		})
	}
}

func TestSyslogThatIsNotThereIsRefusedAtTheStart(t *testing.T) {
	_, err := Open(Config{Sinks: []Sink{{Name: "s", Type: TypeSyslog, Path: "unix://" + filepath.Join(t.TempDir(), "none")}}})
	if err == nil {
		t.Error("opened")
	}
}
