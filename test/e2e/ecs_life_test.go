package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/awslocal/taskrun"
)

const lifeTime = 3 * time.Minute // for a task to start, and to do what is waited for

// taskLife is a task that starts, joins the mesh, and leaves it.
type taskLife struct {
	name                 string
	partition, namespace string
	node                 func(*taskrun.Task) string
	definition           func(*testing.T) *awslocal.TaskDefinition
	setUp                func(*testing.T)
}

// TestTasksLive runs a task whose agent the documents' script starts, and one with consul-ecs client instead, through
// their whole lives: both in the default partition and in another.
func TestTasksLive(t *testing.T) {
	t.Parallel()
	w := newECS(t, "", taskrun.Options{HealthInterval: time.Second}, "curl", "jq")
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), lifeTime)
	defer cancel()
	var lives []*life
	hostname := func(task *taskrun.Task) string { return awslocal.Hostname(task.IPv4, region) }
	taskID := func(task *taskrun.Task) string { return task.ID }
	for _, life := range []taskLife{
		{
			"documents' script", "default", "default", hostname,
			func(t *testing.T) *awslocal.TaskDefinition { return w.documentsTask(t, "default", "default") },
			func(t *testing.T) { w.documentsSetUp(t, "default", "") },
		},
		{
			"documents' script in a partition", "team-a", "team-1", hostname,
			func(t *testing.T) *awslocal.TaskDefinition { return w.documentsTask(t, "team-a", "team-1") },
			func(t *testing.T) { w.documentsSetUp(t, "team-a", "team-1") },
		},
		{
			"consul-ecs client", "default", "default", taskID,
			func(t *testing.T) *awslocal.TaskDefinition {
				return w.decorated(t, "-client-method", "clients", "-service-method", "services")
			},
			func(t *testing.T) {
				w.setUp(t, "names {\n  client_method = \"clients\"\n  service_method = \"services\"\n}\n")
			},
		},
		{
			"consul-ecs client in a partition", "team-b", "team-1", taskID,
			func(t *testing.T) *awslocal.TaskDefinition {
				return w.decorated(t, "-partition", "team-b", "-namespace", "team-1", "-shutdown-delay", "1s")
			},
			func(t *testing.T) {
				w.setUp(t, "partition = \"team-b\"\nnamespaces = true\ntoken_ttl = \"1h\"\n")
				w.operate(t, "namespace", "create", "-partition", "team-b", "-name", "team-1")
			},
		},
	} {
		lives = append(lives, w.begin(t, ctx, life))
	}
	for _, stage := range []struct {
		name string
		do   func(*life)
	}{
		{"the application is healthy", (*life).starts},
		{"the task has both tokens", (*life).tokens},
		{"the agent has joined", (*life).joined},
		{"service and sidecar are registered", (*life).registered},
		{"the application falls ill", (*life).fallsIll},
		{"Consul is told", func(l *life) { l.is(api.HealthCritical, "UNHEALTHY") }},
		{"the application recovers", (*life).recovers},
		{"Consul is told that, too", func(l *life) { l.is(api.HealthPassing, "HEALTHY") }},
		{"SIGTERM", (*life).stops},
		{"nothing is left", (*life).ended},
	} {
		for _, l := range lives {
			t.Run(stage.name+"/"+l.name, func(t *testing.T) {
				if l.t = t; !l.failed {
					defer func() { l.failed = t.Failed() }()
					stage.do(l)
				}
			})
		}
	}
}

// begin runs a task.
func (w *ecsWorld) begin(t *testing.T, ctx context.Context, c taskLife) *life {
	t.Helper()
	c.setUp(t)
	task, err := w.runner.Run(taskrun.Spec{Definition: c.definition(t), Cluster: "prod", Region: region})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { explain(t, task, taskContainers...) })
	return &life{ecsWorld: w, taskLife: c, ctx: ctx, task: task, api: w.servers[1].api(), seen: make(chan []string, 1)}
}

// documentsSetUp types what the documents have the operator type; namespaces are a part of it in a partition.
func (w *ecsWorld) documentsSetUp(t *testing.T, partition, namespace string) {
	t.Helper()
	rules, tags := "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n", `"consul.hashicorp.com.service-name"`
	var namespaceRule []string
	if namespace != "" {
		w.operate(t, "partition", "create", "-name", partition)
		w.operate(t, "namespace", "create", "-partition", partition, "-name", namespace)
		rules = fmt.Sprintf("partition %q {\n  node_prefix \"\" {\n    policy = \"write\"\n  }\n  namespace_prefix \"\" {\n    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n", partition)
		tags += `, "consul.hashicorp.com.namespace"`
		namespaceRule = []string{
			"-namespace-rule-selector", `entity_tags["consul.hashicorp.com.namespace"] != ""`,
			"-namespace-rule-bind-namespace", "${entity_tags.consul.hashicorp.com.namespace}",
		}
	}
	trust := `"BoundIAMPrincipalArns": ["arn:aws:iam::` + awslocal.DemoAccount + `:role/consul-ecs/*"], "EnableIAMEntityDetails": true`
	for _, command := range [][]string{
		{"acl", "policy", "create", "-partition", partition, "-name", "consul-ecs-client-policy", "-rules", rules},
		{"acl", "role", "create", "-partition", partition, "-name", "consul-ecs-client-role", "-policy-name", "consul-ecs-client-policy"},
		{"acl", "auth-method", "create", "-partition", partition, "-type", "aws-iam", "-name", "iam-ecs-client-token",
			"-description=AWS IAM auth method for ECS client tokens", "-config", "{" + trust + "}"},
		{"acl", "binding-rule", "create", "-partition", partition, "-method", "iam-ecs-client-token",
			"-description", "Bind a role for Consul clients on ECS", "-bind-type", "role", "-bind-name", "consul-ecs-client-role"},
		append([]string{"acl", "auth-method", "create", "-partition", partition, "-type", "aws-iam", "-name", "iam-ecs-service-token",
			"-description=AWS IAM auth method for ECS service tokens", "-config", "{" + trust + `, "IAMEntityTags": [` + tags + "]}"}, namespaceRule...),
		{"acl", "binding-rule", "create", "-partition", partition, "-method", "iam-ecs-service-token",
			"-description", "Bind a service identity from IAM role tags for ECS service tokens",
			"-bind-type", "service", "-bind-name", "${entity_tags.consul.hashicorp.com.service-name}"},
	} {
		w.operate(t, command...)
	}
}

// documentsTask is the documents' task definition, with their start-up script.
func (w *ecsWorld) documentsTask(t *testing.T, partition, namespace string) *awslocal.TaskDefinition {
	t.Helper()
	script := fill(readTestdata(t, "start.sh"), false,
		"<consul server address>", w.https, "${ consul_http_addr }", w.https, "<datacenter>", "dc1",
		"<Consul server location>", w.servers[0].addr(), "<partition>", partition)
	config := `{
  "consulHTTPAddr": "` + w.https + `",
  "consulCACertFile": "/consul/consul-https-ca-cert.pem",
  "consulLogin": {
    "enabled": true,
    "method": "iam-ecs-service-token",
    "extraLoginFlags": ["-partition", "` + partition + `"]
  },
  "bootstrapDir": "/consul",
  "healthSyncContainers": ["app"],
  "service": {"port": 9090, "namespace": "` + namespace + `", "partition": "` + partition + `"},
  "proxy": {}
}`
	return parseTask(t, []byte(fill(readTestdata(t, "task.json"), true, "<script>", script, "<config>", config)))
}

// life is what is known about a running task.
type life struct {
	*ecsWorld
	taskLife
	ctx     context.Context
	task    *taskrun.Task
	api     *api.Client // of a server
	secrets []string
	seen    chan []string // from watchEnd

	t      *testing.T // of the stage
	failed bool
}

func (l *life) starts() {
	l.t.Helper()
	if err := l.task.Await(l.ctx, "app", awslocal.ConditionHealthy); err != nil {
		l.t.Fatal(err)
	}
}

// tokens checks both tokens of the task, and keeps their secrets.
func (l *life) tokens() {
	l.t.Helper()
	for file, want := range map[string]func(*api.ACLToken) bool{
		"client-token": func(token *api.ACLToken) bool { return len(token.Roles)+len(token.NodeIdentities) == 1 },
		"service-token": func(token *api.ACLToken) bool {
			return len(token.ServiceIdentities) == 1 && token.ServiceIdentities[0].ServiceName == "web" && token.Namespace == l.namespace
		},
	} {
		secret, err := os.ReadFile(filepath.Join(l.task.VolumeDir("consul_data"), file))
		if err != nil {
			l.t.Fatal(err)
		}
		l.secrets = append(l.secrets, strings.TrimSpace(string(secret)))
		token, _, err := l.api.ACL().TokenReadSelf((&api.QueryOptions{Token: strings.TrimSpace(string(secret))}).WithContext(l.ctx))
		if err != nil {
			l.t.Fatalf("%s: %v", file, err)
		}
		if !want(token) || token.Partition != l.partition || !strings.Contains(token.Description, l.task.ID) {
			l.t.Errorf("%s is %+v", file, token)
		}
	}
	if got := l.stored(); got != 2 {
		l.t.Errorf("the task has %d tokens, want 2", got)
	}
}

// stored counts the tokens of the task.
func (l *life) stored() int {
	l.t.Helper()
	list, _, err := l.api.ACL().TokenList((&api.QueryOptions{Partition: l.partition, Namespace: "*"}).WithContext(l.ctx))
	if err != nil {
		l.t.Fatal(err)
	}
	count := 0
	for _, token := range list {
		if strings.Contains(token.Description, l.task.ID) {
			count++
		}
	}
	return count
}

// joined checks that the agent is a member with nothing but the CA, the gossip key and its token.
func (l *life) joined() {
	l.t.Helper()
	if status := l.member(); status != "alive" {
		l.t.Errorf("the agent is %q", status)
	}
	files, err := os.ReadDir(l.task.VolumeDir("consul_data"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file.Name(), ".pem") && !strings.HasSuffix(file.Name(), "ca-cert.pem") {
			l.t.Errorf("the agent was given %s", file.Name())
		}
	}
	agent, err := api.NewClient(&api.Config{
		Address: "127.0.0.1:8500", Token: l.management, HttpClient: &http.Client{Transport: &http.Transport{DialContext: l.task.DialContext, DisableKeepAlives: true}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	self, err := agent.Agent().Self()
	if err != nil {
		l.t.Fatal(err)
	}
	serf, _ := self["Stats"]["serf_lan"].(map[string]any)
	if serf["encrypted"] != "true" {
		l.t.Errorf("gossip of the agent: %v", serf)
	}
	if log := l.task.Log("consul-client"); !strings.Contains(log, "Auto encrypt") && !strings.Contains(log, "auto_config") {
		l.t.Errorf("the agent's log says nothing of its certificate:\n%s", log)
	}
}

// member is how the servers see the task's agent.
func (l *life) member() string {
	l.t.Helper()
	members, err := l.api.Agent().MembersOpts(api.MembersOpts{Segment: api.AllSegments})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range members {
		if m.Name == l.node(l.task) {
			return map[int]string{1: "alive", 2: "leaving", 3: "left", 4: "failed"}[m.Status]
		}
	}
	return "unknown"
}

// registered checks what the task has registered, once all of it is healthy.
func (l *life) registered() {
	l.t.Helper()
	service, proxy := l.awaitStatus("web", api.HealthPassing), l.awaitStatus("web-sidecar-proxy", api.HealthPassing)
	if service.Service.ID != "web-"+l.task.ID || service.Service.Port != 9090 || service.Node.Address != l.task.IPv4 || service.Node.Node != l.node(l.task) || service.Service.Meta["task-id"] != l.task.ID {
		l.t.Errorf("the service is %+v on %+v", service.Service, service.Node)
	}
	if p := proxy.Service; p.Kind != api.ServiceKindConnectProxy || p.ID != "web-"+l.task.ID+"-sidecar-proxy" || p.Port != 20000 || p.Proxy.DestinationServiceID != service.Service.ID {
		l.t.Errorf("the proxy is %+v", p)
	}
	if log := l.task.Log("sidecar-proxy"); !strings.Contains(log, "envoy of web-"+l.task.ID+"-sidecar-proxy for web\n") {
		l.t.Errorf("the proxy wrote %s", log)
	}
}

func (l *life) query(index uint64) *api.QueryOptions {
	return &api.QueryOptions{Partition: l.partition, Namespace: l.namespace, WaitIndex: index, WaitTime: 10 * time.Second}
}

// entry returns the task's instance of a service, nil for none, as soon as it may have changed since index.
func (l *life) entry(ctx context.Context, service string, index *uint64) (*api.ServiceEntry, error) {
	list, meta, err := l.api.Health().Service(service, "", false, l.query(*index).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	*index = meta.LastIndex
	for _, e := range list {
		if strings.Contains(e.Service.ID, l.task.ID) {
			return e, nil
		}
	}
	return nil, nil
}

// awaitStatus waits until the worst check of the task's instance of a service has a status.
func (l *life) awaitStatus(service, status string) *api.ServiceEntry {
	l.t.Helper()
	var e *api.ServiceEntry
	for index := uint64(0); ; {
		next, err := l.entry(l.ctx, service, &index)
		if err != nil {
			checks, _ := json.Marshal(e)
			l.t.Fatalf("%s is not %s: %v: %s", service, status, err, checks)
		}
		if e = next; e != nil && e.Checks.AggregatedStatus() == status {
			return e
		}
	}
}

func (l *life) fallsIll() { l.inApp("touch", "/tmp/sick") }

func (l *life) recovers() { l.inApp("rm", "/tmp/sick") }

func (l *life) inApp(args ...string) {
	l.t.Helper()
	if out, err := l.task.Exec(l.ctx, "app", args...); err != nil {
		l.t.Fatal(err, out)
	}
}

// is waits until the task's service and sidecar have a status, which ECS calls health.
func (l *life) is(status, health string) {
	l.t.Helper()
	service, id := l.awaitStatus("web", status), "web-"+l.task.ID+"-app-consul-ecs"
	if !slices.ContainsFunc(service.Checks, func(c *api.HealthCheck) bool {
		return c.CheckID == id && c.Name == "consul ecs synced" && c.Output == fmt.Sprintf("ECS health status is %q for task %q", health, id)
	}) {
		l.t.Errorf("checks %+v", service.Checks)
	}
	l.awaitStatus("web-sidecar-proxy", status)
}

// stops sends SIGTERM, and has the catalog watched.
func (l *life) stops() {
	watching := make(chan struct{})
	go func() { l.seen <- l.watchEnd(watching) }()
	<-watching
	l.task.Stop("the service is scaled in")
}

// ended checks that the task has ended well, and that nothing of it is left.
func (l *life) ended() {
	l.t.Helper()
	stopped(l.t, l.task, lifeTime)
	for _, name := range taskContainers {
		if c := l.task.Container(name); c.ExitCode != 0 || c.Reason != "" {
			l.t.Errorf("%s ended with %+v", name, c)
		}
	}
	if log := l.task.Log("consul-ecs-health-sync"); !strings.Contains(log, "set Consul health status to critical") {
		l.t.Errorf("health-sync did not set the check critical:\n%s", log)
	}
	seen := <-l.seen
	l.t.Logf("seen in the catalog after SIGTERM: %v", seen)
	if first := slices.IndexFunc(seen, func(s string) bool { return s != api.HealthPassing }); slices.Contains(seen[first:], api.HealthPassing) {
		l.t.Errorf("the instance became healthy again: %v", seen)
	}
	for _, secret := range l.secrets {
		_, _, err := l.api.ACL().TokenReadSelf((&api.QueryOptions{Token: secret}).WithContext(l.ctx))
		if err == nil || !strings.Contains(err.Error(), "ACL not found") {
			l.t.Errorf("a token after the end: %v", err)
		}
	}
	if got := l.stored(); got != 0 {
		l.t.Errorf("the task still has %d tokens", got)
	}
	l.gone()
	if status := l.member(); status != "left" {
		l.t.Errorf("the agent is %q", status)
	}
}

// watchEnd follows the task's instance in the catalog until it is gone, and returns the statuses that it had.
func (l *life) watchEnd(started chan<- struct{}) (seen []string) {
	index := uint64(0)
	for {
		e, err := l.entry(l.ctx, "web", &index)
		if started != nil {
			close(started)
			started = nil
		}
		switch {
		case err != nil:
			return append(seen, err.Error())
		case e == nil:
			return append(seen, "gone")
		}
		if status := e.Checks.AggregatedStatus(); len(seen) == 0 || seen[len(seen)-1] != status {
			seen = append(seen, status)
		}
	}
}

// gone waits until the task's node has left the catalog, and all that was on it.
func (l *life) gone() {
	l.t.Helper()
	for index := uint64(0); ; {
		nodes, meta, err := l.api.Catalog().Nodes(l.query(index).WithContext(l.ctx))
		if err != nil {
			l.t.Fatalf("the node is still in the catalog: %v", err)
		}
		if !slices.ContainsFunc(nodes, func(n *api.Node) bool { return n.Node == l.node(l.task) }) {
			break
		}
		index = meta.LastIndex
	}
	for _, service := range []string{"web", "web-sidecar-proxy"} {
		var index uint64
		if e, err := l.entry(l.ctx, service, &index); err != nil || e != nil {
			l.t.Errorf("%s is still in the catalog: %+v, %v", service, e, err)
		}
	}
}
