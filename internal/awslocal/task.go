package awslocal

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"time"
)

// Statuses of tasks, of containers and of containers' health.
const (
	Pending   = "PENDING"
	Running   = "RUNNING"
	Stopping  = "STOPPING"
	Stopped   = "STOPPED"
	Healthy   = "HEALTHY"
	Unhealthy = "UNHEALTHY"
	Unknown   = "UNKNOWN"
)

const (
	stoppedTaskLife = time.Hour // for which ECS describes a task that has stopped
	maxStopped      = 10_000
)

// TaskSpec describes an ECS task to start.
type TaskSpec struct {
	Role       string            // task role: its ARN, or its name where no other account has that too
	Cluster    string            // name; "default" when empty
	Family     string            // of the task definition; the role's name when empty
	Revision   int               // of the task definition; 1 when zero
	Region     string            // "us-east-1" when empty
	LaunchType string            // "FARGATE" when empty, or "EC2", whose metadata calls the cluster by its name
	IPv4       string            // address of the task's network interface; 127.0.0.1 when empty
	Containers []string          // names; one container named like the family when empty
	Tags       map[string]string // of the task
	Group      string            // "family:" and the family when empty
	StartedBy  string

	// Pending is for who runs the containers and tells about each with SetContainer. Without it all of
	// them are running as soon as the task is.
	Pending bool
	// Local is where the task's containers find the credential and metadata endpoints; the server's
	// URL when empty.
	Local string
	// Stop is called when StopTask of the ECS API asks for the task to stop, in a goroutine of its own.
	// When nil, the task is stopped at once.
	Stop func(reason string)
}

// Task is an ECS task.
type Task struct {
	ARN            string // arn:aws:ecs:<region>:<account>:task/<cluster>/<id>
	ID             string // 32 hexadecimal digits
	CredentialsURI string // absolute, for AWS_CONTAINER_CREDENTIALS_FULL_URI
	MetadataURI    string // of the first container, for ECS_CONTAINER_METADATA_URI_V4

	containers string // MetadataURI without the number of the container
}

// ContainerMetadataURI is the ECS_CONTAINER_METADATA_URI_V4 of the container with a number in
// TaskSpec.Containers.
func (t Task) ContainerMetadataURI(number int) string {
	return fmt.Sprintf("%s-%010d", t.containers, number)
}

// Container is the state of a task's container.
type Container struct {
	Name     string
	Desired  string // Running or Stopped
	Known    string // Pending, Running or Stopped
	Health   string // Healthy, Unhealthy, Unknown, or "" without a health check
	ExitCode int    // once it is Stopped
	Reason   string // why it is Stopped, where there is more to say than the exit code

	started, finished, healthSince time.Time
}

// task is a task as ECS sees it. What stands above the blank line does not change.
type task struct {
	Task
	spec          TaskSpec
	role          *identity
	sequence      uint64 // tasks of a server are numbered as they start
	created       time.Time
	credentialsID string

	desired    string // Running or Stopped
	ended      bool
	reason     string // why it stops
	code       string // the same as a word of AWS
	containers []Container
	started    time.Time
	stopping   time.Time
	stopped    time.Time
	current    *credential // the newest one that was handed out
}

var (
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	ecsNamePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
)

// StartTask starts a task that has the role's credentials and metadata until
// StopTask. The server has to be started, and the role has to exist and to
// trust ecs-tasks.amazonaws.com.
func (s *Server) StartTask(spec TaskSpec) (Task, error) {
	role, err := s.findRole(spec.Role)
	if err != nil {
		return Task{}, err
	}
	spec = spec.withDefaults(role)
	if err := spec.validate(); err != nil {
		return Task{}, err
	}
	base := cmp.Or(spec.Local, s.URL())
	if base == "" {
		return Task{}, fmt.Errorf("start task: the local AWS is not started")
	}
	now := s.now().UTC()
	id := hex.EncodeToString(randomBytes(16))
	t := &task{spec: spec, role: role, created: now, desired: Running, credentialsID: newUUID()}
	t.Task = Task{
		ARN:            fmt.Sprintf("arn:aws:ecs:%s:%s:task/%s/%s", spec.Region, role.account, spec.Cluster, id),
		ID:             id,
		CredentialsURI: base + credentialsPath + t.credentialsID,
		MetadataURI:    base + metadataPath + id,
	}
	t.Task.containers = t.MetadataURI
	for _, name := range spec.Containers {
		c := Container{Name: name, Desired: Running, Known: Pending}
		if !spec.Pending {
			c.Known, c.started, t.started = Running, now, now
		}
		t.containers = append(t.containers, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetStopped(now)
	s.sequence++
	t.sequence = s.sequence
	s.tasks[id], s.byCredentials[t.credentialsID] = t, t
	return t.Task, nil
}

// forgetStopped drops tasks that stopped long ago. s.mu is held.
func (s *Server) forgetStopped(now time.Time) {
	stopped := 0
	for id, t := range s.tasks {
		if !t.ended {
			continue
		}
		if stopped++; stopped > maxStopped || now.Sub(t.stopped) > stoppedTaskLife {
			delete(s.tasks, id)
		}
	}
}

// SetContainer tells what became of a container of a running task, which c.Name names.
func (s *Server) SetContainer(id string, c Container) error {
	now := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil || t.ended {
		return fmt.Errorf("set container: no task %q is running", id)
	}
	i := slices.IndexFunc(t.containers, func(have Container) bool { return have.Name == c.Name })
	if i < 0 {
		return fmt.Errorf("set container: task %s has no container %q", id, c.Name)
	}
	have := t.containers[i]
	c.started, c.finished, c.healthSince = have.started, have.finished, have.healthSince
	if c.started.IsZero() && c.Known == Running {
		c.started = now
	}
	if c.finished.IsZero() && c.Known == Stopped {
		c.finished = now
	}
	if c.Health != have.Health {
		c.healthSince = now
	}
	t.containers[i] = c
	if t.started.IsZero() && t.status() == Running {
		t.started = now
	}
	return nil
}

// SetHealth sets what the health check of a running task's container says.
func (s *Server) SetHealth(id, container, health string) error {
	for _, c := range s.Containers(id) {
		if c.Name == container {
			c.Health = health
			return s.SetContainer(id, c)
		}
	}
	return fmt.Errorf("set health: no task %q has a container %q", id, container)
}

// Containers returns the containers of a task, also of one that stopped a while ago.
func (s *Server) Containers(id string) []Container {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		return slices.Clone(t.containers)
	}
	return nil
}

// BeginStop says that a running task is to stop, with the reason and its code as DescribeTasks gives
// them, such as UserInitiated. From now on ListTasks lists it among the stopped ones.
func (s *Server) BeginStop(id, reason, code string) {
	now := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil && t.desired != Stopped {
		t.beginStop(now, reason, code)
	}
}

func (t *task) beginStop(now time.Time, reason, code string) {
	t.desired, t.reason, t.code, t.stopping = Stopped, reason, code, now
	for i := range t.containers {
		t.containers[i].Desired = Stopped
	}
}

// StopTask stops a task. All credentials that it was given are refused from
// now on with InvalidClientTokenId. It reports whether such a task was running.
func (s *Server) StopTask(id string) bool {
	now := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil || t.ended {
		return false
	}
	if t.desired != Stopped {
		t.beginStop(now, "", "")
	}
	t.ended, t.stopped = true, now
	for i := range t.containers {
		if c := &t.containers[i]; c.Known != Stopped {
			c.Known, c.finished = Stopped, now
		}
	}
	delete(s.byCredentials, t.credentialsID)
	for key, c := range s.credentials {
		if c.taskID == id {
			delete(s.credentials, key)
		}
	}
	return true
}

// status is the task's last known status.
func (t *task) status() string {
	pending := slices.ContainsFunc(t.containers, func(c Container) bool { return c.Known == Pending })
	switch {
	case t.ended:
		return Stopped
	case t.desired == Stopped:
		return Stopping
	case pending:
		return Pending
	default:
		return Running
	}
}

// health is that of all containers with a health check together.
func (t *task) health() string {
	var all []string
	for _, c := range t.containers {
		if c.Health != "" {
			all = append(all, c.Health)
		}
	}
	switch {
	case slices.Contains(all, Unhealthy):
		return Unhealthy
	case len(all) == 0 || slices.Contains(all, Unknown):
		return Unknown
	default:
		return Healthy
	}
}

func (s *Server) findRole(ref string) (*identity, error) {
	var found []*identity
	for _, i := range s.entities {
		if i.kind == "role" && (i.arn == ref || i.name == ref) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("start task: %d roles are called %q", len(found), ref)
	}
	if !slices.Contains(found[0].trust.Service, tasksService) {
		return nil, fmt.Errorf("start task: role %s does not trust %s", found[0].arn, tasksService)
	}
	return found[0], nil
}

func (spec TaskSpec) withDefaults(role *identity) TaskSpec {
	spec.Cluster = cmp.Or(spec.Cluster, "default")
	spec.Family = cmp.Or(spec.Family, role.name)
	spec.Revision = cmp.Or(spec.Revision, 1)
	spec.Region = cmp.Or(spec.Region, "us-east-1")
	spec.LaunchType = cmp.Or(spec.LaunchType, fargate)
	spec.IPv4 = cmp.Or(spec.IPv4, "127.0.0.1")
	spec.Group = cmp.Or(spec.Group, "family:"+spec.Family)
	spec.Tags = maps.Clone(spec.Tags)
	spec.Containers = slices.Clone(spec.Containers)
	if len(spec.Containers) == 0 {
		spec.Containers = []string{spec.Family}
	}
	return spec
}

func (spec TaskSpec) validate() error {
	for _, name := range append([]string{spec.Cluster, spec.Family}, spec.Containers...) {
		if !ecsNamePattern.MatchString(name) {
			return fmt.Errorf("start task: %q is not a name of 1 to 255 letters, digits, '-' or '_'", name)
		}
	}
	if !regionPattern.MatchString(spec.Region) {
		return fmt.Errorf("start task: %q is not a region", spec.Region)
	}
	if spec.LaunchType != fargate && spec.LaunchType != ec2 {
		return fmt.Errorf("start task: %q is neither the launch type FARGATE nor EC2", spec.LaunchType)
	}
	if ip, err := netip.ParseAddr(spec.IPv4); err != nil || !ip.Is4() {
		return fmt.Errorf("start task: %q is not an IPv4 address", spec.IPv4)
	}
	if err := checkTags("tags", spec.Tags); err != nil {
		return fmt.Errorf("start task: %w", err)
	}
	return nil
}
