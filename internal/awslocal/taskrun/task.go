package taskrun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
)

// Task is a task that runs or has run.
type Task struct {
	awslocal.Task
	IPv4 string

	runner     *Runner
	definition *awslocal.TaskDefinition
	env        []string        // of Spec
	placed     <-chan struct{} // of Spec
	region     string
	dir        string
	host       *host // nil if the task is not isolated
	listeners  []net.Listener
	containers []*container
	stop       chan struct{} // closed when the task is to stop
	done       chan struct{} // closed when all of it is gone

	mu       sync.Mutex // guards what follows and the containers' state
	stopping bool
	killed   bool
	reason   string
	changed  chan struct{} // closed and replaced with every change
}

// serve makes the local AWS reachable in the task's network: at its own URL, and the endpoints of ECS
// where ECS has them.
func (t *Task) serve() error {
	for _, addr := range []string{strings.TrimPrefix(t.runner.server.URL(), "http://"), endpointAddr + ":80"} {
		l, err := t.host.listen(addr)
		if err != nil {
			return err
		}
		t.listeners = append(t.listeners, l)
		go func() { _ = t.runner.http.Serve(l) }() // until the listener is closed
	}
	return nil
}

// run plays the task's life.
func (t *Task) run() {
	defer close(t.done)
	defer t.release()
	if t.placed != nil {
		select {
		case <-t.placed:
		case <-t.stop:
		}
	}
	if err := t.provision(); err != nil {
		t.begin(err.Error(), "TaskFailedToStart")
		return
	}
	var running sync.WaitGroup
	for _, c := range t.containers {
		running.Go(func() { t.runContainer(c) })
	}
	running.Wait()
	t.begin("Essential container in task exited", "EssentialContainerExited") // if none was essential to it before
}

// provision makes the volumes and reads the secrets.
func (t *Task) provision() error {
	for _, v := range t.definition.Volumes {
		if err := os.MkdirAll(t.VolumeDir(v.Name), 0o755); err != nil {
			return fmt.Errorf("CannotCreateVolumeError: %w", err)
		}
	}
	for _, c := range t.containers {
		for _, secret := range c.definition.Secrets {
			value, err := t.runner.server.SecretFor(t.definition.ExecutionRoleARN, t.ID, t.region, secret.ValueFrom)
			if err != nil {
				return err
			}
			c.secrets = append(c.secrets, secret.Name+"="+value)
		}
	}
	return nil
}

// release gives back everything that the task has.
func (t *Task) release() {
	t.runner.server.StopTask(t.ID)
	for _, l := range t.listeners {
		_ = l.Close()
	}
	if t.host != nil {
		t.host.close()
	}
	_ = os.RemoveAll(t.dir)
	t.runner.mu.Lock()
	delete(t.runner.tasks, t.ID)
	t.runner.mu.Unlock()
}

// VolumeDir is where this machine has a volume of the task. It is gone when the task is.
func (t *Task) VolumeDir(name string) string {
	for _, v := range t.definition.Volumes {
		if v.Name == name && v.Host.SourcePath != "" {
			return v.Host.SourcePath
		}
	}
	return filepath.Join(t.dir, "volumes", name)
}

// LogFile is the file with what a container has written to its standard output and error. It outlives
// the task.
func (t *Task) LogFile(container string) string {
	return filepath.Join(t.runner.options.Dir, t.ID+"-"+container+".log")
}

// Log is what a container has written so far.
func (t *Task) Log(container string) string {
	text, err := os.ReadFile(t.LogFile(container))
	if err != nil {
		return ""
	}
	return string(text)
}

// Done is closed when the task has stopped and nothing of it is left.
func (t *Task) Done() <-chan struct{} { return t.done }

// Reason says why the task stops or has stopped.
func (t *Task) Reason() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reason
}

// Container is the state of a container. It is the zero value if the task has no such container.
func (t *Task) Container(name string) awslocal.Container {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.find(name); c != nil {
		return c.state
	}
	return awslocal.Container{}
}

// Stop stops the task: all containers get SIGTERM at once, and SIGKILL after their stopTimeout. It does
// not wait; Done does.
func (t *Task) Stop(reason string) { t.begin(reason, "UserInitiated") }

// Kill kills all processes of the task at once, with SIGKILL and without any other signal before, as a
// machine that fails does. It does not wait; Done does.
func (t *Task) Kill() {
	t.mu.Lock()
	t.killed = true
	for _, c := range t.containers {
		if c.process != nil {
			c.kill()
		}
	}
	t.mu.Unlock()
	t.begin("Task killed", "TerminationNotice")
}

// begin makes the task stop, if it does not already.
func (t *Task) begin(reason, code string) {
	t.mu.Lock()
	first := !t.stopping
	if first {
		t.stopping, t.reason = true, reason
		for _, c := range t.containers {
			c.state.Desired = awslocal.Stopped
		}
	}
	t.mu.Unlock()
	if first {
		t.runner.server.BeginStop(t.ID, reason, code)
		close(t.stop)
	}
}

// change changes the state of a container, for everybody to see.
func (t *Task) change(c *container, f func(*awslocal.Container)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&c.state)
	_ = t.runner.server.SetContainer(t.ID, c.state) // fails once the task is stopped, and then says nothing new
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Task) find(name string) *container {
	for _, c := range t.containers {
		if c.definition.Name == name {
			return c
		}
	}
	return nil
}

// errNever is returned for what cannot become true any more.
var errNever = errors.New("cannot become true any more")

// Await waits until a container meets a condition of dependencies, such as
// awslocal.ConditionHealthy. It returns an error if it never will, or if ctx ends.
func (t *Task) Await(ctx context.Context, name, condition string) error {
	c := t.find(name)
	if c == nil {
		return fmt.Errorf("task %s has no container %q", t.ID, name)
	}
	for {
		t.mu.Lock()
		holds, never := c.meets(condition)
		state, reason, changed := c.state, t.reason, t.changed
		t.mu.Unlock()
		switch {
		case holds:
			return nil
		case never:
			return fmt.Errorf("container %s: %s %w: it is %s with exit code %d %s %s", name, condition, errNever, state.Known, state.ExitCode, state.Reason, reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("container %s: %s: it is %s %s: %w", name, condition, state.Known, state.Health, context.Cause(ctx))
		}
	}
}

// dependencies waits for all that c depends on. It returns an error when the task is to stop.
func (t *Task) dependencies(c *container) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if s := c.definition.StartTimeout; s != nil {
		timer := time.AfterFunc(time.Duration(*s)*time.Second, func() { cancel(errors.New("startTimeout is over")) })
		defer timer.Stop()
	}
	go func() {
		select {
		case <-t.stop:
			cancel(errors.New("the task stops"))
		case <-ctx.Done():
		}
	}()
	for _, on := range c.definition.DependsOn {
		if err := t.Await(ctx, on.Container, on.Condition); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
