package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// settleTime is what client agents have, once a new leader is there, to find
// servers that answer.
const settleTime = time.Second

// fault does the next of the faults and undoes it again, and leaves the workers alone for a while.
func (r *guaranteeRun) fault(round int) {
	var err error
	r.say("nothing")
	r.rest(r.load.calm)
	switch round % 3 {
	case 0:
		err = r.pauseFollowers()
	case 1:
		err = r.killLeader()
	case 2:
		err = r.partition()
	}
	if err != nil {
		r.t.Error(err)
		r.cancel()
	}
}

// say tells what happens to the servers now.
func (r *guaranteeRun) say(doing string) { r.doing.Store(&doing) }

// hold lets the workers go on for a while; it ends with them.
func (r *guaranteeRun) hold(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// rest lets the workers go on for a number of logins; it ends with them.
func (r *guaranteeRun) rest(logins int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for until := r.logins.Load() + logins; r.logins.Load() < until; {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// leading returns the leader as all servers but one see it, and the others.
func (r *guaranteeRun) leading(without *place) (leader *place, followers []*place, err error) {
	var among []*host
	for _, p := range r.servers {
		if p != without {
			among = append(among, p.host)
		}
	}
	found, err := r.cluster.leader(among)
	for _, p := range r.servers {
		if p.host == found {
			leader = p
		} else if p != without {
			followers = append(followers, p)
		}
	}
	return leader, followers, err
}

// pauseFollowers slows followers: each stops for some tenths of a second, again and again.
func (r *guaranteeRun) pauseFollowers() error {
	_, followers, err := r.leading(nil)
	if err != nil {
		return err
	}
	for n := 0; n < 8 && r.ctx.Err() == nil; n++ {
		p := followers[n%len(followers)]
		if err := p.pause(); err != nil {
			return err
		}
		r.say("pause of " + p.name)
		r.hold(50*time.Millisecond + rand.N(250*time.Millisecond))
		if err := p.resume(); err != nil {
			return err
		}
		r.pauses++
		r.hold(rand.N(200 * time.Millisecond))
	}
	return nil
}

// killLeader kills the leader, and starts it again when another one leads.
func (r *guaranteeRun) killLeader() error {
	leader, _, err := r.leading(nil)
	if err != nil {
		return err
	}
	leader.faults.Add(1)
	defer leader.faults.Add(1)
	r.say("kill of " + leader.name)
	r.changes.Add(1)
	leader.kill()
	r.kills++
	if _, _, err := r.leading(leader); err != nil {
		return fmt.Errorf("after the leader was killed: %w", err)
	}
	r.hold(settleTime)
	r.changes.Add(1)
	r.say("restart of " + leader.name)
	if err := leader.start(); err != nil {
		return err
	}
	return leader.answers()
}

// partition cuts a server off, each second time the leader, and brings it back
// when the others have had a leader for a while.
func (r *guaranteeRun) partition() error {
	away, followers, err := r.leading(nil)
	if err != nil {
		return err
	}
	if r.cuts%2 == 1 {
		away = followers[rand.IntN(len(followers))]
	}
	away.faults.Add(1)
	defer away.faults.Add(1)
	r.say("cut of " + away.name)
	r.changes.Add(1)
	if err := away.cut(); err != nil {
		return err
	}
	r.cuts++
	next, _, err := r.leading(away)
	if err == nil && !slices.Contains(r.servers, next) {
		err = fmt.Errorf("no server leads while %s is cut off", away.name)
	}
	r.hold(settleTime)
	r.changes.Add(1)
	r.hold(time.Second)
	r.say("heal of " + away.name)
	if err := away.heal(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return away.answers()
}
