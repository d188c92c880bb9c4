package main

import (
	"context"
	"fmt"
	"time"
)

// tokens is how many a server has that is started again.
const tokens = 50_000

// measureRestart makes tokens and starts the server again.
func measureRestart(ctx context.Context, s *process, r *report) error {
	began := time.Now()
	before, err := s.cpu()
	if err != nil {
		return err
	}
	if err := each(ctx, s.addr, readers, tokens, func(c *conn, i int) error {
		_, err := c.do("PUT", "/v1/acl/token", fmt.Sprintf(`{"Description":"token %d","ServiceIdentities":[{"ServiceName":"svc-%d"}]}`, i, i%names))
		return err
	}); err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	took := time.Since(began)
	_, resident, err := s.memory()
	if err != nil {
		return err
	}
	r.row(fmt.Sprintf("make a token, x%d", readers), "", "%.0f a second, %.0f µs of processor time", tokens/took.Seconds(), float64((after-before).Microseconds())/tokens)
	r.row(fmt.Sprintf("resident memory with %d tokens and %d services", tokens, services), "180 MiB", "%.0f MiB", float64(resident)/(1<<20))
	began = time.Now()
	if err := s.again(); err != nil {
		return err
	}
	took = time.Since(began)
	spent, err := s.cpu()
	if err != nil {
		return err
	}
	_, resident, err = s.memory()
	if err != nil {
		return err
	}
	r.row("stop and start with them, to the first write", "0.8 s", "%.2f s; %.2f s of processor time; %.0f MiB", took.Seconds(), spent.Seconds(), float64(resident)/(1<<20))
	return nil
}
