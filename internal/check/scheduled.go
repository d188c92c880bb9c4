package check

import (
	"context"
	"math/rand/v2"
	"time"
)

// A check of something on the network that begins critical is probed this often, this many times at most, until it
// passes: what starts is in use soon.
const (
	earlyInterval = time.Second
	earlyProbes   = 10
)

// scheduled runs a probe at an interval.
type scheduled struct {
	report     report
	thresholds thresholds
	probe      probe
	interval   time.Duration
	timeout    time.Duration
	early      int // probes that are left of the early ones
}

func newScheduled(d *Definition, o *Options, r report, p probe) *scheduled {
	c := &scheduled{report: r, thresholds: newThresholds(d), probe: p, interval: d.Interval, timeout: d.Timeout}
	if c.interval < o.MinInterval {
		o.Log.Warn("check has interval below minimum", "check", d.CheckID, "minimum_interval", o.MinInterval)
		c.interval = o.MinInterval
	}
	if c.timeout <= 0 {
		c.timeout = probeTimeout
		if d.Scripted() {
			c.timeout = scriptTimeout
		}
	}
	if r.last.Status == Critical && !d.Scripted() {
		c.early = earlyProbes
	}
	return c
}

// Run probes first after a random part of the interval, so that checks that
// begin together do not stay together, and so after the early probes.
func (c *scheduled) Run(ctx context.Context) {
	first := c.interval
	if c.early > 0 {
		first = min(first, earlyInterval)
	}
	timer := time.NewTimer(rand.N(first))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		c.once(ctx)
		timer.Reset(c.next())
	}
}

// next is how long to wait for the next probe.
func (c *scheduled) next() time.Duration {
	if c.early == 0 {
		return c.interval
	}
	if c.early--; c.early > 0 && c.report.last.Status == Critical {
		return min(c.interval, earlyInterval)
	}
	c.early = 0
	return rand.N(c.interval)
}

// once probes in a goroutine of its own: the one that waits for the next time
// keeps its small stack.
func (c *scheduled) once(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		result := c.probe.probe(limited)
		if ctx.Err() != nil {
			return
		}
		if status, reached := c.thresholds.count(result.Status); reached {
			c.report.set(Status{status, result.Output})
		}
	}()
	<-done
}
