package event

import (
	"regexp"
	"slices"
	"sync"
)

// kept is how many events an agent remembers.
const kept = 256

// Log is the events that an agent has heard of. Set the fields before the first call. It is safe
// for concurrent use.
type Log struct {
	Node string
	// Services calls has for each service of the agent until one is true, and returns whether one was.
	Services func(has func(name string, tags []string) bool) bool
	// Send sends the form of an event to all agents, this one included.
	Send func(text []byte) error

	mu      sync.Mutex // guards what follows
	events  []Event    // the oldest first
	changed chan struct{}
}

// Fire sends an event that New made.
func (l *Log) Fire(e Event) error {
	text, err := e.encode()
	if err != nil {
		return err
	}
	return l.Send(text)
}

// Hear takes up what some agent sent at a Lamport time, if it is for this agent. It returns errs.Invalid for
// what is no event.
func (l *Log) Hear(text []byte, at uint64) error {
	e, f, err := decode(text)
	if err != nil || !l.concerns(f) {
		return err
	}
	e.LTime = at
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.events, func(old Event) bool { return old.ID == e.ID }) {
		return nil
	}
	l.events = append(l.events, e)
	if len(l.events) > kept {
		l.events = slices.Clone(l.events[len(l.events)-kept:])
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return nil
}

// concerns reports whether filters select this agent.
func (l *Log) concerns(f filters) bool {
	if f.node != nil && !f.node.MatchString(l.Node) {
		return false
	}
	return f.service == nil || l.Services(func(name string, tags []string) bool {
		return f.service.MatchString(name) && (f.tag == nil || slices.ContainsFunc(tags, f.tag.MatchString))
	})
}

// List returns the events that it remembers, the oldest first, and a channel that is closed with the next one.
func (l *Log) List() ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return slices.Clone(l.events), l.changed
}

// Filter selects events by name and by what their own filters are. What is empty selects all.
type Filter struct{ Name, Node, Service, Tag string }

// Match returns whether an event is one of those.
func (f Filter) Match(e *Event) bool {
	return (f.Name == "" || f.Name == e.Name) &&
		like(f.Node, e.NodeFilter) && like(f.Service, e.ServiceFilter) && like(f.Tag, e.TagFilter)
}

// like reports whether an event's filter is the wanted one, or is matched by it.
func like(wanted, filter string) bool {
	if wanted == "" || wanted == filter {
		return true
	}
	r, err := regexp.Compile(wanted)
	return err == nil && filter != "" && r.MatchString(filter)
}
