package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/oneconn"
)

const (
	callTime  = 10 * time.Second     // for one call
	callEvery = 5 * time.Millisecond // of whoever calls again and again
)

// newCaller returns a client whose calls have a connection each; or with keep one for all of them, one after the other.
func newCaller(keep bool) *http.Client {
	if keep {
		return &http.Client{Timeout: callTime, Transport: &oneconn.Transport{}}
	}
	return &http.Client{Timeout: callTime, Transport: &http.Transport{DisableKeepAlives: true}}
}

// call returns what a URL answers with 200.
func call(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return string(answer), err
}

// callUntil calls again and again until a call succeeds, or with fails until one fails, and returns when that was.
func callUntil(ctx context.Context, c *http.Client, url string, fails bool) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	for {
		_, err := call(ctx, c, url)
		if now := time.Now(); ctx.Err() == nil && (err != nil) == fails {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("after %v calls still do not change: %w", taskTime, errors.Join(err, ctx.Err()))
		}
	}
}

// traffic calls a URL all the time.
type traffic struct {
	calls, failed atomic.Int64
	stop          context.CancelFunc
	work          sync.WaitGroup

	mu    sync.Mutex // guards first
	first error      // of the calls that failed
}

// startTraffic calls until end is called, by some callers with connections of one call and one that keeps its connection.
func startTraffic(ctx context.Context, url string, callers int) *traffic {
	t := &traffic{}
	ctx, t.stop = context.WithCancel(ctx)
	for i := range callers {
		c := newCaller(i == 0)
		t.work.Go(func() { t.run(ctx, c, url) })
	}
	return t
}

func (t *traffic) run(ctx context.Context, c *http.Client, url string) {
	defer c.CloseIdleConnections()
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// A call under way when the traffic ends is a call that ends.
		_, err := call(context.WithoutCancel(ctx), c, url)
		t.calls.Add(1)
		if err == nil {
			continue
		}
		t.failed.Add(1)
		t.mu.Lock()
		if t.first == nil {
			t.first = err
		}
		t.mu.Unlock()
	}
}

// end ends the calls and returns the first of those that failed.
func (t *traffic) end() error {
	t.stop()
	t.work.Wait()
	if n := t.failed.Load(); n > 0 {
		return fmt.Errorf("%d of %d calls failed, the first with: %w", n, t.calls.Load(), t.first)
	}
	return nil
}
