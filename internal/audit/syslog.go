package audit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The priority of every message: facility authpriv, severity informational (RFC 5424
// section 6.2.1).
const syslogPriority = 10*8 + 6

const (
	defaultSyslog = "unix:///dev/log"
	syslogTimeout = 5 * time.Second
)

// syslog sends each line as a message of RFC 5424: over a unix socket, or as one datagram over UDP (RFC 5426).
type syslog struct {
	networks []string // to try, in order
	addr     string
	host     string
	now      func() time.Time
	conn     net.Conn // nil while it could not be reached
	framed   bool     // the connection is a stream: a newline ends each message
	buf      []byte
}

// ParseSyslog reads unix:///dev/log or udp://host:port; "" is the first.
func ParseSyslog(path string) (networks []string, addr string, err error) {
	if path == "" {
		path = defaultSyslog
	}
	scheme, addr, _ := strings.Cut(path, "://")
	switch {
	case scheme == "unix" && strings.HasPrefix(addr, "/"):
		return []string{"unixgram", "unix"}, addr, nil
	case scheme == "udp":
		if _, port, err := net.SplitHostPort(addr); err == nil && port != "" {
			return []string{"udp"}, addr, nil
		}
	}
	return nil, "", fmt.Errorf("path must be unix:///socket or udp://host:port, not %q", path)
}

func dialSyslog(path, host string, now func() time.Time) (*syslog, error) {
	networks, addr, err := ParseSyslog(path)
	if err != nil {
		return nil, err
	}
	s := &syslog{networks: networks, addr: addr, host: host, now: now}
	return s, s.reopen()
}

func (s *syslog) reopen() error {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
	var failed []error
	for _, network := range s.networks {
		conn, err := net.DialTimeout(network, s.addr, syslogTimeout)
		if err == nil {
			s.conn, s.framed = conn, network == "unix"
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// write sends one message for each line. Nobody acknowledges them.
func (s *syslog) write(lines []byte, ends []int, _ bool) (int, error) {
	if s.conn == nil {
		return 0, net.ErrClosed
	}
	from := 0
	for i, end := range ends {
		s.buf = s.frame(s.buf[:0], lines[from:end-1])
		_ = s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
		if _, err := s.conn.Write(s.buf); err != nil {
			return i, err
		}
		from = end
	}
	return len(ends), nil
}

func (s *syslog) frame(b, line []byte) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, syslogPriority, 10)
	b = append(b, ">1 "...)
	b = s.now().UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, ' ')
	b = append(b, syslogName(s.host)...)
	b = append(b, " consul "...)
	b = strconv.AppendInt(b, int64(os.Getpid()), 10)
	b = append(b, " audit - "...)
	b = append(b, line...)
	if s.framed {
		b = append(b, '\n')
	}
	return b
}

// syslogName returns what may stand for a host: printable ASCII, "-" for nothing.
func syslogName(host string) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, host)
	if name == "" {
		return "-"
	}
	return name[:min(len(name), 255)]
}

func (s *syslog) keep(link) error { return nil }

func (s *syslog) close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
