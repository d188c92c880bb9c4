package autopilot

import (
	"cmp"
	"slices"

	"github.com/lictor/lictor/internal/errs"
)

// Begin decides whether the server self begins a new cluster, and with whom:
// all servers that gossip sees alive, once there are at least expect. Of these, the one with the least ID
// begins, so that two that see the same begin one cluster; the others wait
// to be found. logs says how each server's log is, by ID.
//
// ok is false as long as there is something to wait for: servers that have not come or not
// answered, or another that begins. It is an error of kind errs.Conflict if one of them is part of a
// cluster already, which this one has to be added to, and errs.Invalid if they
// do not agree on how many have to be there.
func Begin(self string, expect int, members []Member, logs map[string]Stats) (peers []Peer, ok bool, err error) {
	if expect <= 0 {
		return nil, false, nil
	}
	complete := true
	for _, m := range members {
		if m.Status != Alive {
			continue
		}
		log, answered := logs[m.ID]
		switch {
		case log.LastIndex > 0:
			return nil, false, errs.Errorf(errs.Conflict, "server %s is part of a cluster already: this one waits to be added to it", m.Name)
		case m.Alone:
			return nil, false, errs.Errorf(errs.Invalid, "server %s has bootstrap = true, which begins a cluster without this one", m.Name)
		case m.Expect != expect:
			return nil, false, errs.Errorf(errs.Invalid, "server %s has bootstrap_expect = %d, this one %d", m.Name, m.Expect, expect)
		}
		if other, twice := find(peers, m.ID); twice {
			return nil, false, errs.Errorf(errs.Invalid, "the servers at %s and %s have the same node id %s", other.Address, m.Address, m.ID)
		}
		complete = complete && answered && m.ID != "" && m.Address != ""
		peers = append(peers, Peer{ID: m.ID, Address: m.Address, Voter: true})
	}
	if !complete || len(peers) < expect {
		return nil, false, nil
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	if peers[0].ID != self {
		return nil, false, nil
	}
	return peers, true, nil
}
