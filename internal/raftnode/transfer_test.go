package raftnode

import (
	"testing"
	"testing/synctest"
)

// While it hands on, nobody is known to lead: what comes in waits for the next
// leader instead of being refused.
func TestALeaderThatHandsOnTakesNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		leader := c.begin()
		leader.transferring.Add(1)
		if addr, self := leader.Route(); addr != "" || self {
			t.Errorf("while it hands on: %q, %v", addr, self)
		}
		leader.transferring.Add(-1)
		if _, self := leader.Route(); !self {
			t.Error("nobody took over, and it does not lead")
		}
		if err := leader.TransferLeadership(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		next := c.leader()
		if addr, self := next.Route(); next == leader || addr != "" || !self {
			t.Errorf("the next leader: %q, %v", addr, self)
		}
		if n := leader.transferring.Load(); n != 0 {
			t.Errorf("%d still hand on", n)
		}
	})
}
