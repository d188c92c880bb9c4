// Package event keeps the user events that an agent has heard of (spec: catalog.md section 9).
// A user event is a short message that gossip carries to all agents, best effort and past the log. It
// knows no transport: the owner of a Log gives it what others sent, and a way to send.
package event

import (
	"encoding/json"
	"regexp"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/uuid"
)

// Bounds on an event. MaxSize is what a packet of gossip has room for.
const (
	MaxPayload = 512  // bytes
	MaxSize    = 1024 // bytes as it is sent
)

// version is that of the events' form.
const version = 1

// Event is a message for the agents that its filters select. An empty filter selects all; the others are
// regular expressions of RE2.
type Event struct {
	ID            string // UUID
	Name          string
	Payload       []byte
	NodeFilter    string // over the agent's name
	ServiceFilter string // over the names of services that are registered with the agent
	TagFilter     string // over a tag of such a service
	Version       int
	LTime         uint64 // Lamport time at which it was sent; 0 before
}

// New returns e with an identifier. It returns errs.Invalid for one without a name, with a filter that is
// none, or that is too large to be sent.
func New(e Event) (Event, error) {
	e.ID, e.Version, e.LTime = uuid.New(), version, 0
	_, err := e.encode()
	return e, err
}

// encode returns e as it is sent, or errs.Invalid.
func (e *Event) encode() ([]byte, error) {
	if _, err := e.filters(); err != nil {
		return nil, err
	}
	sent := *e
	sent.LTime = 0
	text, err := json.Marshal(&sent)
	if err == nil && len(text) > MaxSize {
		err = errs.Errorf(errs.Invalid, "user event exceeds limit of %d bytes", MaxSize)
	}
	return text, err
}

// decode reads what encode wrote, on whatever agent: its sender only has the gossip key.
func decode(text []byte) (Event, filters, error) {
	var e Event
	if len(text) > MaxSize {
		return e, filters{}, errs.New(errs.Invalid, "it is too large")
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, filters{}, errs.Errorf(errs.Invalid, "it cannot be read: %w", err)
	}
	if !uuid.Valid(e.ID) || e.Version != version {
		return e, filters{}, errs.New(errs.Invalid, "it has no ID, or another version")
	}
	f, err := e.filters()
	return e, f, err
}

// filters are the compiled ones; nil for one that is empty.
type filters struct{ node, service, tag *regexp.Regexp }

// filters compiles, and returns errs.Invalid for what breaks a rule.
func (e *Event) filters() (filters, error) {
	var f filters
	switch {
	case e.Name == "":
		return f, errs.New(errs.Invalid, "Missing name")
	case len(e.Payload) > MaxPayload:
		return f, errs.Errorf(errs.Invalid, "user event payload exceeds limit of %d bytes", MaxPayload)
	case len(e.NodeFilter)+len(e.ServiceFilter)+len(e.TagFilter) > MaxSize:
		return f, errs.Errorf(errs.Invalid, "user event exceeds limit of %d bytes", MaxSize)
	case e.TagFilter != "" && e.ServiceFilter == "":
		return f, errs.New(errs.Invalid, "Cannot filter by tag without filtering by service")
	}
	for _, c := range []struct {
		what, text string
		into       **regexp.Regexp
	}{{"node", e.NodeFilter, &f.node}, {"service", e.ServiceFilter, &f.service}, {"tag", e.TagFilter, &f.tag}} {
		if c.text == "" {
			continue
		}
		compiled, err := regexp.Compile(c.text)
		if err != nil {
			return f, errs.Errorf(errs.Invalid, "Invalid %s filter: %w", c.what, err)
		}
		*c.into = compiled
	}
	return f, nil
}

// Index returns the number that stands for the event in blocking queries: the halves of its UUID, one
// over the other. It says nothing about the order.
func (e *Event) Index() uint64 {
	var halves [2]uint64
	digits := 0
	for i := range len(e.ID) {
		c := e.ID[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			continue
		}
		halves[digits/16%2] = halves[digits/16%2]<<4 | uint64(c)
		digits++
	}
	return halves[0] ^ halves[1]
}
