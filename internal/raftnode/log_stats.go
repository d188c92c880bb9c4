package raftnode

import (
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
)

// LogStats says how far this server's log is and when it heard of the leader.
func (n *Node) LogStats() autopilot.Stats {
	term, _ := strconv.ParseUint(n.raft.Stats()["last_log_term"], 10, 64) // the library has no other way to ask
	s := autopilot.Stats{ID: n.cfg.ID, LastContact: autopilot.Never, LastTerm: term, LastIndex: n.raft.LastIndex()}
	servers, _ := n.Configuration()
	for _, p := range servers {
		s.Peers = append(s.Peers, p.ID)
	}
	last := n.raft.LastContact()
	switch {
	case n.raftLeads():
		s.LastContact = 0
	case !last.IsZero():
		s.LastContact = max(0, time.Since(last))
	}
	return s
}
