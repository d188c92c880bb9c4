package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	exitChildFailed  ExitCode = 2           // with -child-exit-code
	monitorRetryTime          = time.Second // between attempts to see whether the lock is still held
	childStop                 = 5 * time.Second
)

// lockFlags are those of consul lock.
type lockFlags struct {
	base
	holders            int
	name               string
	timeout            time.Duration
	try                time.Duration
	retries            int
	childExit          bool
	passStdin, inShell bool
	verbose            bool
}

func (f *lockFlags) register(fs *flag.FlagSet) {
	f.server(fs)
	f.tenancy(fs)
	fs.IntVar(&f.holders, "n", 1, "`number` of those who may hold the lock at once; the same for all of them")
	fs.StringVar(&f.name, "name", "", "`name` of the session; made from the command if empty")
	fs.DurationVar(&f.timeout, "timeout", 0, "`time` to wait for the lock; 0 is for ever")
	fs.DurationVar(&f.try, "try", 0, "older spelling of -timeout")
	fs.IntVar(&f.retries, "monitor-retry", 3, "`number` of times that the lock may fail to be seen, as while a leader is elected, before it counts as lost")
	fs.BoolVar(&f.childExit, "child-exit-code", false, "exit with 2 if the command fails")
	fs.BoolVar(&f.passStdin, "pass-stdin", false, "give the command this one's standard input")
	fs.BoolVar(&f.inShell, "shell", true, "run the command in a shell")
	fs.BoolVar(&f.verbose, "verbose", false, "say what happens")
}

func lock() *Command {
	f := &lockFlags{}
	return &Command{
		Name: "lock", Args: "PREFIX COMMAND...", Short: "Run a command while a lock is held",
		Long: "The lock is the key PREFIX/.lock. The command is ended when the lock is lost, and the lock is released when the command ends. " +
			"CONSUL_LOCK_HELD=true is in its environment.",
		Flags: f.register,
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) < 2:
				return complain("Key prefix and child command must be specified")
			case f.holders <= 0:
				return complain("Lock holder limit must be positive")
			case f.timeout < 0 || f.try < 0:
				return complain("Timeout must be positive")
			}
			f.timeout = cmp.Or(f.timeout, f.try)
			client, err := f.open(env)
			if err != nil {
				return err
			}
			l, err := f.make(client, strings.TrimSuffix(strings.TrimPrefix(args[0], "/"), "/"), args[1:])
			if err != nil {
				return complain("Lock setup failed: %w", err)
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.hold(ctx, env, l, args[1:])
		},
	}
}

// heldLock is a lock that one or several may hold.
type heldLock struct {
	lock            func(stop <-chan struct{}) (lost <-chan struct{}, err error)
	unlock, destroy func() error
	inUse           error // of destroy, when others hold it
}

func (f *lockFlags) make(client *api.Client, prefix string, command []string) (heldLock, error) {
	name := cmp.Or(f.name, fmt.Sprintf("Consul lock for '%s' at '%s'", strings.Join(command, " "), prefix))
	if f.holders == 1 {
		l, err := client.LockOpts(&api.LockOptions{
			Key: prefix + "/.lock", SessionName: name, MonitorRetries: f.retries, MonitorRetryTime: monitorRetryTime,
			LockTryOnce: f.timeout > 0, LockWaitTime: f.timeout,
		})
		if err != nil {
			return heldLock{}, err
		}
		return heldLock{l.Lock, l.Unlock, l.Destroy, api.ErrLockInUse}, nil
	}
	s, err := client.SemaphoreOpts(&api.SemaphoreOptions{
		Prefix: prefix, Limit: f.holders, SessionName: name, MonitorRetries: f.retries, MonitorRetryTime: monitorRetryTime,
		SemaphoreTryOnce: f.timeout > 0, SemaphoreWaitTime: f.timeout,
	})
	if err != nil {
		return heldLock{}, err
	}
	return heldLock{s.Acquire, s.Release, s.Destroy, api.ErrSemaphoreInUse}, nil
}

// hold waits for the lock, runs the command, and gives the lock back.
func (f *lockFlags) hold(ctx context.Context, env *Env, l heldLock, command []string) error {
	f.say(env, "Attempting lock acquisition")
	lost, err := l.lock(ctx.Done())
	switch {
	case err != nil:
		return complain("Lock acquisition failed: %w", err)
	case lost == nil && ctx.Err() != nil:
		return complain("Shutdown triggered during lock acquisition")
	case lost == nil:
		return complain("Lock acquisition timed out")
	}
	failed := f.runChild(ctx, env, command, lost)
	if failed != nil {
		fmt.Fprintf(env.Err, "Error running handler: %v\n", failed)
	}
	if err := l.unlock(); err != nil {
		return complain("Lock release failed: %w", err)
	}
	f.say(env, "Lock released")
	if err := l.destroy(); err != nil && !errors.Is(err, l.inUse) {
		return complain("Lock cleanup failed: %w", err)
	}
	var exit *exec.ExitError
	switch {
	case errors.Is(failed, errLockLost):
		return ExitCode(exitFailure)
	case f.childExit && errors.As(failed, &exit):
		return exitChildFailed
	}
	return nil
}

var errLockLost = errors.New("the lock was lost")

// runChild runs the command until it ends, the lock is lost or ctx ends. A command that is to
// end is asked to, and after a while made to.
func (f *lockFlags) runChild(ctx context.Context, env *Env, command []string, lost <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-lost:
			cancel(errLockLost)
		case <-ctx.Done():
		}
	}()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	if f.inShell {
		cmd = exec.CommandContext(ctx, cmp.Or(env.Getenv("SHELL"), "/bin/sh"), "-c", strings.Join(command, " "))
	}
	cmd.Env = append(os.Environ(), "CONSUL_LOCK_HELD=true")
	cmd.Stdout, cmd.Stderr = env.Out, env.Err
	if f.passStdin {
		cmd.Stdin = env.In
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = childStop
	f.say(env, "Starting handler '%s'", strings.Join(command, " "))
	err := cmd.Run()
	if errors.Is(context.Cause(ctx), errLockLost) {
		return errLockLost
	}
	return err
}

func (f *lockFlags) say(env *Env, format string, args ...any) {
	if f.verbose {
		fmt.Fprintf(env.Out, format+"\n", args...)
	}
}
