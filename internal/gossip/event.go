package gossip

import (
	"fmt"
	"slices"

	"github.com/hashicorp/serf/serf"
)

// EventType says what happened to a member.
type EventType uint8

// The types of event.
const (
	Join   EventType = iota + 1 // it is there, new or again
	Leave                       // it has left on its own, or was made to
	Fail                        // it does not answer
	Update                      // its tags or its address changed
	Reap                        // it is forgotten
)

var eventNames = [...]string{"", "join", "leave", "failed", "update", "reap"}

// String returns the word for it in logs.
func (t EventType) String() string { return eventNames[t] }

// Event is a change of one member.
type Event struct {
	Type   EventType
	Member Member
}

// Events returns what happens to the members that this agent sees, this agent
// included, in order. Whoever reads slowly misses no member, but only hears of
// the last thing that happened to each. Run has to run.
func (g *Gossip) Events() <-chan Event { return g.out }

// MaxTold is how many bytes Tell takes. A message has to fit in one packet, or gossip never sends it.
const MaxTold = 1024

// toldName is the name of all messages of Tell.
const toldName = "told"

// Tell sends text to every member, this agent included: at most once, and to those that it reaches. A
// member that joins later does not hear of it. It fails for more than MaxTold bytes.
func (g *Gossip) Tell(text []byte) error {
	if len(text) > MaxTold {
		return fmt.Errorf("a message of %d bytes does not fit in a packet", len(text))
	}
	return g.serf.UserEvent(toldName, text, false)
}

var eventTypes = map[serf.EventType]EventType{
	serf.EventMemberJoin:   Join,
	serf.EventMemberLeave:  Leave,
	serf.EventMemberFailed: Fail,
	serf.EventMemberUpdate: Update,
	serf.EventMemberReap:   Reap,
}

// events returns what serf says about members that this agent sees.
func (g *Gossip) events(e serf.Event) []Event {
	if told, ok := e.(serf.UserEvent); ok && told.Name == toldName && g.cfg.Heard != nil {
		g.cfg.Heard(told.Payload, uint64(told.LTime))
	}
	change, ok := e.(serf.MemberEvent)
	if !ok {
		return nil
	}
	g.servers.changed(change.Members)
	var events []Event
	for _, m := range change.Members {
		if member := newMember(m); g.sees(member) {
			events = append(events, Event{eventTypes[change.Type], member})
		}
	}
	return events
}

// queue holds what the reader has not taken yet, at most one event a member.
type queue []Event

// next returns out and the oldest event, or a channel that takes nothing.
func (q queue) next(out chan Event) (chan Event, Event) {
	if len(q) == 0 {
		return nil, Event{}
	}
	return out, q[0]
}

func (q *queue) drop() { *q = (*q)[1:] }

func (q *queue) add(events []Event) {
	for _, e := range events {
		i := slices.IndexFunc(*q, func(old Event) bool { return old.Member.Name == e.Member.Name })
		if i >= 0 {
			if (*q)[i].Type == Join && e.Type == Update {
				e.Type = Join // nobody has heard of the member yet
			}
			*q = slices.Delete(*q, i, i+1)
		}
		*q = append(*q, e)
	}
}
