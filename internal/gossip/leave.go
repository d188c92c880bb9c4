package gossip

import "time"

// joinPatience bounds how long a leave waits for a join under way. Whoever does
// not answer for so long has not heard of this agent.
const joinPatience = 5 * time.Second

// Leave tells the other members that this agent goes, and waits until they can
// have heard it. A join under way ends first: what it tells the others would
// come after the leave and take it back.
func (g *Gossip) Leave() error {
	select {
	case g.joining <- struct{}{}:
		defer func() { <-g.joining }()
	case <-time.After(joinPatience):
	}
	return g.serf.Leave()
}

// ForceLeave makes a failed member one that has left; with prune it is
// forgotten at once. A member that answers stays. An unknown name is errs.NotFound.
func (g *Gossip) ForceLeave(name string, prune bool) error {
	if _, err := g.member(name); err != nil {
		return err
	}
	if prune {
		return g.serf.RemoveFailedNodePrune(name)
	}
	return g.serf.RemoveFailedNode(name)
}
