package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
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

// How fast what a killed task leaves behind is removed (docs/ecs.md).
const (
	controllerBound = 20 * time.Second // two passes of the ACL controller
	serfReap        = 15 * time.Second
	reconnectTime   = time.Second // what the tasks of the test advertise
)

// manyTasks is how one run goes.
type manyTasks struct {
	tasks    int
	health   time.Duration // interval of health checks; 30 s is that of ECS itself
	ttl      time.Duration // of tokens
	calls    awslocal.Limit
	gossip   string        // configuration of all agents, those of many tasks on one machine have to be patient with each other
	detected time.Duration // in which gossip finds out that many of its members are gone
	late     time.Duration // a busy machine is
	patience time.Duration // for all to be healthy
}

func chosenMany() manyTasks {
	if os.Getenv("LICTOR_LONG") != "" {
		return manyTasks{
			tasks: 200, health: 30 * time.Second, ttl: 5 * time.Minute, calls: awslocal.Limit{Rate: 20, Burst: 40},
			gossip:   "gossip_lan { gossip_interval = \"500ms\" probe_interval = \"5s\" probe_timeout = \"3s\" }\n",
			detected: 2 * time.Minute, late: time.Minute, patience: 20 * time.Minute,
		}
	}
	return manyTasks{
		tasks: 8, health: time.Second, ttl: time.Hour, calls: awslocal.Limit{Rate: 10, Burst: 4},
		detected: 30 * time.Second, late: 30 * time.Second, patience: 3 * time.Minute,
	}
}

// TestManyTasks starts many tasks at once against an AWS that throttles, and kills half of them without any signal
// before: in a long run a part of those before there is an ACL controller.
func TestManyTasks(t *testing.T) {
	t.Parallel()
	run := chosenMany()
	w := newECS(t, run.gossip, taskrun.Options{HealthInterval: run.health})
	if w == nil {
		return
	}
	m := &many{ecsWorld: w, manyTasks: run, t: t, api: w.servers[1].api()}
	var cancel context.CancelFunc
	m.ctx, cancel = context.WithTimeout(t.Context(), run.patience+10*time.Minute)
	defer cancel()
	w.setUp(t, fmt.Sprintf("token_ttl = %q\n", run.ttl))
	for _, api := range []string{"sts", "iam"} {
		w.aws.Throttle(api, run.calls)
	}
	m.start()
	m.count()
	half := m.running[:len(m.running)/2]
	if m.ttl < m.patience { // there is time to wait for it
		part := half[:len(half)/2]
		m.kill(part, m.ttl)
		half = half[len(part):]
	}
	controller := m.control()
	m.kill(half, controllerBound)
	controller.Stop("the test is over")
	m.end()
	stopped(t, controller, run.late)
}

// many is one run.
type many struct {
	*ecsWorld
	manyTasks
	t       *testing.T
	ctx     context.Context
	api     *api.Client
	running []*taskrun.Task
}

// start starts all tasks, and waits until ECS and Consul both say that they are healthy.
func (m *many) start() {
	m.t.Helper()
	extra := filepath.Join(m.dir, "agent-extra.hcl")
	if err := os.WriteFile(extra, fmt.Appendf(nil, "advertise_reconnect_timeout = %q\n%s", reconnectTime, m.gossip), 0o644); err != nil {
		m.t.Fatal(err)
	}
	definition := m.decorated(m.t)
	for i := range definition.Containers {
		if c := &definition.Containers[i]; c.Name == "consul-client" {
			c.Command = append(c.Command, "-config-file", extra)
		}
	}
	placed := make(chan struct{})
	for range m.tasks {
		task, err := m.runner.Run(taskrun.Spec{Definition: definition, Cluster: "prod", Region: region, Placed: placed})
		if err != nil {
			m.t.Fatal(err)
		}
		m.running = append(m.running, task)
	}
	began := time.Now()
	close(placed)
	ctx, cancel := context.WithTimeout(m.ctx, m.patience)
	defer cancel()
	for _, task := range m.running {
		if err := task.Await(ctx, "app", awslocal.ConditionHealthy); err != nil {
			m.t.Errorf("task %s: %v", task.ID, err)
			explain(m.t, task, taskContainers...)
			m.t.FailNow()
		}
	}
	inECS := time.Since(began)
	m.await(ctx, "all are healthy", func() error { return m.allPassing(ctx) })
	m.t.Logf("%d tasks that start at once are healthy in ECS after %v, in Consul after %v", m.tasks, roundly(inECS), roundly(time.Since(began)))
}

func roundly(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// await waits until holds returns nil. The catalog is looked at once a second.
func (m *many) await(ctx context.Context, what string, holds func() error) {
	m.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			m.t.Fatalf("%s: %v", what, err)
		}
	}
}

// allPassing says which of the running tasks have no service or no sidecar that is healthy.
func (m *many) allPassing(ctx context.Context) error {
	for _, service := range []string{"web", "web-sidecar-proxy"} {
		list, _, err := m.api.Health().Service(service, "", true, (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		passing := map[string]bool{}
		for _, e := range list {
			passing[e.Service.Meta["task-id"]] = true
		}
		for _, task := range m.running {
			if !passing[task.ID] {
				return fmt.Errorf("%s of task %s is not healthy, %d of %d are", service, task.ID, len(passing), len(m.running))
			}
		}
	}
	return nil
}

// tokens counts the tokens of each task.
func (m *many) tokens(ctx context.Context) (map[string]int, error) {
	list, _, err := m.api.ACL().TokenList((&api.QueryOptions{Namespace: "*"}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, token := range list {
		var meta map[string]string
		if text, ok := strings.CutPrefix(token.Description, "token created via login: "); ok && json.Unmarshal([]byte(text), &meta) == nil {
			found[meta["consul.hashicorp.com/task-id"]]++
		}
	}
	return found, nil
}

// count checks that each task has the tokens of its two logins and no other, and says what the start has cost.
func (m *many) count() {
	m.t.Helper()
	m.twoTokens()
	totals := map[string]awslocal.Count{}
	for _, c := range m.aws.Counts(awslocal.Counter{}) {
		if c.Role != "web" && c.Role != "execution" {
			continue
		}
		name := c.Service + ":" + c.Action
		sum := totals[name]
		sum.Calls, sum.Throttled, sum.Failed = sum.Calls+c.Calls, sum.Throttled+c.Throttled, sum.Failed+c.Failed
		totals[name] = sum
	}
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		c := totals[name]
		m.t.Logf("%-32s %.2f a task, of them %.2f throttled", name, float64(c.Calls)/float64(m.tasks), float64(c.Throttled)/float64(m.tasks))
		if c.Failed != c.Throttled {
			m.t.Errorf("%s: %d calls failed", name, c.Failed-c.Throttled)
		}
	}
	if totals["sts:GetCallerIdentity"].Throttled+totals["iam:GetRole"].Throttled == 0 {
		m.t.Error("AWS has throttled nobody")
	}
}

func (m *many) twoTokens() {
	m.t.Helper()
	found, err := m.tokens(m.ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, task := range m.running {
		if found[task.ID] != 2 {
			m.t.Errorf("task %s has %d tokens", task.ID, found[task.ID])
			explain(m.t, task, taskContainers...)
		}
	}
}

// control starts the ACL controller, and waits until it has set the cluster up.
func (m *many) control() *taskrun.Task {
	m.t.Helper()
	if _, err := m.aws.PutSecret(awslocal.DemoAccount, region, "my-consul-bootstrap-token", m.management); err != nil {
		m.t.Fatal(err)
	}
	definition := parseTask(m.t, []byte(fill(readTestdata(m.t, "controller.json"), true, "<consul server address>", m.https)))
	task, err := m.runner.Run(taskrun.Spec{Definition: definition, Cluster: "prod", Region: region})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { explain(m.t, task, "acl-controller") })
	m.await(m.ctx, "the controller has set the cluster up", func() error {
		_, _, err := m.api.ACL().PolicyReadByName("consul-ecs-client-policy", (&api.QueryOptions{}).WithContext(m.ctx))
		return err
	})
	return task
}

// leftover is what killed tasks leave behind, and for how long.
type leftover struct {
	name  string
	bound time.Duration
	left  func(ctx context.Context, tasks map[string]bool) (int, error)
}

// kill kills tasks and measures how long it takes until nothing of theirs is left. Tokens may stay for as long as said.
func (m *many) kill(tasks []*taskrun.Task, tokens time.Duration) {
	m.t.Helper()
	for _, task := range tasks {
		task.Kill()
	}
	began := time.Now()
	m.running = slices.DeleteFunc(slices.Clone(m.running), func(t *taskrun.Task) bool { return slices.Contains(tasks, t) })
	for _, task := range tasks {
		stopped(m.t, task, m.late)
	}
	leftovers := []leftover{
		{"tokens", tokens, m.tokensOf},
		{"services", m.detected + reconnectTime + serfReap, m.servicesOf},
		{"nodes", m.detected + reconnectTime + serfReap, m.nodesOf},
	}
	slices.SortFunc(leftovers, func(a, b leftover) int { return cmp.Compare(a.bound, b.bound) })
	dead := map[string]bool{}
	for _, task := range tasks {
		dead[task.ID] = true
	}
	for _, b := range leftovers {
		ctx, cancel := context.WithTimeout(m.ctx, time.Until(began.Add(b.bound+m.late)))
		m.await(ctx, fmt.Sprintf("%s of killed tasks are gone within %v", b.name, b.bound), func() error {
			left, err := b.left(ctx, dead)
			if err == nil && left > 0 {
				err = fmt.Errorf("%d are left", left)
			}
			return err
		})
		cancel()
		m.t.Logf("%d killed tasks: %s gone after %v, bound %v", len(tasks), b.name, roundly(time.Since(began)), b.bound)
	}
	m.await(m.ctx, "the others are healthy", func() error { return m.allPassing(m.ctx) })
	m.twoTokens()
}

func (m *many) tokensOf(ctx context.Context, tasks map[string]bool) (int, error) {
	found, err := m.tokens(ctx)
	count := 0
	for id, tokens := range found {
		if tasks[id] {
			count += tokens
		}
	}
	return count, err
}

func (m *many) servicesOf(ctx context.Context, tasks map[string]bool) (int, error) {
	count := 0
	for _, service := range []string{"web", "web-sidecar-proxy"} {
		list, _, err := m.api.Catalog().Service(service, "", (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return 0, err
		}
		for _, s := range list {
			if tasks[s.ServiceMeta["task-id"]] {
				count++
			}
		}
	}
	return count, nil
}

func (m *many) nodesOf(ctx context.Context, tasks map[string]bool) (int, error) {
	nodes, _, err := m.api.Catalog().Nodes((&api.QueryOptions{}).WithContext(ctx))
	count := 0
	for _, n := range nodes {
		if tasks[n.Node] {
			count++
		}
	}
	return count, err
}

// end stops what still runs, and checks that nothing is left of anybody.
func (m *many) end() {
	m.t.Helper()
	began := time.Now()
	all := map[string]bool{}
	for _, task := range m.running {
		all[task.ID] = true
		task.Stop("the test is over")
	}
	for _, task := range m.running {
		stopped(m.t, task, m.patience)
		for _, name := range taskContainers {
			if c := task.Container(name); c.ExitCode != 0 {
				m.t.Errorf("%s of task %s ended with %+v", name, task.ID, c)
			}
		}
		explain(m.t, task, taskContainers...)
	}
	took := time.Since(began)
	for what, left := range map[string]func(context.Context, map[string]bool) (int, error){"tokens": m.tokensOf, "services": m.servicesOf, "nodes": m.nodesOf} {
		m.await(m.ctx, what+" of tasks that have ended are gone", func() error {
			count, err := left(m.ctx, all)
			if err == nil && count > 0 {
				err = fmt.Errorf("%d are left", count)
			}
			return err
		})
	}
	m.t.Logf("%d tasks ended in %v, nothing left after %v", len(all), roundly(took), roundly(time.Since(began)))
}
