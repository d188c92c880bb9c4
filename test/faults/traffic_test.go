package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/test/cluster"
)

const (
	agentWorkers   = 6 // of each client agent
	serverWorkers  = 2 // of each server
	agentWatchers  = 2 // blocking queries, of each client agent
	serverPatience = 20 * time.Second
	watchWait      = "5s"
	blocking       = "blocking query"
	writing        = "write"
)

// traffic is workers that write and read, and what has become of it. Each has a
// register of its own, and so knows what it has to read.
type traffic struct {
	t       *testing.T
	cluster *cluster.Cluster
	end     context.CancelFunc
	working sync.WaitGroup
	workers []*worker

	mu                           sync.Mutex
	more                         *sync.Cond // of mu, at each request
	throughAgent, throughServers tally
	failures                     []string
	killing                      bool     // servers are killed: a write may stay without an answer
	lost                         []string // writes without one, though none was killed
}

// tally counts requests.
type tally struct {
	requests, failed int
	open             int           // writes that a leader took along, killed or deposed, so that nobody knows
	again            int           // sent again after an error of the connection, or to a server that was stopping
	slowest          time.Duration // but for blocking queries
}

// worker writes and reads one register through one agent.
type worker struct {
	*traffic
	agent  *cluster.Agent
	caller *caller
	own    register
	last   string // acknowledged
	open   string // written since, without an answer
}

func startTraffic(t *testing.T, c *cluster.Cluster) *traffic {
	t.Helper()
	tr := &traffic{t: t, cluster: c}
	tr.more = sync.NewCond(&tr.mu)
	var ctx context.Context
	ctx, tr.end = context.WithCancel(context.Background())
	t.Cleanup(tr.stop)
	for _, a := range c.Servers {
		for range serverWorkers {
			tr.add(ctx, a, (*worker).work)
		}
	}
	for _, a := range c.Clients {
		for range agentWorkers {
			tr.add(ctx, a, (*worker).work)
		}
		for i := range agentWatchers {
			watched := tr.workers[i].own
			tr.add(ctx, a, func(w *worker, ctx context.Context) { w.watch(ctx, watched) })
		}
	}
	return tr
}

// add starts a worker.
func (tr *traffic) add(ctx context.Context, a *cluster.Agent, work func(*worker, context.Context)) {
	w := &worker{traffic: tr, agent: a, caller: newCaller(a.HTTP, serverPatience)}
	w.last = "first"
	w.own = w.caller.mustCreate(tr.t, fmt.Sprintf("worker-%d", len(tr.workers)), w.last)
	tr.workers = append(tr.workers, w)
	tr.working.Go(func() {
		defer w.caller.close()
		work(w, ctx)
	})
}

// stop lets everybody finish what is under way.
func (tr *traffic) stop() {
	tr.end()
	tr.working.Wait()
}

// work writes and reads until ctx ends.
func (w *worker) work(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		value := fmt.Sprintf("v%d", n)
		if !w.request(writing, func() error { return w.caller.write(context.Background(), w.own, value) }) {
			w.open = value
			continue
		}
		w.last, w.open = value, ""
		for _, mode := range []string{byDefault, byConsistent} {
			w.request("read "+mode, func() error { return w.readOwn(mode) })
		}
	}
}

func (w *worker) readOwn(mode string) error {
	got, err := w.caller.read(context.Background(), w.own, mode)
	if err == nil && got != w.last {
		return &refusal{200, fmt.Sprintf("read %q, not %q which was acknowledged", got, w.last)}
	}
	return err
}

// watch asks for changes of a register with blocking queries until ctx ends.
func (w *worker) watch(ctx context.Context, watched register) {
	index := "0"
	for ctx.Err() == nil {
		w.request(blocking, func() error {
			var p policy
			next, err := w.caller.block(ctx, "/v1/acl/policy/"+watched.id+"?wait="+watchWait+"&index="+index, &p)
			if err == nil {
				index = next
			}
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
}

// request sends one request and counts it. Through a server it is sent again after an
// error of the connection, or where a server that stops gives it up, as the server may be down.
func (w *worker) request(what string, send func() error) bool {
	began := time.Now()
	err := send()
	again := 0
	if w.agent.Server {
		tick := time.NewTicker(5 * pace)
		defer tick.Stop()
		for ; ofTheEnd(err) && time.Since(began) < serverPatience; again++ {
			<-tick.C
			err = send()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	of := &w.throughAgent
	if w.agent.Server {
		of = &w.throughServers
	}
	of.requests++
	w.more.Broadcast()
	of.again += again
	if what != blocking {
		of.slowest = max(of.slowest, time.Since(began))
	}
	if err == nil {
		return true
	}
	var no *refusal
	report := fmt.Sprintf("%v +%v %s through %s: %v",
		began.Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), what, w.agent.Name, err)
	if what == writing && errors.As(err, &no) && no.status == http.StatusServiceUnavailable {
		of.open++
		if !w.killing {
			w.lost = append(w.lost, report)
		}
		return false
	}
	of.failed++
	if len(w.failures) < 40 {
		w.failures = append(w.failures, report)
	}
	return false
}

// ofTheEnd reports whether err came from a connection that was refused or
// broken, or from a server that stops, and not from one that goes on or from waiting too long.
func ofTheEnd(err error) bool {
	var no *refusal
	if errors.As(err, &no) {
		return no.status == http.StatusServiceUnavailable && no.text == "request cancelled"
	}
	if err == nil {
		return false
	}
	var slow net.Error
	return !errors.As(err, &slow) || !slow.Timeout()
}

// phase runs a change under load and says what it did to the load.
func (tr *traffic) phase(name string, change func(t *testing.T)) {
	tr.t.Run(name, func(t *testing.T) {
		tr.mu.Lock()
		tr.throughAgent, tr.throughServers, tr.failures, tr.lost = tally{}, tally{}, nil, nil
		tr.mu.Unlock()
		deposed, began := tr.deposals(), time.Now()
		change(t)
		tr.mu.Lock()
		defer tr.mu.Unlock()
		a, s := tr.throughAgent, tr.throughServers
		t.Logf("%v; through the client agent %d requests, %d failed, %d writes open, slowest %v; through servers %d requests, %d failed, %d sent again after an error of the connection or the end of a server, slowest %v",
			time.Since(began).Round(time.Millisecond), a.requests, a.failed, a.open, a.slowest.Round(time.Millisecond),
			s.requests, s.failed, s.again, s.slowest.Round(time.Millisecond))
		if len(tr.failures) > 0 {
			t.Errorf("%d requests failed:\n%s", a.failed+s.failed, strings.Join(tr.failures, "\n"))
		}
		if len(tr.lost) > 0 && tr.deposals() == deposed {
			t.Errorf("%d writes were given up, and no leader had lost its followers:\n%s", len(tr.lost), strings.Join(tr.lost, "\n"))
		}
		if a.requests < 50 || s.requests < 50 {
			t.Errorf("too little load to say anything")
		}
	})
}

// deposals counts the leaders that have heard nothing of their followers for too long, which only happens to one whose
// servers are there if the machine is too busy.
func (tr *traffic) deposals() (n int) {
	for _, s := range tr.cluster.Servers {
		n += strings.Count(s.Log(), "failed to contact quorum of nodes, stepping down")
	}
	return n
}

// recovered returns once the client agent has answered some more requests.
func (tr *traffic) recovered(t *testing.T, requests int) {
	t.Helper()
	late := false
	timer := time.AfterFunc(serverPatience, func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		late = true
		tr.more.Broadcast()
	})
	defer timer.Stop()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for target := tr.throughAgent.requests + requests; tr.throughAgent.requests < target; tr.more.Wait() {
		if late {
			t.Fatalf("the client agent does not answer after %v", serverPatience)
		}
	}
}

// verify checks that every server has everything that was acknowledged.
func (tr *traffic) verify() {
	tr.t.Helper()
	for _, s := range tr.cluster.Servers {
		c := newCaller(s.HTTP, finalAnswer)
		for _, w := range tr.workers {
			if got, err := c.read(tr.t.Context(), w.own, byConsistent); err != nil || got != w.last && (w.open == "" || got != w.open) {
				tr.t.Errorf("%s: %s is %q (%v), not %q which was acknowledged", s.Name, w.own.name, got, err, w.last)
			}
		}
		c.close()
	}
}
