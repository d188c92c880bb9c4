package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// each runs step for 0 to n-1, shared among workers with a connection each.
func each(ctx context.Context, addr string, workers, n int, step func(c *conn, i int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	var next atomic.Int64
	for range workers {
		all.Go(func() {
			c, err := dial(addr)
			if err != nil {
				fail(err)
				return
			}
			defer c.Close()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := step(c, i); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// registration is the body that registers instance i with its node and a check of its own.
func registration(i int, output string) string {
	node, name := i%nodes, i%names
	return fmt.Sprintf(`{"Node":"node-%d","Address":"10.0.%d.%d","NodeMeta":{"rack":"r%d"},`+
		`"Service":{"ID":"svc-%d-%d","Service":"svc-%d","Port":8080,"Tags":["v1","primary"],"Meta":{"version":"1"}},`+
		`"Check":{"CheckID":"svc-%d-%d","Name":"alive","ServiceID":"svc-%d-%d","Status":"passing","Output":%q}}`,
		node, node/250, node%250, node%10, name, i, name, name, i, name, i, output)
}

func measureLoad(ctx context.Context, s *process, r *report) error {
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	var took time.Duration
	if err := s.while("load", func() error {
		defer func() { took = time.Since(began) }()
		return each(ctx, s.addr, loaders, services, func(c *conn, i int) error {
			_, err := c.do("PUT", "/v1/catalog/register", registration(i, "ok"))
			return err
		})
	}); err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	_, resident, err := s.memory()
	if err != nil {
		return err
	}
	r.row(fmt.Sprintf("load %d services on %d nodes, x%d", services, nodes, loaders), "0.6 s", "%.2f s", took.Seconds())
	r.row("the same, processor time of the server for each registration", "", "%.0f µs", float64((after-before).Microseconds())/services)
	r.row("resident memory of the server with them", "", "%.0f MiB", float64(resident)/(1<<20))
	return nil
}
