package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/test/cluster"
)

const (
	registers   = 12
	callers     = 12 // spread over the servers
	pace        = 10 * time.Millisecond
	answerTime  = 10 * time.Second // above what a server holds a request for a leader
	probes      = 24               // reads that a server gets while it cannot know better
	checkTime   = 2 * time.Minute
	outageTime  = 1500 * time.Millisecond // above the time after which another is elected
	finalAnswer = 30 * time.Second
)

// TestLinearizableUnderFaults reads and writes registers through all servers
// while servers are killed, paused and cut off. What callers saw has one order, and
// nothing that was acknowledged is lost.
func TestLinearizableUnderFaults(t *testing.T) {
	r := newRun(t)
	faults := r.faults()
	rounds := len(faults)
	if long {
		rounds = 15 * len(faults)
	}
	began := time.Now()
	r.load(func() {
		for i := range rounds {
			f := faults[i%len(faults)]
			r.healthy(f.name, f.run())
		}
	})
	loaded := time.Since(began)
	r.readAll()
	if err := r.history.linearizable(checkTime); err != nil {
		t.Error(err)
	}
	c := r.history.counts()
	t.Logf("%d faults in %v; %d reads and %d writes answered, %d writes open, %d reads unanswered; %d creations acknowledged; %d probes of a server that had been left behind: %d answered",
		rounds, loaded.Round(time.Millisecond), c.reads, c.writes, c.open, c.lost, len(r.created), r.probed, r.probesAnswered)
	if c.writes < 100*rounds/10 || c.reads < 100*rounds/10 {
		t.Errorf("too little load to say anything: %+v", c)
	}
}

// lincheck is one run.
type lincheck struct {
	t         *testing.T
	cluster   *cluster.Cluster
	history   *history
	registers []register
	probe     register // written by nobody but leaveBehind

	mu             sync.Mutex
	created        []string // names that were acknowledged
	probed         int
	probesAnswered int
}

func newRun(t *testing.T) *lincheck {
	r := &lincheck{t: t, cluster: startCluster(t, 0), history: newHistory()}
	c := newCaller(r.cluster.Servers[0].HTTP, answerTime)
	defer c.close()
	for i := range registers + 1 {
		call := r.history.now()
		made := c.mustCreate(t, fmt.Sprintf("register-%d", i), "first")
		r.history.write(-1, made.name, "first", call, nil)
		r.registers = append(r.registers, made)
	}
	r.probe, r.registers = r.registers[registers], r.registers[:registers]
	return r
}

// load lets all callers work while do runs.
func (r *lincheck) load(do func()) {
	ctx, end := context.WithCancel(context.Background())
	var working sync.WaitGroup
	for i := range callers {
		working.Go(func() { r.work(ctx, i) })
	}
	defer working.Wait()
	defer end()
	do()
}

// work reads, writes and creates at random until ctx ends. What is under way
// then is finished.
func (r *lincheck) work(ctx context.Context, id int) {
	c := newCaller(r.cluster.Servers[id%len(r.cluster.Servers)].HTTP, answerTime)
	defer c.close()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		reg := r.registers[rand.N(len(r.registers))]
		switch rand.N(8) {
		case 0, 1, 2:
			r.read(c, id, reg, byDefault)
		case 3, 4:
			r.read(c, id, reg, byConsistent)
		case 5, 6:
			r.write(c, id, reg, fmt.Sprintf("v-%d-%d", id, n))
		default:
			r.create(c, fmt.Sprintf("created-%d-%d", id, n))
		}
	}
}

func (r *lincheck) read(c *caller, id int, reg register, mode string) (string, error) {
	call := r.history.now()
	value, err := c.read(context.Background(), reg, mode)
	r.history.read(id, reg.name, value, call, err)
	r.check(err)
	return value, err
}

func (r *lincheck) write(c *caller, id int, reg register, value string) error {
	call := r.history.now()
	err := c.write(context.Background(), reg, value)
	r.history.write(id, reg.name, value, call, err)
	r.check(err)
	return err
}

func (r *lincheck) create(c *caller, name string) {
	_, err := c.create(context.Background(), name, "")
	r.check(err)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = append(r.created, name)
}

// check complains about answers that no fault excuses.
func (r *lincheck) check(err error) {
	if no, ok := err.(*refusal); ok && no.status < 500 {
		r.t.Errorf("unexpected answer: %v", no)
	}
}

type fault struct {
	name string
	run  func() error
}

// faults returns one of each kind. Each is over when its run returns.
func (r *lincheck) faults() []fault {
	return []fault{
		{"kill the leader", func() error { return r.kill(r.leader()) }},
		{"pause the leader", r.pauseLeader},
		{"cut off the leader", func() error { return r.cutLeader(r.cluster.Net.Isolate) }},
		{"cut off the leader and pause it", r.pauseCutLeader},
		{"kill a follower", func() error { return r.kill(r.follower()) }},
		{"nobody hears the leader", func() error { return r.cutLeader(r.mute) }},
		{"pause a follower", r.pauseFollower},
		{"cut off a follower", r.cutFollower},
		{"kill all", func() error { return r.kill(r.cluster.Servers...) }},
	}
}

func (r *lincheck) leader() *cluster.Agent { return leaderOf(r.t, r.cluster) }

// leaderOf returns who leads, as soon as all servers say the same.
func leaderOf(t *testing.T, c *cluster.Cluster) (leader *cluster.Agent) {
	t.Helper()
	await(t, func() error {
		named := map[string]bool{}
		for _, s := range c.Servers {
			var addr string
			ask := newCaller(s.HTTP, answerTime)
			err := ask.do(t.Context(), "GET", "/v1/status/leader", nil, &addr)
			ask.close()
			must(t, err)
			named[addr] = true
		}
		for _, l := range c.Servers {
			if len(named) == 1 && named[l.Advertised()] {
				leader = l
				return nil
			}
		}
		return fmt.Errorf("servers take for the leader: %v", named)
	})
	return leader
}

func (r *lincheck) follower() *cluster.Agent {
	leader := r.leader()
	for {
		if s := r.cluster.Servers[rand.N(len(r.cluster.Servers))]; s != leader {
			return s
		}
	}
}

// healthy returns once every server answers again.
func (r *lincheck) healthy(what string, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	for _, s := range r.cluster.Servers {
		c := newCaller(s.HTTP, finalAnswer)
		for deadline := time.Now().Add(finalAnswer); ; { // each waits in the server
			if _, err = r.read(c, callers, r.probe, byConsistent); err == nil || time.Now().After(deadline) {
				break
			}
		}
		c.close()
		if err != nil {
			r.t.Fatalf("%s does not recover: %s: %v", what, s.Name, err)
		}
	}
}

// kill kills servers and starts them again.
func (r *lincheck) kill(servers ...*cluster.Agent) error {
	for _, s := range servers {
		s.Kill()
	}
	if len(servers) == 1 {
		<-time.After(outageTime / 2)
	}
	for _, s := range servers {
		if err := s.Launch(); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := s.Await("Consul agent running!", 1); err != nil {
			return err
		}
	}
	return nil
}

// pauseLeader pauses the leader until another has taken over and has
// acknowledged a write. Reads that the old one received meanwhile are the first that it sees when
// it wakes up, with a lease that nobody has told it is over.
func (r *lincheck) pauseLeader() error {
	return r.leaveBehind((*cluster.Agent).Pause, (*cluster.Agent).Resume)
}

// pauseCutLeader lets the old leader wake up without anybody to tell it.
func (r *lincheck) pauseCutLeader() error {
	return r.leaveBehind(func(a *cluster.Agent) error {
		r.cluster.Net.Isolate(a)
		return a.Pause()
	}, func(a *cluster.Agent) error {
		err := a.Resume()
		<-time.After(outageTime / 10)
		r.cluster.Net.Heal()
		return err
	})
}

// cutLeader cuts the leader off until another has taken over and has
// acknowledged a write.
func (r *lincheck) cutLeader(cut func(*cluster.Agent)) error {
	return r.leaveBehind(func(a *cluster.Agent) error {
		cut(a)
		return nil
	}, func(*cluster.Agent) error {
		r.cluster.Net.Heal()
		return nil
	})
}

// mute lets nobody hear a server that hears everybody.
func (r *lincheck) mute(a *cluster.Agent) {
	for _, s := range r.cluster.Servers {
		if s != a {
			r.cluster.Net.Cut(a, s)
		}
	}
}

func (r *lincheck) pauseFollower() error {
	f := r.follower()
	if err := f.Pause(); err != nil {
		return err
	}
	<-time.After(outageTime)
	return f.Resume()
}

func (r *lincheck) cutFollower() error {
	r.cluster.Net.Isolate(r.follower())
	<-time.After(outageTime)
	r.cluster.Net.Heal()
	return nil
}

// leaveBehind does something to the leader until another has taken over and has
// acknowledged a write. Then the old one gets reads over connections that it has, and the fault
// ends. Whatever it answers has to be what was written.
func (r *lincheck) leaveBehind(begin, end func(*cluster.Agent) error) error {
	before := r.cluster.Elections()
	old := r.leader()
	reads := make([]*caller, probes)
	for i := range reads {
		reads[i] = newCaller(old.HTTP, answerTime)
		defer reads[i].close()
		again(r.t, func() error {
			_, err := r.read(reads[i], callers+1+i, r.probe, byDefault)
			return err
		})
	}
	if err := begin(old); err != nil {
		return err
	}
	next, err := r.cluster.AwaitLeader(before, old)
	if err != nil {
		return err
	}
	writer := newCaller(next.HTTP, answerTime)
	defer writer.close()
	var value string
	again(r.t, func() error {
		value = "probe-" + strconv.FormatInt(r.history.now(), 10) // none is written twice
		return r.write(writer, callers, r.probe, value)
	})
	var reading sync.WaitGroup
	for i, c := range reads {
		reading.Go(func() {
			got, err := r.read(c, callers+1+i, r.probe, byDefault)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.probed++
			switch {
			case err != nil:
			case got != value:
				r.t.Errorf("%s, left behind, answered %s after %s was acknowledged", old.Name, got, value)
			default:
				r.probesAnswered++
			}
		})
	}
	<-time.After(outageTime / 10) // so that they are there before the fault ends
	err = end(old)
	reading.Wait()
	return err
}

// readAll reads everything from every server.
func (r *lincheck) readAll() {
	r.t.Helper()
	for i, s := range r.cluster.Servers {
		c := newCaller(s.HTTP, finalAnswer)
		for _, mode := range []string{byConsistent, byDefault} {
			for _, reg := range append(r.registers, r.probe) {
				if _, err := r.read(c, 1000+i, reg, mode); err != nil {
					r.t.Errorf("%s: %v", s.Name, err)
				}
			}
		}
		for _, mode := range []string{byConsistent, byDefault, byStale} { // what was read has arrived
			there, err := c.names(r.t.Context(), mode)
			must(r.t, err)
			for _, name := range r.created {
				if !there[name] {
					r.t.Errorf("%s: an acknowledged creation is lost: %s", s.Name, name)
				}
			}
		}
		c.close()
	}
}
