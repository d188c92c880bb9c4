package awslocal

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// TaskSpec describes an ECS task to start.
type TaskSpec struct {
	Role       string   // task role: its ARN, or its name where no other account has that too
	Cluster    string   // name; "default" when empty
	Family     string   // of the task definition; the role's name when empty
	Region     string   // "us-east-1" when empty
	IPv4       string   // address of the task's network interface; 127.0.0.1 when empty
	Containers []string // names; one container named like the family when empty
}

// Task is a running ECS task.
type Task struct {
	ARN            string // arn:aws:ecs:<region>:<account>:task/<cluster>/<id>
	ID             string // 32 hexadecimal digits
	CredentialsURI string // absolute, for AWS_CONTAINER_CREDENTIALS_FULL_URI
	MetadataURI    string // for ECS_CONTAINER_METADATA_URI_V4
}

type task struct {
	Task
	spec          TaskSpec
	role          *identity
	started       time.Time
	credentialsID string
	current       *credential // the newest one that was handed out
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
	base := s.URL()
	if base == "" {
		return Task{}, fmt.Errorf("start task: the local AWS is not started")
	}
	id := hex.EncodeToString(randomBytes(16))
	t := &task{spec: spec, role: role, started: s.now().UTC(), credentialsID: newUUID()}
	t.Task = Task{
		ARN:            fmt.Sprintf("arn:aws:ecs:%s:%s:task/%s/%s", spec.Region, role.account, spec.Cluster, id),
		ID:             id,
		CredentialsURI: base + credentialsPath + t.credentialsID,
		MetadataURI:    base + metadataPath + id,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[id], s.byCredentials[t.credentialsID] = t, t
	return t.Task, nil
}

// StopTask stops a task. All credentials that it was given are refused from
// now on with InvalidClientTokenId. It reports whether such a task was running.
func (s *Server) StopTask(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil {
		return false
	}
	delete(s.tasks, id)
	delete(s.byCredentials, t.credentialsID)
	for key, c := range s.credentials {
		if c.taskID == id {
			delete(s.credentials, key)
		}
	}
	return true
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
	spec.Region = cmp.Or(spec.Region, "us-east-1")
	spec.IPv4 = cmp.Or(spec.IPv4, "127.0.0.1")
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
	if ip, err := netip.ParseAddr(spec.IPv4); err != nil || !ip.Is4() {
		return fmt.Errorf("start task: %q is not an IPv4 address", spec.IPv4)
	}
	return nil
}

// taskMetadata is the task document of the metadata endpoint, version 4, on Fargate.
type taskMetadata struct {
	Cluster          string // ARN
	TaskARN          string
	Family           string
	Revision         string
	DesiredStatus    string
	KnownStatus      string
	Containers       []containerMetadata
	AvailabilityZone string
	LaunchType       string
}

type containerMetadata struct {
	DockerID      string `json:"DockerId"`
	Name          string
	DockerName    string
	Labels        map[string]string
	DesiredStatus string
	KnownStatus   string
	CreatedAt     time.Time
	StartedAt     time.Time
	Type          string
	LaunchType    string
	ContainerARN  string
	Networks      []network
}

type network struct {
	NetworkMode    string
	IPv4Addresses  []string
	PrivateDNSName string
}

// taskMetadata answers GET /v4/<id> with the first container's document and
// GET /v4/<id>/task with the task's.
func (s *Server) taskMetadata(path string) (any, *apiError) {
	id, whole := strings.CutSuffix(path, "/task")
	s.mu.Lock()
	t := s.tasks[id]
	s.mu.Unlock()
	switch {
	case t == nil:
		return nil, refuse(http.StatusNotFound, "NotFound", "V4 metadata: no such task")
	case whole:
		return t.metadata(), nil
	default:
		return t.container(0), nil
	}
}

func (t *task) metadata() taskMetadata {
	m := taskMetadata{
		Cluster:          t.clusterARN(),
		TaskARN:          t.ARN,
		Family:           t.spec.Family,
		Revision:         "1",
		DesiredStatus:    "RUNNING",
		KnownStatus:      "RUNNING",
		AvailabilityZone: t.spec.Region + "a",
		LaunchType:       "FARGATE",
	}
	for i := range t.spec.Containers {
		m.Containers = append(m.Containers, t.container(i))
	}
	return m
}

func (t *task) clusterARN() string {
	return "arn:aws:ecs:" + t.spec.Region + ":" + t.role.account + ":cluster/" + t.spec.Cluster
}

func (t *task) container(i int) containerMetadata {
	name := t.spec.Containers[i]
	id := fmt.Sprintf("%s-%010d", t.ID, i)
	return containerMetadata{
		DockerID:   id,
		Name:       name,
		DockerName: name,
		Labels: map[string]string{
			"com.amazonaws.ecs.cluster":                 t.clusterARN(),
			"com.amazonaws.ecs.container-name":          name,
			"com.amazonaws.ecs.task-arn":                t.ARN,
			"com.amazonaws.ecs.task-definition-family":  t.spec.Family,
			"com.amazonaws.ecs.task-definition-version": "1",
		},
		DesiredStatus: "RUNNING",
		KnownStatus:   "RUNNING",
		CreatedAt:     t.started,
		StartedAt:     t.started,
		Type:          "NORMAL",
		LaunchType:    "FARGATE",
		ContainerARN:  fmt.Sprintf("arn:aws:ecs:%s:%s:container/%s/%s/%s", t.spec.Region, t.role.account, t.spec.Cluster, t.ID, id),
		Networks: []network{{
			NetworkMode:    "awsvpc",
			IPv4Addresses:  []string{t.spec.IPv4},
			PrivateDNSName: "ip-" + strings.ReplaceAll(t.spec.IPv4, ".", "-") + "." + t.spec.Region + ".compute.internal",
		}},
	}
}
