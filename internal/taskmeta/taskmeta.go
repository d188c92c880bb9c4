// Package taskmeta reads the ECS task metadata endpoint, version 4 (spec: ecs.md
// section 14): what a task's containers are told about the task.
package taskmeta

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// EnvironmentVariable is where ECS tells a container its endpoint.
const EnvironmentVariable = "ECS_CONTAINER_METADATA_URI_V4"

const (
	timeout  = 5 * time.Second // the endpoint is on the same machine
	maxBytes = 1 << 20
)

// Statuses of a container.
const (
	Running = "RUNNING"
	Stopped = "STOPPED"
	Healthy = "HEALTHY"
)

// Client asks one endpoint. It is safe for concurrent use.
type Client struct {
	URI  string       // the base, from EnvironmentVariable
	HTTP *http.Client // nil is one with a time-out of 5 seconds
}

// FromEnv returns the client of the endpoint that lookup finds in EnvironmentVariable, or
// errs.Invalid.
func FromEnv(lookup func(string) string) (*Client, error) {
	uri := lookup(EnvironmentVariable)
	if uri == "" {
		return nil, errs.Errorf(errs.Invalid, "%s env var not set", EnvironmentVariable)
	}
	return &Client{URI: strings.TrimSuffix(uri, "/")}, nil
}

// Task is a task as its metadata describes it.
type Task struct {
	Cluster          string // a name or an ARN
	TaskARN          string
	Family           string
	Revision         string
	DesiredStatus    string
	KnownStatus      string
	AvailabilityZone string
	LaunchType       string
	Containers       []Container // those that have started
}

// Container is one container of a task.
type Container struct {
	Name          string
	DesiredStatus string
	KnownStatus   string
	Health        Health
	Networks      []Network
}

// Health is what the container's own health check found.
type Health struct {
	Status      string `json:"status"` // HEALTHY, UNHEALTHY, UNKNOWN or ""
	StatusSince string `json:"statusSince"`
	ExitCode    int    `json:"exitCode"`
}

// Network is an address of a container.
type Network struct {
	NetworkMode    string
	IPv4Addresses  []string
	PrivateDNSName string
}

// Task asks for the task.
func (c *Client) Task(ctx context.Context) (*Task, error) {
	var t Task
	if err := c.get(ctx, "/task", &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// Container asks for the container that asks.
func (c *Client) Container(ctx context.Context) (*Container, error) {
	var own Container
	if err := c.get(ctx, "", &own); err != nil {
		return nil, err
	}
	return &own, nil
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URI+path, nil)
	if err != nil {
		return errs.Errorf(errs.Invalid, "calling metadata uri: %w", err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return errs.Errorf(errs.Unavailable, "calling metadata uri: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes))
	if err != nil {
		return errs.Errorf(errs.Unavailable, "reading metadata uri response body: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return errs.Errorf(errs.Unavailable, "calling metadata uri: status %s", res.Status)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errs.Errorf(errs.Unavailable, "unmarshalling metadata uri response: %w", err)
	}
	return nil
}

// ID returns the last part of the task's ARN.
func (t *Task) ID() string { return t.TaskARN[strings.LastIndexByte(t.TaskARN, '/')+1:] }

// arn returns the parts of the task's ARN: arn, partition, ecs, region, account, resource.
func (t *Task) arn() []string {
	parts := strings.SplitN(t.TaskARN, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return nil
	}
	return parts
}

// Region returns the AWS region that the task runs in. It returns errs.Invalid for an
// ARN without one.
func (t *Task) Region() (string, error) {
	if parts := t.arn(); parts != nil && parts[3] != "" {
		return parts[3], nil
	}
	return "", errs.Errorf(errs.Invalid, "unable to determine AWS region from Task ARN: %q", t.TaskARN)
}

// Account returns the AWS account that the task runs in.
func (t *Task) Account() (string, error) {
	if parts := t.arn(); parts != nil && parts[4] != "" {
		return parts[4], nil
	}
	return "", errs.Errorf(errs.Invalid, "unable to determine AWS account from Task ARN: %q", t.TaskARN)
}

// ClusterARN returns the ARN of the task's cluster, which the metadata may say by its name
// only.
func (t *Task) ClusterARN() (string, error) {
	if strings.HasPrefix(t.Cluster, "arn:") {
		return t.Cluster, nil
	}
	parts := t.arn()
	if parts == nil {
		return "", errs.Errorf(errs.Invalid, "unable to determine cluster ARN from Task ARN: %q", t.TaskARN)
	}
	name := t.Cluster
	if inARN := strings.Split(parts[5], "/"); len(inARN) == 3 { // task/<cluster>/<id>
		name = inARN[1]
	}
	if name == "" {
		return "", errs.Errorf(errs.Invalid, "unable to determine cluster ARN from Task ARN: %q", t.TaskARN)
	}
	return fmt.Sprintf("%s:cluster/%s", strings.Join(parts[:5], ":"), name), nil
}

// NodeIP returns the address of the task, 127.0.0.1 where the metadata has none.
func (t *Task) NodeIP() string {
	for _, c := range t.Containers {
		for _, n := range c.Networks {
			if len(n.IPv4Addresses) > 0 {
				return n.IPv4Addresses[0]
			}
		}
	}
	return "127.0.0.1"
}

// Container returns the container with a name, or nil if it has not started.
func (t *Task) Container(name string) *Container {
	for i := range t.Containers {
		if t.Containers[i].Name == name {
			return &t.Containers[i]
		}
	}
	return nil
}
