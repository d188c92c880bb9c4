package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var longName = strings.Repeat("x", 1000)

// oddTargets are request targets as they are written on the wire, and the endpoint that each is.
var oddTargets = map[string]string{
	"/v1/status/leader":                                    "/v1/status/leader",
	"//v1/../v1/acl/tokens":                                "/v1/acl/tokens",
	"/v1/acl//tokens":                                      "/v1/acl/tokens",
	"/v1/./kv/../kv/x":                                     "/v1/kv/x",
	"/V1/Acl/Tokens":                                       "/V1/Acl/Tokens",
	"/v1/acl%2ftokens":                                     "/v1/acl/tokens",
	"/%761/acl/tokens":                                     "/v1/acl/tokens",
	"/v1/acl/tokens?token=x&token=y;z":                     "/v1/acl/tokens",
	"/v1/acl/tokens?%zz":                                   "/v1/acl/tokens",
	"/v1/%00%0a%ff":                                        "/v1/\x00\n\uFFFD",
	"/v1/kv/%F0%9F%94%92/a%2Fb?raw":                        "/v1/kv/🔒/a/b",
	"/../../v1/agent/self/":                                "/v1/agent/self/",
	"/ui/../v1/acl/tokens":                                 "/v1/acl/tokens",
	"/nothing/below/v1":                                    "/nothing/below/v1",
	"http://other.example/v1/acl/tokens":                   "/v1/acl/tokens",
	"/v1/acl/tokens#fragment?token=s":                      "/v1/acl/tokens#fragment",
	"/v1/acl/policy/name/" + longName:                      "/v1/acl/policy/name/" + longName,
	"/v1/acl/token/self?" + "a=1&" + "a=2":                 "/v1/acl/token/self",
	"/v1/acl/tokens?filter=" + strings.Repeat("y", 50_000): "/v1/acl/tokens",
	"*": "/*",
}

// pageTargets are those of the UI, whose pages have no events. What else is done to them has.
var pageTargets = map[string]string{
	"/..":                    "/",
	"/ui":                    "/ui",
	"/ui/..%2fv1/acl/tokens": "/ui/../v1/acl/tokens",
}

// oddRequest is a request as it is written.
type oddRequest struct{ method, target, protocol, endpoint string }

// oddRequests are all of them; those without an endpoint have no events.
func oddRequests() (all []oddRequest) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "NOSUCH", "CONNECT"} {
			for target, endpoint := range oddTargets {
				if method != "CONNECT" || strings.HasPrefix(target, "/") {
					all = append(all, oddRequest{method, target, protocol, endpoint})
				}
			}
			for target, endpoint := range pageTargets {
				if method == "GET" || method == "HEAD" {
					endpoint = ""
				}
				all = append(all, oddRequest{method, target, protocol, endpoint})
			}
		}
		all = append(all, oddRequest{"CONNECT", "other.example:443", protocol, "/"})
	}
	return all
}

// sendOdd sends every odd request to addr, over a connection of its own.
func (c *checker) sendOdd(addr string) error {
	for _, r := range oddRequests() {
		name := "odd/" + r.target // not the checker's
		if r.endpoint != "" {
			name = c.send(r.endpoint)
		}
		status, err := r.raw(addr, name)
		if err != nil {
			return fmt.Errorf("%+v: %w", r, err)
		}
		if r.endpoint != "" {
			c.answered(name, status)
		}
	}
	return nil
}

// raw sends the request and returns the status.
func (r *oddRequest) raw(addr, name string) (int, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "%s %s %s\r\nHost: x\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n", r.method, r.target, r.protocol, name); err != nil {
		return 0, err
	}
	method := r.method
	if method == http.MethodConnect { // whose answers have bodies, unless it succeeds
		method = http.MethodGet
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// sendOddOver sends the odd requests that HTTP/2 can express over a client's connection.
func (c *checker) sendOddOver(client *http.Client, addr string) error {
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, r := range oddRequests() {
		if r.protocol != "HTTP/1.1" || r.endpoint == "" || strings.HasPrefix(r.target, "http:") || r.target == "*" && r.method != http.MethodOptions {
			continue
		}
		u := &url.URL{Scheme: "https", Host: addr, Opaque: "//" + addr + r.target}
		switch {
		case r.target == "*":
			u.Opaque = "*"
		case r.method == http.MethodConnect: // which has no path
			r.endpoint = "/"
		}
		name := c.send(r.endpoint)
		req := &http.Request{Method: r.method, URL: u, Header: http.Header{"User-Agent": {name}}}
		res, err := once.Do(req)
		if err != nil {
			return fmt.Errorf("%+v: %w", r, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.ProtoMajor != 2 {
			return fmt.Errorf("%+v: %s", r, res.Proto)
		}
		c.answered(name, res.StatusCode)
	}
	return nil
}

// pipeline writes many requests to one connection before it reads the first answer.
func (c *checker) pipeline(addr, token string) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	var text bytes.Buffer
	var names, methods []string
	for i := range 60 {
		r := []struct{ method, target, endpoint, body string }{
			{"GET", "/v1/status/leader", "/v1/status/leader", ""},
			{"PUT", "/v1/kv/pipelined?cas=0", "/v1/kv/pipelined", "value"},
			{"HEAD", "/v1/acl/tokens", "/v1/acl/tokens", ""},
			{"GET", "//v1//acl/policies", "/v1/acl/policies", ""},
			{"POST", "/v1/acl/login", "/v1/acl/login", `{"AuthMethod":"none","BearerToken":"x"}`},
		}[i%5]
		name := c.send(r.endpoint)
		names, methods = append(names, name), append(methods, r.method)
		fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\nX-Consul-Token: %s\r\nContent-Length: %d\r\n\r\n%s",
			r.method, r.target, name, token, len(r.body), r.body)
	}
	if _, err := conn.Write(text.Bytes()); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for i, name := range names {
		res, err := http.ReadResponse(answers, &http.Request{Method: methods[i]})
		if err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		c.answered(name, res.StatusCode)
	}
	return nil
}

var errBroken = errors.New("the body breaks off")

// brokenBody ends in the middle.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, errBroken
}

func (brokenBody) Close() error { return nil }

// reset begins a request over HTTP/2 and ends its stream in the middle: while it waits, while its body comes, while its
// answer leaves, or at once.
func (l *auditLoad) reset(client *http.Client, base string, i int) error {
	kind := []struct {
		method, path, query string
		body                io.ReadCloser
		after               time.Duration
	}{
		{"GET", "/v1/acl/policies", "?index=1000000&wait=30s", nil, 20 * time.Millisecond},
		{"PUT", "/v1/acl/policy", "", brokenBody{strings.NewReader(`{"Name":`)}, patience},
		{"GET", "/v1/agent/monitor", "?loglevel=trace", nil, 20 * time.Millisecond},
		{"GET", "/v1/acl/tokens", "", nil, time.Duration(i%7) * 100 * time.Microsecond},
	}[i%4]
	ctx, cancel := context.WithTimeout(context.Background(), kind.after)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, kind.method, base+kind.path+kind.query, nil)
	if err != nil {
		return err
	}
	if kind.body != nil {
		req.Body, req.ContentLength = kind.body, 100
	}
	req.Header.Set("User-Agent", l.send(kind.path))
	req.Header.Set("X-Consul-Token", l.token)
	res, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if err != nil && (ctx.Err() != nil || errors.Is(err, errBroken)) {
		l.resets.Add(1)
		return nil
	}
	return err
}

// leaveOpen begins requests that do not end by themselves, and returns once they are in the trail of server. They end with it.
func (l *auditLoad) leaveOpen(server *server, client *http.Client, base string) error {
	var names []string
	for _, target := range []string{"/v1/acl/policies?index=1000000&wait=60s", "/v1/agent/monitor?loglevel=trace", "/v1/agent/metrics/stream"} {
		path, _, _ := strings.Cut(target, "?")
		req, err := http.NewRequest(http.MethodGet, base+target, nil)
		if err != nil {
			return err
		}
		name := l.send(path)
		names = append(names, name)
		req.Header.Set("User-Agent", name)
		req.Header.Set("X-Consul-Token", l.token)
		go func() {
			if res, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}()
	}
	return every(10*time.Millisecond, func(context.Context) error {
		for _, name := range names {
			if !strings.Contains(server.log(), `"user_agent":"`+name+`"`) {
				return fmt.Errorf("%s has not begun", name)
			}
		}
		return nil
	})
}
