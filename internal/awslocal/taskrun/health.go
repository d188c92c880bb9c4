package taskrun

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
)

const (
	defaultInterval = 30
	defaultTimeout  = 5
	defaultRetries  = 3
)

// checkHealth checks the container's health until it has ended. What it returns is closed after that.
func (t *Task) checkHealth(c *container, p *place, ended <-chan struct{}) <-chan struct{} {
	checked := make(chan struct{})
	h := c.definition.HealthCheck
	if h == nil {
		close(checked)
		return checked
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-ended
		cancel()
	}()
	go func() {
		defer close(checked)
		defer cancel()
		t.followHealth(ctx, c, p, h)
	}()
	return checked
}

// followHealth counts as Docker does: failures before the first success do not count
// within the start period.
func (t *Task) followHealth(ctx context.Context, c *container, p *place, h *awslocal.HealthCheck) {
	seconds := func(n, otherwise int) time.Duration { return time.Duration(cmp.Or(n, otherwise)) * time.Second }
	interval := cmp.Or(t.runner.options.HealthInterval, seconds(h.Interval, defaultInterval))
	grace := time.Now().Add(time.Duration(h.StartPeriod) * time.Second)
	failures, succeeded := 0, false
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := p.run(ctx, c, checkCommand(h.Command), nil, seconds(h.Timeout, defaultTimeout))
		health := ""
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures, succeeded, health = 0, true, awslocal.Healthy
		case !succeeded && time.Now().Before(grace):
		default:
			if failures++; failures >= cmp.Or(h.Retries, defaultRetries) {
				health = awslocal.Unhealthy
			}
		}
		if health != "" && health != t.Container(c.definition.Name).Health {
			t.change(c, func(s *awslocal.Container) { s.Health = health })
		}
	}
}

func checkCommand(command []string) []string {
	switch command[0] {
	case "CMD":
		return command[1:]
	case "CMD-SHELL":
		return []string{"/bin/sh", "-c", command[1]}
	}
	return command
}

// Exec runs a command in a running container, with its environment, and returns what it wrote to its
// standard output and error. An exit code other than 0 is an *exec.ExitError.
func (t *Task) Exec(ctx context.Context, name string, args ...string) (string, error) {
	t.mu.Lock()
	c := t.find(name)
	var p *place
	if c != nil && c.process != nil {
		p = c.place
	}
	t.mu.Unlock()
	if p == nil {
		return "", fmt.Errorf("task %s runs no container %q", t.ID, name)
	}
	var out bytes.Buffer
	err := p.run(ctx, c, args, &out, 0)
	return out.String(), err
}

// run runs a command in the container's place, for as long as limit allows if it is not 0.
func (p *place) run(ctx context.Context, c *container, args []string, out io.Writer, limit time.Duration) error {
	cmd := &exec.Cmd{Args: args, Env: c.env, Dir: c.definition.WorkingDirectory, Stdout: out, Stderr: out, SysProcAttr: p.commandAttr()}
	cmd.WaitDelay = time.Second
	if err := p.start(cmd); err != nil {
		return err
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !stop() && err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return err
}
