// Package oneconn sends HTTP requests over one connection, for whoever wants to know whether a connection stays.
package oneconn

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
)

// ErrEnded is the answer once the connection is no more.
var ErrEnded = errors.New("the connection that was open has ended")

// Transport sends all requests, one after the other, over one connection, whose end is ErrEnded for all that follow. An http.Transport
// would not do: it drops connections of its own accord, such as one whose answer comes in before it has seen that the request
// was written, as on a busy machine.
type Transport struct {
	// Dial opens the connection; nil is that of a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	conn    net.Conn
	answers *bufio.Reader
	ended   bool
}

// RoundTrip implements http.RoundTripper. The answer's body has to be closed before the next request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.ended {
		return nil, ErrEnded
	}
	if t.conn == nil {
		dial := t.Dial
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		conn, err := dial(req.Context(), "tcp", req.URL.Host)
		if err != nil {
			return nil, err
		}
		t.conn, t.answers = conn, bufio.NewReader(conn)
	}
	resp, err := t.exchange(req)
	if err != nil {
		t.ended = true
		return nil, errors.Join(ErrEnded, err)
	}
	return resp, nil
}

func (t *Transport) exchange(req *http.Request) (*http.Response, error) {
	deadline, _ := req.Context().Deadline() // the zero time is none
	if err := t.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := req.Write(t.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(t.answers, req)
}

// CloseIdleConnections closes the connection.
func (t *Transport) CloseIdleConnections() {
	if t.conn != nil {
		_ = t.conn.Close()
	}
}
