package ecs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/taskmeta"
)

// helpers are the containers of a task that are not the application.
var helpers = []string{"consul-client", "sidecar-proxy", "consul-ecs-health-sync", "consul-ecs-mesh-init"}

// entrypoint runs a child whose end waits for something after SIGTERM (ecs.md section 8).
type entrypoint struct {
	log     *slog.Logger
	signals <-chan os.Signal
	child   *exec.Cmd
	// ready returns when the child is to be terminated, or false if it never is, or once ctx is done.
	ready func(ctx context.Context) bool
	// forwardMore passes a second SIGTERM and later ones on to the child.
	forwardMore bool
}

// entrypointFlags reads the flags that both entrypoints have, and the child's command.
func entrypointFlags(env *Env, fs *flag.FlagSet, args []string) (*exec.Cmd, *slog.Logger, error) {
	level := fs.String("log-level", "INFO", "least important `level` of messages")
	if err := env.parse(fs, args); err != nil {
		return nil, nil, err
	}
	if fs.NArg() == 0 {
		return nil, nil, errors.New("command is required")
	}
	log, err := env.logger(*level)
	if err != nil {
		return nil, nil, err
	}
	child := exec.Command(fs.Arg(0), fs.Args()[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, env.Out, env.Err
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return child, logging.Named(log, "consul-ecs"), nil
}

// appEntrypoint runs the application and lets it go on for a while after SIGTERM, so that those who
// call it learn of its end first.
func appEntrypoint(ctx context.Context, env *Env, args []string) error {
	fs := flag.NewFlagSet("app-entrypoint", flag.ContinueOnError)
	delay := fs.Duration("shutdown-delay", 0, "how long the application goes on after SIGTERM")
	child, log, err := entrypointFlags(env, fs, args)
	if err != nil {
		return err
	}
	e := &entrypoint{log: log, signals: env.Signals, child: child, forwardMore: true}
	e.ready = func(ctx context.Context) bool {
		if *delay <= 0 {
			return false // as the original: the first signal is the delay's
		}
		log.Info(fmt.Sprintf("received sigterm. waiting %s before terminating application.", *delay))
		return sleep.For(ctx, *delay)
	}
	return e.run(ctx)
}

// envoyEntrypoint runs Envoy and keeps it until every container of the application has stopped.
func envoyEntrypoint(ctx context.Context, env *Env, args []string) error {
	child, log, err := entrypointFlags(env, flag.NewFlagSet("envoy-entrypoint", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	metadata, err := taskmeta.FromEnv(env.Getenv)
	if err != nil {
		return err
	}
	e := &entrypoint{log: log, signals: env.Signals, child: child}
	e.ready = func(ctx context.Context) bool {
		log.Info("waiting for application container(s) to stop")
		for !applicationStopped(ctx, metadata, log) {
			if !sleep.For(ctx, syncInterval) {
				return false
			}
		}
		log.Info("application container(s) have stopped, terminating envoy")
		return true
	}
	return e.run(ctx)
}

func applicationStopped(ctx context.Context, metadata *taskmeta.Client, log *slog.Logger) bool {
	task, err := metadata.Task(ctx)
	if err != nil {
		log.Error("unable to get task metadata", logging.Err, err)
		return false
	}
	return !slices.ContainsFunc(task.Containers, func(c taskmeta.Container) bool {
		return !slices.Contains(helpers, c.Name) && (c.DesiredStatus != taskmeta.Stopped || c.KnownStatus != taskmeta.Stopped)
	})
}

// run runs the child to its end and returns its exit code, 255 after a signal.
func (e *entrypoint) run(ctx context.Context) error {
	if err := e.child.Start(); err != nil {
		e.log.Error("starting process", logging.Err, err)
		return exitCode(1)
	}
	running, ended := context.WithCancel(ctx)
	go func() {
		_ = e.child.Wait() // what became of it is in ProcessState
		ended()
	}()
	e.serve(running)
	if code := e.child.ProcessState.ExitCode(); code != 0 {
		return exitCode(code & 0xff)
	}
	return nil
}

// serve passes signals on until the child has ended.
func (e *entrypoint) serve(ctx context.Context) {
	terminated := false
	terminate := make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-terminate:
			e.terminate()
		case sig := <-e.signals:
			switch {
			case sig == syscall.SIGCHLD || sig == syscall.SIGURG:
			case sig != syscall.SIGTERM || terminated && e.forwardMore:
				_ = e.child.Process.Signal(sig) // it may have ended
			case !terminated:
				terminated = true
				go func() {
					if e.ready(ctx) {
						terminate <- struct{}{}
					}
				}()
			}
		}
	}
}

// terminate sends SIGTERM to the child and to what it has started.
func (e *entrypoint) terminate() {
	_ = syscall.Kill(-e.child.Process.Pid, syscall.SIGTERM) // it may have ended
}
