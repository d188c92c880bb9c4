package ecs

import (
	"context"
	"syscall"
)

// untilTerminated returns a context that ends with the first SIGTERM or SIGINT.
func untilTerminated(ctx context.Context, env *Env) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case sig := <-env.Signals:
				if sig == syscall.SIGTERM || sig == syscall.SIGINT {
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
