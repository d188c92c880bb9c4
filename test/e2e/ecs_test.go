package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/awslocal/taskrun"
)

// The secrets of tasks, by the names that the documents give them.
const (
	caSecret      = "my-consul-ca-cert"
	httpsCASecret = "my-consul-https-ca-cert"
	gossipSecret  = "my-consul-gossip-key"
)

const serverPriority = -10 // as nice has it

// ecsWorld is a cluster of servers and a local ECS, whose tasks are hosts of the same network.
type ecsWorld struct {
	*cluster
	runner *taskrun.Runner
	https  string // URL of a server
}

// taskNetwork makes addresses of this machine in a network of tasks the hosts of servers.
type taskNetwork struct {
	*taskrun.Network
	loopback
}

func (n taskNetwork) name() string { return "a network of tasks" }

func (n taskNetwork) addr(host int) string {
	if host == 0 {
		return "127.0.0.1"
	}
	return n.Addrs()[host-1]
}

func (n taskNetwork) local(host int) string { return n.addr(host) }

// on lets the processes that f starts go before those of tasks, as on machines of their own.
func (n taskNetwork) on(_ int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, serverPriority); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// newECS starts three servers, whose configuration settings are added to, and a local ECS. It returns nil where tasks
// cannot be isolated from this machine, or a program that they need is missing, and fails then in a long run.
func newECS(t *testing.T, settings string, o taskrun.Options, programs ...string) *ecsWorld {
	t.Helper()
	n, err := isolation(programs)
	if err != nil {
		if os.Getenv("LICTOR_LONG") != "" {
			t.Fatalf("a long run needs isolated tasks: %v", err)
		}
		t.Logf("no task runs here: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &ecsWorld{cluster: prepareClusterIn(t, taskNetwork{Network: n}, 3, 0)}
	for _, h := range w.servers {
		h.configure(patientServers + settings)
	}
	w.start(w.servers...)
	w.awaitLeader()
	w.https = "https://" + w.servers[0].addr() + ":8501"
	for name, value := range map[string]string{caSecret: string(w.authority.Cert), httpsCASecret: string(w.authority.Cert), gossipSecret: w.key} {
		if _, err := w.aws.PutSecret(awslocal.DemoAccount, region, name, value); err != nil {
			t.Fatal(err)
		}
	}
	o.Network, o.Dir, o.Images = n, filepath.Join(w.dir, "tasks"), images()
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if w.runner, err = taskrun.New(w.aws.Server, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.runner.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func isolation(programs []string) (*taskrun.Network, error) {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return nil, err
		}
	}
	return taskrun.NewNetwork()
}

// images are those of the documents' task definition, and one of an application.
func images() map[string]taskrun.Image {
	binary := func(name string) string { return filepath.Join(binaries, name) }
	return map[string]taskrun.Image{
		"consul": {Files: map[string]string{"/bin/consul": binary("consul"), "/bin/consul-ecs": binary("consul-ecs")}},
		"consul-ecs": {
			EntryPoint: []string{"/bin/consul-ecs"}, Path: []string{"/bin/consul-inject"},
			Files: map[string]string{"/bin/consul-ecs": binary("consul-ecs")},
		},
		"envoy": {Files: map[string]string{"/usr/local/bin/envoy": binary("standin"), "/usr/local/bin/nc": binary("standin")}},
		"app":   {Files: map[string]string{"/usr/local/bin/app": binary("standin"), "/usr/local/bin/nc": binary("standin")}},
	}
}

// operate runs consul as the operator.
func (w *ecsWorld) operate(t *testing.T, args ...string) {
	t.Helper()
	w.servers[0].must(t, []string{"CONSUL_HTTP_TOKEN=" + w.management}, args...)
}

// lictor runs lictor as the operator and returns its standard output.
func (w *ecsWorld) lictor(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "lictor"), args...)
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+w.servers[0].http, "CONSUL_HTTP_TOKEN="+w.management)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("lictor %s: %v: %s", strings.Join(args, " "), err, &complaints)
	}
	return out.Bytes()
}

// setUp applies a file of lictor setup.
func (w *ecsWorld) setUp(t *testing.T, settings string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "setup.hcl")
	if err := os.WriteFile(file, []byte("accounts = [\""+awslocal.DemoAccount+"\"]\n"+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	w.lictor(t, "setup", "-yes", file)
}

// decorated is a task of the application app.json that lictor task-definition has put into the mesh.
func (w *ecsWorld) decorated(t *testing.T, args ...string) *awslocal.TaskDefinition {
	t.Helper()
	secret := func(name string) string {
		return "arn:aws:secretsmanager:" + region + ":" + awslocal.DemoAccount + ":secret:" + name
	}
	args = append([]string{
		"task-definition", "-port", "9090", "-server-addr", w.https, "-consul-image", "consul", "-consul-ecs-image", "consul-ecs", "-envoy-image", "envoy",
		"-ca-secret", secret(caSecret), "-https-ca-secret", secret(httpsCASecret), "-gossip-key-secret", secret(gossipSecret),
		"-execution-role", "arn:aws:iam::" + awslocal.DemoAccount + ":role/execution",
		"-task-role", "arn:aws:iam::" + awslocal.DemoAccount + ":role/consul-ecs/web",
	}, args...)
	for _, h := range w.servers {
		args = append(args, "-retry-join", h.addr())
	}
	return parseTask(t, w.lictor(t, append(args, filepath.Join("testdata", "ecs", "app.json"))...))
}

func parseTask(t *testing.T, text []byte) *awslocal.TaskDefinition {
	t.Helper()
	d, err := awslocal.ParseTaskDefinition(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill replaces placeholders by values, pairs of them, which become parts of JSON strings where inJSON.
func fill(text string, inJSON bool, pairs ...string) string {
	for i := 1; inJSON && i < len(pairs); i += 2 {
		quoted, err := json.Marshal(pairs[i])
		if err != nil {
			panic(err) // strings can be encoded
		}
		pairs[i] = string(quoted[1 : len(quoted)-1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func readTestdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "ecs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// explain logs what a task's containers have written, if the test has failed.
func explain(t *testing.T, task *taskrun.Task, containers ...string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	t.Logf("task %s at %s: %s", task.ID, task.IPv4, task.Reason())
	for _, name := range containers {
		log := task.Log(name)
		const most = 6000
		t.Logf("%s: %+v\n%s", name, task.Container(name), log[max(0, len(log)-most):])
	}
}

var taskContainers = []string{"app", "consul-client", "consul-ecs-mesh-init", "sidecar-proxy", "consul-ecs-health-sync"}

// stopped waits for the end of a task.
func stopped(t *testing.T, task *taskrun.Task, within time.Duration) {
	t.Helper()
	select {
	case <-task.Done():
	case <-time.After(within):
		t.Fatalf("task %s has not ended after %v", task.ID, within)
	}
}
