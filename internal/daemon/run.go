package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	drainTime = 5 * time.Second  // for requests that are being answered when the agent stops
	readyTime = 10 * time.Second // for a leader, before the agent says that it runs without one
)

// task is a long-running part. It ends when its context does.
type task struct {
	name string
	run  func(context.Context) error
}

// run serves until the agent leaves, is stopped, or a part fails.
func (s *server) run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	failed := s.runAll(life, s.tasks())
	go s.announce(life)
	err := s.wait(ctx, failed)
	s.log.Info("Requesting shutdown")
	end()
	s.drain()
	for range failed { // closed when every task has ended
	}
	err = errors.Join(err, s.raft.Close())
	s.log.Info("shutdown complete")
	return err
}

func (s *server) tasks() []task {
	tasks := []task{{"leader", s.leader.Run}}
	for _, l := range s.listeners {
		tasks = append(tasks, task{l.protocol, func(ctx context.Context) error { return l.serve(ctx) }})
	}
	return tasks
}

// runAll runs tasks until they end. It sends the error of each that failed
// and closes the channel when all have ended.
func (s *server) runAll(ctx context.Context, tasks []task) <-chan error {
	failed := make(chan error, len(tasks))
	var running sync.WaitGroup
	for _, t := range tasks {
		running.Go(func() {
			if err := t.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				failed <- err
			}
		})
	}
	go func() {
		running.Wait()
		close(failed)
	}()
	return failed
}

// announce tells that the agent serves, once there is a leader.
func (s *server) announce(ctx context.Context) {
	select {
	case <-s.began:
	case <-time.After(readyTime):
		s.log.Warn("there is no leader yet")
	case <-ctx.Done():
		return
	}
	s.log.Info("Consul agent running!")
	if s.opts.Ready != nil {
		s.opts.Ready()
	}
}

// wait returns when the agent has to end: nil after a graceful leave or the
// end of ctx.
func (s *server) wait(ctx context.Context, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-s.leave:
			return s.leaveGracefully()
		case sig := <-s.opts.Signals:
			s.log.Info("Caught", slog.String("signal", signalName(sig)))
			switch {
			case sig == syscall.SIGHUP:
				if err := s.reload(); err != nil {
					s.log.Error("Reload config failed", slog.Any("error", err))
				}
			case s.leavesOn(sig):
				return s.leaveGracefully()
			default:
				s.log.Info("Graceful shutdown disabled. Exiting")
				return ErrStopped
			}
		}
	}
}

// leavesOn reports whether a signal makes the agent leave (agent.md section 8).
func (s *server) leavesOn(sig os.Signal) bool {
	cfg := s.current.Load()
	if sig == os.Interrupt {
		return !cfg.SkipLeaveOnInt
	}
	return cfg.LeaveOnTerminate
}

// leaveGracefully answers what was asked before it returns. A second signal
// cuts that short.
func (s *server) leaveGracefully() error {
	s.log.Info("Gracefully shutting down agent...")
	drained := make(chan struct{})
	go func() {
		s.drain()
		close(drained)
	}()
	select {
	case <-drained:
		s.log.Info("Graceful exit completed")
		return nil
	case sig := <-s.opts.Signals:
		s.log.Info("Caught second signal, Exiting", slog.String("signal", signalName(sig)))
		return ErrStopped
	}
}

// drain closes the listeners and waits a while for what is being answered.
func (s *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var closing sync.WaitGroup
	for _, l := range s.listeners {
		closing.Go(func() { l.shutdown(ctx) })
	}
	closing.Wait()
}

func signalName(sig os.Signal) string {
	if sig == syscall.SIGHUP {
		return "hangup"
	}
	return sig.String()
}

// reload reads the configuration again and applies what can change while the
// agent runs: log level, agent tokens, certificates. On an error nothing changes.
func (s *server) reload() error {
	if s.opts.Reload == nil {
		return nil
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	next, err := s.opts.Reload()
	if err != nil {
		return err
	}
	if s.cfg.Ports.HTTPS > 0 {
		if err := s.https.load(next.TLS.HTTPS); err != nil {
			return err
		}
	}
	if s.opts.SetLevel != nil {
		if err := s.opts.SetLevel(next.Log.Level); err != nil {
			return err
		}
	}
	old := s.current.Swap(&next)
	return s.applyTokens(old.ACL.Tokens.byKind(), next.ACL.Tokens.byKind())
}
