package main

import (
	"context"
	"fmt"
)

// measureReads compares the processor time of reads with that of a bare handler.
func measureReads(ctx context.Context, s *process, r *report) error {
	floor, err := startFloor()
	if err != nil {
		return err
	}
	defer floor.stop()
	bare, err := perRequest(ctx, floor, func(int) string { return "/" })
	if err != nil {
		return err
	}
	r.row(fmt.Sprintf("a bare handler, x%d, processor time of the server", readers), "", "%.1f µs", bare)
	for _, read := range []struct {
		name, what, target string
		path               func(i int) string
	}{
		{"read", "read of a key", "2", func(int) string { return "/v1/kv/bench/key" }},
		{"health", "health of a service with 10 instances", "5", func(i int) string { return fmt.Sprintf("/v1/health/service/svc-%d", i%names) }},
	} {
		var took float64
		if err := s.while(read.name, func() (err error) {
			took, err = perRequest(ctx, s, read.path)
			return err
		}); err != nil {
			return err
		}
		r.row(fmt.Sprintf("%s, x%d", read.what, readers), read.target+" × bare", "%.1f µs, %.1f × bare", took, took/bare)
	}
	return nil
}

// perRequest returns the microseconds of processor time that a request takes.
func perRequest(ctx context.Context, p *process, path func(i int) string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, readingTime)
	defer cancel()
	requests := make([][]byte, names)
	for i := range requests {
		requests[i] = request("GET", path(i), "")
	}
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	done := make(chan int)
	for w := range readers {
		go func() {
			n := 0
			defer func() { done <- n }()
			c, err := dial(p.addr)
			if err != nil {
				return
			}
			defer c.Close()
			for ; ctx.Err() == nil; n++ {
				if _, err := c.send(requests[(w*7+n)%names]); err != nil {
					return
				}
			}
		}()
	}
	sum := 0
	for range readers {
		sum += <-done
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if sum == 0 {
		return 0, fmt.Errorf("no request was answered")
	}
	return float64((after - before).Microseconds()) / float64(sum), nil
}
