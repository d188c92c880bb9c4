package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lictor/lictor/test/cluster"
)

// Modes of a read, as its query says.
const (
	byDefault    = ""
	byConsistent = "consistent"
	byStale      = "stale"
)

// register is an ACL policy whose description is a value.
type register struct{ id, name string }

// caller sends requests to one agent.
type caller struct {
	addr   string // host:port
	client *http.Client
}

// newCaller returns one that waits for an answer for some time. Unlike net/http it never
// sends a request twice by itself: each is one operation. It dials from the agent's own address, so
// that the ports of 127.0.0.1 are left to others.
func newCaller(addr string, patience time.Duration) *caller {
	dialer := &net.Dialer{Timeout: patience}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(host)}
	}
	return &caller{addr: addr, client: &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: dialer.DialContext},
	}}
}

func (c *caller) close() { c.client.CloseIdleConnections() }

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.text) }

// do sends a request once and decodes the answer into out. Its errors are a *refusal,
// or of the connection.
func (c *caller) do(ctx context.Context, method, path string, in, out any) error {
	_, err := c.send(ctx, method, path, in, out)
	return err
}

// block asks for a change and returns the index to ask with next.
func (c *caller) block(ctx context.Context, path string, out any) (index string, err error) {
	header, err := c.send(ctx, http.MethodGet, path, nil, out)
	return header.Get("X-Consul-Index"), err
}

func (c *caller) send(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = io.MultiReader(bytes.NewReader(content)) // of a type that net/http cannot rewind
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Consul-Token", cluster.Management)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &refusal{resp.StatusCode, string(bytes.TrimSpace(answer))}
	}
	if out == nil {
		return resp.Header, nil
	}
	return resp.Header, json.Unmarshal(answer, out)
}

type policy struct{ ID, Name, Description string }

// create makes a register that holds a value.
func (c *caller) create(ctx context.Context, name, value string) (register, error) {
	var p policy
	err := c.do(ctx, http.MethodPut, "/v1/acl/policy", map[string]string{"Name": name, "Description": value}, &p)
	return register{p.ID, name}, err
}

// mustCreate makes a register, of another name where an attempt was not acknowledged and may have made one.
func (c *caller) mustCreate(t *testing.T, name, value string) (made register) {
	t.Helper()
	attempt := 0
	again(t, func() (err error) {
		attempt++
		made, err = c.create(t.Context(), fmt.Sprintf("%s-%d", name, attempt), value)
		return err
	})
	return made
}

func (c *caller) write(ctx context.Context, r register, value string) error {
	return c.do(ctx, http.MethodPut, "/v1/acl/policy/"+r.id, policy{r.id, r.name, value}, nil)
}

func (c *caller) read(ctx context.Context, r register, mode string) (string, error) {
	var p policy
	err := c.do(ctx, http.MethodGet, "/v1/acl/policy/"+r.id+"?"+mode, nil, &p)
	return p.Description, err
}

// names returns the names of all registers.
func (c *caller) names(ctx context.Context, mode string) (map[string]bool, error) {
	var all []policy
	err := c.do(ctx, http.MethodGet, "/v1/acl/policies?"+mode, nil, &all)
	names := map[string]bool{}
	for _, p := range all {
		names[p.Name] = true
	}
	return names, err
}
