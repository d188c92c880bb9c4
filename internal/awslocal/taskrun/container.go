package taskrun

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
)

const (
	defaultStopTimeout = 30 * time.Second
	defaultPath        = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// container is one container of a task.
type container struct {
	definition *awslocal.ContainerDefinition
	image      Image
	number     int
	args       []string
	secrets    []string // NAME=value
	env        []string // once it starts
	marker     string   // variable in the environment that no other container has

	// The task's mutex guards what follows.
	state   awslocal.Container
	began   bool        // its process has started
	process *os.Process // while it runs
	kill    func()      // kills the process and all that it has started
	place   *place      // once it has started
}

func (t *Task) newContainer(number int) (*container, error) {
	d := &t.definition.Containers[number]
	c := &container{definition: d, image: t.runner.options.Images[d.Image], number: number}
	c.state = awslocal.Container{Name: d.Name, Desired: awslocal.Running, Known: awslocal.Pending}
	if d.HealthCheck != nil {
		c.state.Health = awslocal.Unknown
	}
	entryPoint, command := d.EntryPoint, d.Command
	if entryPoint == nil {
		entryPoint = c.image.EntryPoint
		if command == nil {
			command = c.image.Command
		}
	}
	c.args = slices.Concat(entryPoint, command)
	if len(c.args) == 0 {
		return nil, fmt.Errorf("container %s has no command, and its image %q is none that has one", d.Name, d.Image)
	}
	if t.runner.options.Network != nil {
		return c, nil
	}
	if len(c.image.Files) > 0 {
		return nil, fmt.Errorf("container %s: files of its image need a task that is isolated", d.Name)
	}
	for _, m := range d.MountPoints {
		if m.Path != t.VolumeDir(m.Volume) {
			return nil, fmt.Errorf("container %s: a volume at %s needs a task that is isolated, or %s as its host.sourcePath", d.Name, m.Path, m.Path)
		}
	}
	return c, nil
}

// meets says whether a condition holds, and whether it never will. The task's mutex is held.
func (c *container) meets(condition string) (holds, never bool) {
	ended := c.state.Known == awslocal.Stopped
	switch condition {
	case awslocal.ConditionStart:
		return c.began, ended && !c.began
	case awslocal.ConditionComplete:
		return ended && c.began, ended && !c.began
	case awslocal.ConditionSuccess:
		return ended && c.began && c.state.ExitCode == 0, ended
	case awslocal.ConditionHealthy:
		return !ended && c.state.Health == awslocal.Healthy, ended || c.state.Health == ""
	}
	return false, true
}

// runContainer plays a container's life.
func (t *Task) runContainer(c *container) {
	if err := t.dependencies(c); err != nil {
		t.change(c, func(s *awslocal.Container) { s.Known, s.Reason = awslocal.Stopped, err.Error() })
		t.begin(fmt.Sprintf("Container %s cannot start: %s", c.definition.Name, err), "TaskFailedToStart")
		return
	}
	code, err := t.runProcess(c)
	t.change(c, func(s *awslocal.Container) {
		s.Known, s.ExitCode = awslocal.Stopped, code
		if err != nil {
			s.Reason = "CannotStartContainerError: " + err.Error()
		}
	})
	switch {
	case err != nil:
		t.begin("CannotStartContainerError: "+err.Error(), "TaskFailedToStart")
	case c.definition.IsEssential():
		t.begin("Essential container in task exited", "EssentialContainerExited")
	}
}

// runProcess runs the container's process to its end and returns its exit code. Nothing that the process
// has started is left then.
func (t *Task) runProcess(c *container) (int, error) {
	c.env = t.environment(c)
	log, err := os.OpenFile(t.LogFile(c.definition.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer out.Close()
	p, err := t.enter(c)
	if err != nil {
		_ = in.Close()
		return 0, err
	}
	defer p.close()
	cmd := &exec.Cmd{Args: c.args, Env: c.env, Dir: c.definition.WorkingDirectory, Stdout: in, Stderr: in, SysProcAttr: p.containerAttr()}
	// Whoever reads its metadata first is the process itself.
	t.change(c, func(s *awslocal.Container) { s.Known = awslocal.Running })
	err = p.start(cmd)
	_ = in.Close()
	if err != nil {
		return 0, err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(log, out)
	}()
	ended := make(chan struct{})
	t.began(c, p, cmd)
	go t.terminate(c, ended)
	checked := t.checkHealth(c, p, ended)
	_ = cmd.Wait() // its exit code says the same
	t.mu.Lock()
	c.process = nil
	t.mu.Unlock()
	close(ended)
	p.killRest(cmd.Process.Pid, c.marker)
	<-checked
	<-copied
	return exitCode(cmd.ProcessState), nil
}

// began says that the process has started, and kills it if that came too late.
func (t *Task) began(c *container, p *place, cmd *exec.Cmd) {
	p.started(cmd.Process.Pid)
	t.mu.Lock()
	c.began, c.process, c.place = true, cmd.Process, p
	c.kill = func() { p.kill(cmd.Process, c.marker) }
	if t.killed {
		c.kill()
	}
	t.mu.Unlock()
	t.change(c, func(*awslocal.Container) {})
}

// terminate stops the container when the task stops, until it has ended.
func (t *Task) terminate(c *container, ended <-chan struct{}) {
	select {
	case <-t.stop:
	case <-ended:
		return
	}
	t.signal(c, func() { _ = c.process.Signal(syscall.SIGTERM) })
	timeout := defaultStopTimeout
	if s := c.definition.StopTimeout; s != nil {
		timeout = time.Duration(*s) * time.Second
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		t.signal(c, c.kill)
	case <-ended:
	}
}

// signal calls send if the process runs, and has not been killed.
func (t *Task) signal(c *container, send func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.process != nil && !t.killed {
		send()
	}
}

// exitCode is the exit code of a process, 128 and the signal's number for one that a signal ended.
func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// environment is what the container's process gets.
func (t *Task) environment(c *container) []string {
	env := map[string]string{"PATH": defaultPath, "HOME": "/root"}
	add := func(pairs []string) {
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
	}
	add(c.image.Environment)
	add(t.runner.options.Environment)
	add(t.env)
	add(t.ecsEnvironment(c))
	for _, v := range c.definition.Environment {
		env[v.Name] = v.Value
	}
	add(c.secrets)
	if len(c.image.Path) > 0 {
		env["PATH"] = strings.Join(c.image.Path, ":") + ":" + env["PATH"]
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		pairs = append(pairs, name+"="+env[name])
	}
	return pairs
}

// ecsEnvironment is what ECS adds, and where the local AWS is.
func (t *Task) ecsEnvironment(c *container) []string {
	aws := t.runner.server.URL()
	metadata := t.ContainerMetadataURI(c.number)
	c.marker = "ECS_CONTAINER_METADATA_URI_V4=" + metadata
	pairs := []string{
		c.marker,
		"ECS_CONTAINER_METADATA_URI=" + metadata,
		"AWS_EXECUTION_ENV=AWS_ECS_FARGATE",
		"AWS_REGION=" + t.region,
		"AWS_DEFAULT_REGION=" + t.region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=" + aws,
	}
	for _, service := range []string{"STS", "IAM", "ECS", "SECRETS_MANAGER", "SSM"} {
		pairs = append(pairs, "AWS_ENDPOINT_URL_"+service+"="+aws)
	}
	if t.host == nil {
		return append(pairs, "AWS_CONTAINER_CREDENTIALS_FULL_URI="+t.CredentialsURI)
	}
	pairs = append(pairs, "HOSTNAME="+t.host.name)
	uri, err := url.Parse(t.CredentialsURI)
	if err != nil {
		panic("taskrun: the local AWS says where the credentials are: " + strconv.Quote(t.CredentialsURI))
	}
	return append(pairs, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="+uri.Path)
}
