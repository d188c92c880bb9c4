package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
)

// Options are what an agent is given beside its configuration.
type Options struct {
	Log      *slog.Logger
	SetLevel func(level string) error // applies a reloaded log level; may be nil
	Reload   func() (Config, error)   // reads the same sources again; nil means there is nothing to read
	Signals  <-chan os.Signal         // SIGHUP reloads, SIGINT and SIGTERM stop; may be nil
	Ready    func()                   // called once every listener answers; may be nil
}

// ErrStopped is what Run returns when a signal stopped the agent without a
// graceful leave: the process exits 1 then (spec: agent.md section 8).
var ErrStopped = errors.New("stopped without leaving")

// Run runs an agent until it leaves, is stopped or fails. It returns nil after
// a graceful leave and after ctx ended, ErrStopped after a signal that is
// configured not to leave, and otherwise what went wrong.
func Run(ctx context.Context, cfg Config, opts Options) error {
	if cfg.Server {
		defer holdBallast()()
		s, err := newServer(cfg, opts)
		if err != nil {
			return err
		}
		return s.run(ctx, s)
	}
	c, err := newClient(ctx, cfg, opts)
	if err != nil {
		return err
	}
	return c.run(ctx, c)
}
