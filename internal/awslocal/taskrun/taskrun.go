// Package taskrun runs ECS tasks of a local AWS on this machine: the containers of a task definition as
// processes, with the environment, secrets, volumes, dependencies, health checks and stop order that ECS
// gives them (spec: ecs.md sections 10 and 12).
//
// With a [Network] each container has what a container has: its own processes, host name and root
// directory, which is a copy of this machine's that it may write to, with the volumes where the
// definition says; and each task its own network with one address, 127.0.0.1, and the endpoints of ECS
// at 169.254.170.2. That needs Linux and root. Without one the processes are like any other of this
// machine.
package taskrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
)

// ErrIsolation is what NewNetwork returns where tasks cannot have namespaces of their own.
var ErrIsolation = errors.New("tasks cannot be isolated from this machine")

// Options say how a Runner runs tasks. The zero value works.
type Options struct {
	Dir         string           // of the tasks' volumes and logs; when empty, a temporary one that Close removes
	Network     *Network         // isolates the tasks from this machine; nil does not
	Images      map[string]Image // by the name that definitions call them; others are empty
	Environment []string         // NAME=value for all containers; definitions can say otherwise

	// HealthInterval, if it is not 0, takes the place of the interval of every health check.
	HealthInterval time.Duration
}

// Image is what an image brings to its containers.
type Image struct {
	EntryPoint  []string          // of a container whose definition has none
	Command     []string          // of a container whose definition has neither
	Environment []string          // NAME=value
	Path        []string          // directories of this machine that come first in PATH
	Files       map[string]string // files of this machine by their path in the container; for isolated tasks
}

// Runner runs tasks of a Server.
type Runner struct {
	server  *awslocal.Server
	options Options
	remove  bool // the directory
	http    *http.Server

	mu     sync.Mutex // guards what follows
	tasks  map[string]*Task
	closed bool
}

// New returns a Runner of the tasks of a started server. Tasks that RunTask of the ECS API asks for run
// there too.
func New(server *awslocal.Server, o Options) (*Runner, error) {
	if server.URL() == "" {
		return nil, errors.New("task runner: the local AWS is not started")
	}
	r := &Runner{server: server, options: o, http: &http.Server{Handler: server, ReadHeaderTimeout: 5 * time.Second}, tasks: map[string]*Task{}}
	var err error
	if o.Dir == "" {
		r.remove = true
		r.options.Dir, err = os.MkdirTemp("", "tasks-")
	} else {
		r.options.Dir, err = filepath.Abs(o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("task runner: %w", err)
	}
	server.OnRunTask(func(request awslocal.RunRequest) (string, error) {
		t, err := r.Run(Spec{
			Definition: request.Definition, Revision: request.Revision, Cluster: request.Cluster, Region: request.Region,
			LaunchType: request.LaunchType, Tags: request.Tags, Group: request.Group, StartedBy: request.StartedBy,
		})
		if err != nil {
			return "", err
		}
		return t.ID, nil
	})
	return r, nil
}

// Spec is one task to run.
type Spec struct {
	Definition *awslocal.TaskDefinition
	Revision   int               // of the definition; 1 when zero
	Cluster    string            // name; "default" when empty
	Region     string            // "us-east-1" when empty
	LaunchType string            // "FARGATE" when empty, or "EC2"
	IPv4       string            // address of a task that is not isolated, 127.0.0.1 when empty; others get one
	Tags       map[string]string // besides the definition's
	Group      string
	StartedBy  string

	Environment []string // NAME=value for all containers; definitions can say otherwise

	Placed <-chan struct{} // containers start once it is closed; nil is at once
}

// Run starts a task and returns as soon as it has its identity and address; Await waits for more. An
// error is of the definition or this machine. What goes wrong later stops the task, as
// Task.Reason then says.
func (r *Runner) Run(spec Spec) (*Task, error) {
	t, err := r.newTask(spec)
	if err != nil {
		return nil, fmt.Errorf("run task: %w", err)
	}
	r.mu.Lock()
	if r.closed {
		err = errors.New("run task: the runner is closed")
	} else {
		r.tasks[t.ID] = t
	}
	r.mu.Unlock()
	if err != nil {
		t.release()
		close(t.done)
		return nil, err
	}
	go t.run()
	return t, nil
}

func (r *Runner) newTask(spec Spec) (*Task, error) {
	d := spec.Definition
	t := &Task{runner: r, definition: d, env: spec.Environment, placed: spec.Placed, IPv4: cmp.Or(spec.IPv4, "127.0.0.1"), stop: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	started := awslocal.TaskSpec{
		Role: d.TaskRoleARN, Cluster: spec.Cluster, Family: d.Family, Revision: spec.Revision, Region: cmp.Or(spec.Region, "us-east-1"),
		LaunchType: spec.LaunchType, Group: spec.Group, StartedBy: spec.StartedBy, Tags: map[string]string{},
		Pending: true, Stop: func(reason string) { t.Stop(reason) },
	}
	for _, tag := range d.Tags {
		started.Tags[tag.Key] = tag.Value
	}
	maps.Copy(started.Tags, spec.Tags)
	for i := range d.Containers {
		c, err := t.newContainer(i)
		if err != nil {
			return nil, err
		}
		t.containers = append(t.containers, c)
		started.Containers = append(started.Containers, c.definition.Name)
	}
	if r.options.Network != nil {
		host, err := r.options.Network.join()
		if err != nil {
			return nil, err
		}
		host.name = awslocal.Hostname(host.addr, started.Region)
		t.host, t.IPv4, started.Local = host, host.addr, "http://"+endpointAddr
		if err := t.serve(); err != nil {
			host.close()
			return nil, err
		}
	}
	started.IPv4 = t.IPv4
	t.region = started.Region
	task, err := r.server.StartTask(started)
	if err != nil {
		if t.host != nil {
			t.host.close()
		}
		return nil, err
	}
	t.Task = task
	t.dir = filepath.Join(r.options.Dir, t.ID)
	return t, nil
}

// Tasks returns the tasks that run, in no order.
func (r *Runner) Tasks() []*Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.tasks))
}

// Task returns the running task with an id, or nil.
func (r *Runner) Task(id string) *Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks[id]
}

// Close kills the tasks that still run, waits for their end and refuses further ones.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	tasks := slices.Collect(maps.Values(r.tasks))
	r.mu.Unlock()
	for _, t := range tasks {
		t.Kill()
	}
	for _, t := range tasks {
		<-t.done
	}
	err := r.http.Close()
	if r.remove {
		err = errors.Join(err, os.RemoveAll(r.options.Dir))
	}
	return err
}

// StopAll stops the tasks that run as Task.Stop does and waits for their end, or for that of ctx.
func (r *Runner) StopAll(ctx context.Context, reason string) error {
	tasks := r.Tasks()
	for _, t := range tasks {
		t.Stop(reason)
	}
	for _, t := range tasks {
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
