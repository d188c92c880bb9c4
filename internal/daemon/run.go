package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

const (
	drainTime  = 5 * time.Second        // for requests that are being answered when the agent stops
	drainGrace = 500 * time.Millisecond // for those that do not block
	readyTime  = 10 * time.Second       // for a leader, before the agent says that it runs without one
)

// task is a long-running part. It ends when its context does.
type task struct {
	name string
	run  func(context.Context) error
}

// run serves until the agent leaves, is stopped, or a part fails.
func (b *base) run(ctx context.Context, r role) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	tasks := append(r.tasks(), task{"watches", b.runWatches})
	for _, l := range b.listeners {
		tasks = append(tasks, task{l.protocol, l.serve})
	}
	for _, l := range b.grpc {
		tasks = append(tasks, task{"grpc", l.serve})
	}
	failed := runAll(life, tasks)
	go b.announce(life, r.ready())
	err := b.wait(ctx, failed, r)
	b.log.Info("Requesting shutdown")
	r.handOn()
	b.drain() // what waits for another leader is passed on to it
	end()
	for range failed { // closed when every task has ended
	}
	err = errors.Join(err, r.close())
	b.log.Info("shutdown complete")
	return err
}

// runAll runs tasks until they end. It sends the error of each that failed
// and closes the channel when all have ended.
func runAll(ctx context.Context, tasks []task) <-chan error {
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
func (b *base) announce(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready:
	case <-time.After(readyTime):
		b.log.Warn("there is no leader yet")
	case <-ctx.Done():
		return
	}
	b.log.Info("Consul agent running!")
	forgetStart()
	if b.opts.Ready != nil {
		b.opts.Ready()
	}
}

// wait returns when the agent has to end: nil after a graceful leave or the
// end of ctx.
func (b *base) wait(ctx context.Context, failed <-chan error, r role) error {
	goodbye := sync.OnceFunc(func() { close(b.left) })
	defer goodbye()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-b.leave:
			return b.leaveGracefully(r, goodbye)
		case sig := <-b.opts.Signals:
			b.log.Info("Caught", slog.String("signal", signalName(sig)))
			switch {
			case sig == syscall.SIGHUP:
				if err := b.reload(); err != nil {
					b.log.Error("Reload config failed", slog.Any(logging.Err, err))
				}
			case b.leavesOn(sig):
				return b.leaveGracefully(r, goodbye)
			default:
				b.log.Info("Graceful shutdown disabled. Exiting")
				return ErrStopped
			}
		}
	}
}

// leavesOn reports whether a signal makes the agent leave (agent.md section 8).
func (b *base) leavesOn(sig os.Signal) bool {
	cfg := b.current.Load()
	if sig == os.Interrupt {
		return !cfg.SkipLeaveOnInt
	}
	return cfg.LeaveOnTerminate
}

// leaveGracefully tells the cluster, calls goodbye, and answers what was asked
// before it returns. A second signal cuts that short.
func (b *base) leaveGracefully(r role, goodbye func()) error {
	b.log.Info("Gracefully shutting down agent...")
	left := make(chan error, 1)
	go func() {
		err := r.leaveCluster()
		goodbye()
		b.drain()
		left <- err
	}()
	select {
	case err := <-left:
		if err != nil {
			b.log.Error("failed to leave the cluster", logging.Err, err)
		}
		b.log.Info("Graceful exit completed")
		return nil
	case sig := <-b.opts.Signals:
		b.log.Info("Caught second signal, Exiting", slog.String("signal", signalName(sig)))
		return ErrStopped
	}
}

// drain closes the listeners and waits a while for what is being answered.
func (b *base) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var closing sync.WaitGroup
	for _, l := range b.listeners {
		closing.Go(func() { l.shutdown(ctx) })
	}
	for _, l := range b.grpc {
		closing.Go(l.shutdown)
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
// agent runs: log level, agent tokens, certificates, node_meta, and what the
// role can. After an error in the files nothing has changed.
func (b *base) reload() error {
	if b.opts.Reload == nil {
		return nil
	}
	b.reloading.Lock()
	defer b.reloading.Unlock()
	next, err := b.opts.Reload()
	if err != nil {
		return err
	}
	rpc, err := rpcTLS(next)
	if err != nil {
		return err
	}
	rpc.VerifyServerHostname = rpc.VerifyServerHostname || b.nameWanted.Load()
	if err := b.tls.Update(rpc); err != nil {
		return err
	}
	obtained := b.cfg.AutoEncrypt.TLS && next.TLS.HTTPS.CertFile == "" // by auto_encrypt, from no file
	if b.cfg.Ports.HTTPS > 0 && !obtained {
		if err := b.https.load(next.TLS.HTTPS); err != nil {
			return err
		}
	}
	if b.grpcTLS.loaded() && next.TLS.GRPC.CertFile != "" {
		if err := b.grpcTLS.load(next.TLS.GRPC); err != nil {
			return err
		}
	}
	if b.opts.SetLevel != nil {
		if err := b.opts.SetLevel(next.Log.Level); err != nil {
			return err
		}
	}
	if err := b.reloadAudit(next); err != nil {
		return err
	}
	b.limits.SetRates(rates(next.Limits))
	b.metrics.SetFilter(next.Telemetry.filter())
	if b.reloaded != nil {
		if err := b.reloaded(next); err != nil {
			return err
		}
	}
	old := b.current.Swap(&next)
	b.changeWatches(old, &next)
	b.applyTokens(old.ACL.Tokens.byKind(), next.ACL.Tokens.byKind())
	if err := b.loadLocal(); err != nil {
		return err
	}
	b.log.Info("configuration reloaded")
	return nil
}
