package gossip

// Leave tells the other members that this agent goes, and waits until they can
// have heard it.
func (g *Gossip) Leave() error { return g.serf.Leave() }

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
