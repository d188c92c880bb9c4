package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/awslocal/taskrun"
	"github.com/lictor/lictor/internal/freeport"
)

// The containers of a task besides its application (ecs.md section 10).
const (
	meshInit     = "consul-ecs-mesh-init"
	consulClient = "consul-client"
	sidecarProxy = "sidecar-proxy"
	healthSync   = "consul-ecs-health-sync"
)

const (
	lookEvery = 100 * time.Millisecond
	taskTime  = time.Minute // for a task to be healthy, or to end
)

// service is an application with its task of the local ECS. All tasks have the address 127.0.0.1, so that each has
// ports of its own.
type service struct {
	name, namespace string
	dir             string // the task's volume
	port, public    int    // of the application and of its proxy
	upstream        int    // where the application calls its upstream
	http, grpc      int    // of the task's agent
	serf            int
	definition      *awslocal.TaskDefinition
	task            *taskrun.Task
}

func (s *service) clientToken() string  { return filepath.Join(s.dir, "client-token") }
func (s *service) serviceToken() string { return filepath.Join(s.dir, "service-token") }
func (s *service) sick() string         { return filepath.Join(s.dir, "sick") }

// startECS makes the local ECS, and the secrets of its tasks.
func (w *world) startECS() error {
	ca, err := os.ReadFile(w.caFile())
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"consul-ca-cert": string(ca), "consul-gossip-key": w.gossipKey.Reveal()} {
		if _, err := w.aws.PutSecret(account, region, name, value); err != nil {
			return err
		}
	}
	dir := w.file("tasks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	image := taskrun.Image{Path: []string{w.tools.bin}}
	helper := taskrun.Image{Path: image.Path, EntryPoint: []string{"consul-ecs"}}
	w.tasks, err = taskrun.New(w.aws, taskrun.Options{
		Dir: dir, HealthInterval: lookEvery,
		Images: map[string]taskrun.Image{"app": image, "consul": image, "envoy": image, "consul-ecs": helper},
	})
	return err
}

// application is the task definition that the user brings.
const application = `{
  "family": %[1]q,
  "cpu": "256",
  "memory": "512",
  "containerDefinitions": [{
    "name": %[1]q,
    "image": "app",
    "essential": true,
    "command": %[4]s,
    "healthCheck": {"command": ["CMD-SHELL", %[3]q], "timeout": 60, "retries": 3, "startPeriod": 10}
  }]
}
`

// decorate makes the task definition of a service with lictor task-definition. The upstream that it has is
// name.namespace; "" is none.
func (w *world) decorate(ctx context.Context, name, namespace, upstream string) (*service, error) {
	s := &service{name: name, namespace: namespace, dir: w.file("task-" + name)}
	ports, err := freeport.Take(6)
	if err != nil {
		return nil, err
	}
	s.port, s.public, s.http, s.grpc, s.serf, s.upstream = ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	check := fmt.Sprintf("consul-ecs net-dial 127.0.0.1:%d && test ! -e '%s'", s.port, s.sick())
	command := []string{"lictor", "demo-service", "-name", name}
	if upstream != "" {
		called, _, _ := strings.Cut(upstream, ".")
		command = append(command, "-upstream", called+"="+s.toUpstream())
	}
	words, err := json.Marshal(append(command, s.application()))
	if err != nil {
		return nil, err
	}
	file := w.file(name + ".json")
	if err := os.WriteFile(file, fmt.Appendf(nil, application, name, s.port, check, words), 0o600); err != nil {
		return nil, err
	}
	secret := "arn:aws:secretsmanager:" + region + ":" + account + ":secret:"
	args := []string{
		"task-definition",
		"-task-role", "arn:aws:iam::" + account + ":role/consul-ecs/" + name,
		"-execution-role", "arn:aws:iam::" + account + ":role/execution",
		"-partition", demoPartition, "-namespace", namespace,
		"-port", strconv.Itoa(s.port), "-public-listener-port", strconv.Itoa(s.public),
		"-server-addr", "https://" + w.https(),
		"-ca-secret", secret + "consul-ca-cert", "-https-ca-secret", secret + "consul-ca-cert", "-gossip-key-secret", secret + "consul-gossip-key",
		"-consul-image", "consul", "-consul-ecs-image", "consul-ecs", "-envoy-image", "envoy",
	}
	for _, n := range w.servers {
		args = append(args, "-retry-join", loopback(n.serf))
	}
	if upstream != "" {
		args = append(args, "-upstream", upstream+":"+strconv.Itoa(s.upstream))
	}
	text, err := w.tools.run(ctx, nil, "lictor", append(args, file)...)
	if err != nil {
		return nil, err
	}
	s.definition, err = w.onThisMachine(s, text)
	return s, err
}

// agentExtra is what an agent needs that shares its address with all others.
const agentExtra = `bind_addr   = "127.0.0.1"
client_addr = "127.0.0.1"
ports {
  http     = %d
  grpc     = %d
  server   = %d
  serf_lan = %d
  grpc_tls = -1
  dns      = -1
}
`

// onThisMachine lets the task of a definition run without a root directory and an address of its own: its volume is a
// directory of this machine, its agent has other ports, and its proxy listens on the loopback address alone. The built-in
// proxy stands in for Envoy.
func (w *world) onThisMachine(s *service, text string) (*awslocal.TaskDefinition, error) {
	quoted := strconv.Quote(s.dir)
	text = strings.ReplaceAll(text, `"/consul`, strings.TrimSuffix(quoted, `"`))
	const port = `\"publicListenerPort\":` // in JSON that is a text in JSON
	text = strings.ReplaceAll(text, port, `\"config\":{\"bind_address\":\"127.0.0.1\"},`+port)
	d, err := awslocal.ParseTaskDefinition([]byte(text))
	if err != nil {
		return nil, err
	}
	for i := range d.Volumes {
		d.Volumes[i].Host.SourcePath = s.dir
	}
	extra := filepath.Join(s.dir, "agent-extra.hcl")
	if err := os.WriteFile(extra, fmt.Appendf(nil, agentExtra, s.http, s.grpc, w.servers[0].server, s.serf), 0o600); err != nil {
		return nil, err
	}
	for i := range d.Containers {
		c := &d.Containers[i]
		switch c.Name {
		case consulClient:
			c.Command = append(c.Command, "-config-file", extra)
		case sidecarProxy:
			c.Command = append([]string{"lictor", "demo-proxy"}, c.Command[1:]...)
		}
	}
	return d, nil
}

// Where the task's agent, application, proxy and way to its upstream are.
func (s *service) agent() string       { return loopback(s.http) }
func (s *service) application() string { return loopback(s.port) }
func (s *service) sidecar() string     { return loopback(s.public) }
func (s *service) toUpstream() string  { return loopback(s.upstream) }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startServices runs the services' tasks.
func (w *world) startServices() error {
	for _, s := range w.services {
		var err error
		if s.task, err = w.tasks.Run(taskrun.Spec{
			Definition: s.definition, Cluster: clusterName, Region: region,
			Environment: []string{"CONSUL_HTTP_ADDR=" + s.agent(), "CONSUL_GRPC_ADDR=127.0.0.1:" + strconv.Itoa(s.grpc)},
		}); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a container of each task meets a condition.
func (w *world) await(ctx context.Context, container func(*service) string, condition string) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	for _, s := range w.services {
		name := container(s)
		if err := s.task.Await(ctx, name, condition); err != nil {
			return fmt.Errorf("task %s: %w\n%s", s.name, err, s.logOf(name))
		}
	}
	return nil
}

// logOf is the end of what a container has written.
func (s *service) logOf(container string) string {
	const most = 2048
	log := s.task.Log(container)
	return fmt.Sprintf("the log of %s ends:\n%s", container, log[max(0, len(log)-most):])
}

// until looks again and again whether something holds.
func until(ctx context.Context, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// consulAPI is the API of the servers, for the operator.
func (w *world) consulAPI() (*api.Client, error) {
	return api.NewClient(&api.Config{
		Address: "https://" + w.https(), Token: w.management.Reveal(), Partition: demoPartition, TLSConfig: api.TLSConfig{CAFile: w.caFile()},
	})
}

// instance is the catalog's entry of a service's task, nil for none.
func (w *world) instance(ctx context.Context, s *service, name string) (*api.ServiceEntry, error) {
	client, err := w.consulAPI()
	if err != nil {
		return nil, err
	}
	list, _, err := client.Health().Service(name, "", false, (&api.QueryOptions{Namespace: s.namespace}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if strings.Contains(e.Service.ID, s.task.ID) {
			return e, nil
		}
	}
	return nil, nil
}

// stopServices stops all tasks as ECS does, and says how their containers ended.
func (w *world) stopServices(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	if err := w.tasks.StopAll(ctx, "the service is scaled in"); err != nil {
		return err
	}
	var failed []error
	for _, s := range w.services {
		for _, name := range []string{s.name, meshInit, consulClient, sidecarProxy, healthSync} {
			if c := s.task.Container(name); c.ExitCode != 0 {
				failed = append(failed, fmt.Errorf("task %s: %s ended with exit code %d\n%s", s.name, name, c.ExitCode, s.logOf(name)))
			}
		}
	}
	return errors.Join(failed...)
}

// throughAgent uses both tokens of a task through its own agent.
func (w *world) throughAgent(s *service) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		for _, sink := range []string{s.clientToken(), s.serviceToken()} {
			_, err := w.tools.consul(ctx, nil, "acl", "token", "read", "-self", "-token-file", sink, "-http-addr", s.agent())
			if err != nil {
				return "", err
			}
		}
		return "both work on http://" + s.agent(), nil
	}
}
