package dev

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
)

var errBroken = errors.New("the connection that was open has ended")

// kept sends all requests, one after the other, over one connection, whose end is errBroken for all that follow. An http.Transport
// would not do: it drops connections of its own accord, such as one whose answer comes in before it has seen that the request
// was written, as on a busy machine.
type kept struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	conn    net.Conn
	answers *bufio.Reader
	ended   bool
}

// RoundTrip implements http.RoundTripper. The answer's body has to be closed before the next request.
func (k *kept) RoundTrip(req *http.Request) (*http.Response, error) {
	if k.ended {
		return nil, errBroken
	}
	if k.conn == nil {
		conn, err := k.dial(req.Context(), "tcp", req.URL.Host)
		if err != nil {
			return nil, err
		}
		k.conn, k.answers = conn, bufio.NewReader(conn)
	}
	resp, err := k.exchange(req)
	if err != nil {
		k.ended = true
		return nil, errors.Join(errBroken, err)
	}
	return resp, nil
}

func (k *kept) exchange(req *http.Request) (*http.Response, error) {
	deadline, _ := req.Context().Deadline() // the zero time is none
	if err := k.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := req.Write(k.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(k.answers, req)
}

// CloseIdleConnections closes the connection.
func (k *kept) CloseIdleConnections() {
	if k.conn != nil {
		_ = k.conn.Close()
	}
}
