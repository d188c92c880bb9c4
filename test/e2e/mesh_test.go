package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdBackend runs a service that answers every request with a text, and sets a variable to its
// port: backend NAME TEXT.
func cmdBackend(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	if len(args) != 2 {
		ts.Fatalf("usage: backend NAME TEXT")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, args[1]) })}
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { _ = s.Close() })
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
}

// cmdReaches asks an address for a page until the answer is a text, or with ! until there is none, for at most
// a time: reaches 1s ADDRESS [TEXT].
func cmdReaches(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 && !(neg && len(args) == 2) {
		ts.Fatalf("usage: reaches TIME ADDRESS TEXT, or ! reaches TIME ADDRESS")
	}
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	deadline := time.Now().Add(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := page(args[1], within)
		if neg && err != nil || !neg && err == nil && text == args[2] {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %v %s answers %q, %v", within, args[1], text, err)
		}
		<-tick.C
	}
}

// page asks for a page over a connection of its own.
func page(address string, within time.Duration) (string, error) {
	client := http.Client{Timeout: within, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// cmdHold opens a connection that has proven to work, or waits until that is closed by the other side:
// hold ADDRESS, ! hold 1s.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if !neg {
		conn, err := net.Dial("tcp", args[0])
		ts.Check(err)
		ts.Defer(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: held\r\n\r\n")
		ts.Check(err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		ts.Check(err)
		_, err = io.Copy(io.Discard, resp.Body)
		ts.Check(err)
		s.held = conn
		return
	}
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Check(s.held.SetReadDeadline(time.Now().Add(within)))
	if n, err := s.held.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		ts.Fatalf("the connection goes on: %d bytes, %v", n, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
