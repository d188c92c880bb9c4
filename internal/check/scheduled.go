package check

import (
	"context"
	"math/rand/v2"
	"time"
)

// scheduled runs a probe at an interval.
type scheduled struct {
	report     report
	thresholds thresholds
	probe      probe
	interval   time.Duration
	timeout    time.Duration
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
	return c
}

// Run probes first after a random part of the interval, so that checks that
// begin together do not stay together.
func (c *scheduled) Run(ctx context.Context) {
	timer := time.NewTimer(rand.N(c.interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		c.once(ctx)
		timer.Reset(c.interval)
	}
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
