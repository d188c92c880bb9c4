package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// checker compares the requests that were sent with the events that were written.
type checker struct {
	mu   sync.Mutex
	sent map[string]sentRequest // by user agent
}

type sentRequest struct {
	endpoint string
	status   string // of the answer; empty if there was none
}

func newChecker() *checker { return &checker{sent: map[string]sentRequest{}} }

// count returns how many requests were sent so far.
func (c *checker) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent)
}

// send notes a request and returns the user agent that it has to carry.
func (c *checker) send(endpoint string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := fmt.Sprint("checker/", len(c.sent))
	c.sent[name] = sentRequest{endpoint: endpoint}
	return name
}

func (c *checker) answered(name string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sent[name]
	s.status = strconv.Itoa(status)
	c.sent[name] = s
}

// eventPair is the events of one request.
type eventPair struct{ start, complete []auditEvent }

// pairsOf sorts the events of the checkers' requests by user agent, and says which are malformed.
func pairsOf(events []auditEvent) (found map[string]*eventPair, wrong []error) {
	found = map[string]*eventPair{}
	ids := map[string]bool{}
	for _, e := range events {
		name := e.Payload.Request.UserAgent
		if !strings.HasPrefix(name, "checker/") {
			continue
		}
		if ids[e.Payload.ID] || e.EventType != "audit" || e.Payload.Version != "1" || e.Payload.Type != "HTTPEvent" {
			wrong = append(wrong, fmt.Errorf("event %+v", e))
		}
		ids[e.Payload.ID] = true
		if found[name] == nil {
			found[name] = &eventPair{}
		}
		if p := found[name]; e.Payload.Stage == "OperationStart" {
			p.start = append(p.start, e)
		} else {
			p.complete = append(p.complete, e)
		}
	}
	return found, wrong
}

// check reports every request that was answered and has not exactly one event of each
// stage, those with the wrong content, and events of requests that nobody has sent. A request without an answer may
// have none, and where the agent was killed, a start alone.
func (c *checker) check(events []auditEvent, killed bool) error {
	found, wrong := pairsOf(events)
	for name, s := range c.sent {
		p := found[name]
		delete(found, name)
		switch {
		case p == nil:
			p = &eventPair{}
		case len(p.start) > 1 || len(p.complete) > len(p.start):
			wrong = append(wrong, fmt.Errorf("%s %+v: %d starts, %d completes", name, s, len(p.start), len(p.complete)))
			continue
		case p.start[0].Payload.Request.Endpoint != s.endpoint:
			wrong = append(wrong, fmt.Errorf("%s %+v: endpoint %q", name, s, p.start[0].Payload.Request.Endpoint))
		}
		if !killed && len(p.complete) != len(p.start) {
			wrong = append(wrong, fmt.Errorf("%s %+v: begun and not completed", name, s))
		}
		if s.status != "" && (len(p.complete) != 1 || p.complete[0].Payload.Response.Status != s.status) {
			wrong = append(wrong, fmt.Errorf("%s %+v: %d starts, %d completes", name, s, len(p.start), len(p.complete)))
		}
	}
	for name := range found {
		wrong = append(wrong, fmt.Errorf("%s: nobody has sent it", name))
	}
	return errors.Join(wrong[:min(len(wrong), 20)]...)
}
