package awslocal

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// taskMetadata is the task document of the metadata endpoint, version 4.
type taskMetadata struct {
	Cluster          string // ARN, or the name with launch type EC2
	TaskARN          string
	Family           string
	Revision         string
	DesiredStatus    string
	KnownStatus      string
	Containers       []containerMetadata // those that have started
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
	ExitCode      *int `json:",omitempty"`
	CreatedAt     time.Time
	StartedAt     time.Time
	FinishedAt    *time.Time `json:",omitempty"`
	Type          string
	LaunchType    string
	ContainerARN  string
	Health        *healthMetadata `json:",omitempty"`
	Networks      []network
}

type healthMetadata struct {
	Status      string     `json:"status"`
	StatusSince *time.Time `json:"statusSince,omitempty"`
	ExitCode    int        `json:"exitCode,omitempty"` // of the check
}

type network struct {
	NetworkMode    string
	IPv4Addresses  []string
	PrivateDNSName string
}

// taskMetadata answers GET /v4/<id> with a container's document and GET /v4/<id>/task
// with the task's. id is the task's, which means its first container, or a container's.
func (s *Server) taskMetadata(path string, call *Call) (any, *apiError) {
	id, whole := strings.CutSuffix(path, "/task")
	id, number, numbered := strings.Cut(id, "-")
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tasks[id]
	index := 0
	if numbered {
		var err error
		if index, err = strconv.Atoi(number); err != nil {
			t = nil
		}
	}
	if t == nil || t.ended || index < 0 || index >= len(t.containers) {
		return nil, refuse(http.StatusNotFound, "NotFound", "V4 metadata: no such task")
	}
	call.by(principal{t.role, t.ID})
	if whole {
		return t.metadata(), nil
	}
	return t.container(index), nil
}

func (t *task) metadata() taskMetadata {
	m := taskMetadata{
		Cluster:          t.clusterARN(),
		TaskARN:          t.ARN,
		Family:           t.spec.Family,
		Revision:         strconv.Itoa(t.spec.Revision),
		DesiredStatus:    t.desired,
		KnownStatus:      t.status(),
		Containers:       []containerMetadata{},
		AvailabilityZone: t.spec.Region + "a",
		LaunchType:       t.spec.LaunchType,
	}
	if t.spec.LaunchType == ec2 {
		m.Cluster = t.spec.Cluster
	}
	for i, c := range t.containers {
		if !c.started.IsZero() {
			m.Containers = append(m.Containers, t.container(i))
		}
	}
	return m
}

func (t *task) clusterARN() string {
	return "arn:aws:ecs:" + t.spec.Region + ":" + t.role.account + ":cluster/" + t.spec.Cluster
}

func (t *task) runtimeID(i int) string { return fmt.Sprintf("%s-%010d", t.ID, i) }

func (t *task) containerARN(i int) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:container/%s/%s/%s", t.spec.Region, t.role.account, t.spec.Cluster, t.ID, t.runtimeID(i))
}

func (t *task) container(i int) containerMetadata {
	c := t.containers[i]
	m := containerMetadata{
		DockerID:   t.runtimeID(i),
		Name:       c.Name,
		DockerName: c.Name,
		Labels: map[string]string{
			"com.amazonaws.ecs.cluster":                 t.clusterARN(),
			"com.amazonaws.ecs.container-name":          c.Name,
			"com.amazonaws.ecs.task-arn":                t.ARN,
			"com.amazonaws.ecs.task-definition-family":  t.spec.Family,
			"com.amazonaws.ecs.task-definition-version": strconv.Itoa(t.spec.Revision),
		},
		DesiredStatus: c.Desired,
		KnownStatus:   c.Known,
		CreatedAt:     t.created,
		StartedAt:     c.started,
		Type:          "NORMAL",
		LaunchType:    t.spec.LaunchType,
		ContainerARN:  t.containerARN(i),
		Networks: []network{{
			NetworkMode:    "awsvpc",
			IPv4Addresses:  []string{t.spec.IPv4},
			PrivateDNSName: Hostname(t.spec.IPv4, t.spec.Region),
		}},
	}
	if c.Known == Stopped {
		m.ExitCode, m.FinishedAt = &c.ExitCode, &c.finished
	}
	if c.Health != "" {
		m.Health = &healthMetadata{Status: c.Health, StatusSince: &c.healthSince}
		if c.Health == Unhealthy {
			m.Health.ExitCode = 1
		}
	}
	return m
}

// Hostname is the private DNS name of an address in a region, which is the host name of the task that
// has the address.
func Hostname(ipv4, region string) string {
	return "ip-" + strings.ReplaceAll(ipv4, ".", "-") + "." + region + ".compute.internal"
}

// ordered returns the tasks in the order in which they started. s.mu is held.
func (s *Server) ordered() []*task {
	all := make([]*task, 0, len(s.tasks))
	for _, t := range s.tasks {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *task) int { return int(a.sequence) - int(b.sequence) })
	return all
}
