package main

import (
	"context"
	"fmt"
	"time"
)

// watched is the service that everybody waits for.
const watched = "/v1/health/service/svc-0"

// measureWatch lets clients wait for one service and changes it.
func measureWatch(ctx context.Context, s *process, r *report) error {
	conns := make([]*conn, watchers)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	writer, err := dial(s.addr)
	if err != nil {
		return err
	}
	defer writer.Close()
	before, _, err := s.memory()
	if err != nil {
		return err
	}
	for i := range conns {
		if conns[i], err = dial(s.addr); err != nil {
			return err
		}
	}
	w := &watch{server: s, writer: writer, conns: conns}
	if err := s.while("watch", func() error { return w.rounds(ctx) }); err != nil {
		return err
	}
	after, _, err := s.memory()
	if err != nil {
		return err
	}
	r.row(fmt.Sprintf("%d watchers of one service, one change, all woken", watchers), "60 ms", "%.1f ms (median of %d)", milliseconds(median(w.took)), wakes)
	r.row("the same, processor time of the server", "", "%.1f ms", milliseconds(w.cpu)/wakes)
	r.row("memory of a blocked watcher, its connection included", "6 KiB", "%.1f KiB", float64(w.blocked-before)/watchers/1024)
	r.row("the same after some wake-ups", "", "%.1f KiB", float64(after-before)/watchers/1024)
	return nil
}

// watch is clients that wait for a service.
type watch struct {
	server  *process
	writer  *conn
	conns   []*conn
	took    []time.Duration
	cpu     time.Duration // of the server, for all wake-ups
	blocked int           // memory of the server while all wait for the first time
}

// rounds lets everybody wait and wakes them, some times.
func (w *watch) rounds(ctx context.Context) error {
	for round := range wakes {
		index, err := w.writer.do("GET", watched, "")
		if err != nil {
			return err
		}
		for _, c := range w.conns {
			if _, err := c.Write(request("GET", watched+"?wait=10m&index="+index, "")); err != nil {
				return err
			}
		}
		if err := settle(ctx, w.server); err != nil {
			return err
		}
		if round == 0 {
			if w.blocked, _, err = w.server.memory(); err != nil {
				return err
			}
			if err := w.server.profile("blocked", "heap"); err != nil {
				return err
			}
		}
		before, err := w.server.cpu()
		if err != nil {
			return err
		}
		took, err := wake(ctx, w.writer, w.conns, fmt.Sprintf("changed %d", round))
		if err != nil {
			return err
		}
		after, err := w.server.cpu()
		if err != nil {
			return err
		}
		w.took, w.cpu = append(w.took, took), w.cpu+after-before
	}
	return nil
}

// wake changes the service, and returns how long it took until every connection had its answer.
func wake(ctx context.Context, writer *conn, conns []*conn, output string) (time.Duration, error) {
	failed := make(chan error, len(conns))
	for _, c := range conns {
		go func() {
			_, err := c.answer()
			failed <- err
		}()
	}
	began := time.Now()
	if _, err := writer.do("PUT", "/v1/catalog/register", registration(0, output)); err != nil {
		return 0, err
	}
	for range conns {
		select {
		case err := <-failed:
			if err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return time.Since(began), nil
}

// settle returns once the server has nothing to do: every request waits.
func settle(ctx context.Context, s *process) error {
	last, err := s.cpu()
	for err == nil && ctx.Err() == nil {
		time.Sleep(300 * time.Millisecond)
		var now time.Duration
		if now, err = s.cpu(); now-last <= 10*time.Millisecond {
			return err
		}
		last = now
	}
	return err
}
