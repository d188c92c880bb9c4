package taskrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/lictor/lictor/internal/awslocal"
)

const (
	webRole       = "arn:aws:iam::123456789012:role/consul-ecs/web"
	executionRole = "arn:aws:iam::123456789012:role/execution"
	region        = "us-west-2"
)

// world is a local AWS with a runner.
type world struct {
	*testing.T
	ctx      context.Context
	aws      *awslocal.Server
	runner   *Runner
	isolated bool
}

// everywhere runs a test with tasks that share this machine, and with isolated ones where it can.
func everywhere(t *testing.T, o Options, test func(*world)) {
	t.Helper()
	t.Parallel()
	t.Run("sharing the machine", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, o))
	})
	if n := network(t); n != nil {
		t.Run("isolated", func(t *testing.T) {
			t.Parallel()
			o := o
			o.Network = n
			test(newWorld(t, o))
		})
	}
}

// network returns a network, or nil where there can be none.
func network(t *testing.T) *Network {
	t.Helper()
	n, err := NewNetwork()
	if errors.Is(err, ErrIsolation) {
		t.Logf("without isolated tasks: %s", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	server, err := awslocal.New(awslocal.Demo(), awslocal.Options{})
	if err == nil {
		err = server.Start(context.Background(), "")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	o.Dir = t.TempDir()
	o.Images = map[string]Image{"sh": {EntryPoint: []string{"/bin/sh", "-ec"}}}
	runner, err := New(server, o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, ctx: ctx, aws: server, runner: runner, isolated: o.Network != nil}
	t.Cleanup(func() {
		if err := runner.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// run runs a task of containers, in JSON. They find a volume where $V is, which the test has at the
// path that run returns.
func (w *world) run(containers string) (*Task, string) {
	w.Helper()
	volume, path := `{"name":"v"}`, "/consul/shared"
	if !w.isolated {
		path = w.TempDir()
		volume = `{"name":"v","host":{"sourcePath":"` + path + `"}}`
	}
	containers = strings.ReplaceAll(containers, `"name"`, `"image":"sh","mountPoints":[{"sourceVolume":"v","containerPath":"$V"}],"name"`)
	containers = strings.ReplaceAll(containers, "$V", path)
	t, err := w.runner.Run(Spec{
		Definition: w.parse(`"volumes":[` + volume + `],"containerDefinitions":[` + containers + `]`), Cluster: "prod", Region: region,
		Environment: []string{"TASK=task", "OWN=task"},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if w.Failed() {
			for _, c := range t.containers {
				w.Logf("%s: %+v\n%s", c.definition.Name, t.Container(c.definition.Name), t.Log(c.definition.Name))
			}
			w.Log(t.Reason())
		}
	})
	return t, t.VolumeDir("v")
}

func (w *world) parse(fields string) *awslocal.TaskDefinition {
	w.Helper()
	d, err := awslocal.ParseTaskDefinition([]byte(`{"family":"shop","taskRoleArn":"` + webRole + `","executionRoleArn":"` + executionRole + `",` + fields + `}`))
	if err != nil {
		w.Fatal(err)
	}
	return d
}

func (w *world) await(t *Task, container, condition string) {
	w.Helper()
	if err := t.Await(w.ctx, container, condition); err != nil {
		w.Fatal(err)
	}
}

func (w *world) ended(t *Task) {
	w.Helper()
	select {
	case <-t.Done():
	case <-w.ctx.Done():
		w.Fatal("the task does not end")
	}
	if found := marked(t); len(found) > 0 {
		w.Errorf("processes are left: %v", found)
	}
	if len(w.runner.Tasks()) > 0 {
		w.Error("the runner still has a task")
	}
}

// marked returns the processes of a task, on Linux.
func marked(t *Task) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is right
	for _, file := range files {
		if env, err := os.ReadFile(file); err == nil && bytes.Contains(env, []byte(t.ID)) {
			found = append(found, file)
		}
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func (w *world) write(path string) {
	w.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		w.Fatal(err)
	}
}

const idle = `tail -f /dev/null & trap 'exit 0' TERM; touch $V/$0.ready; while :; do wait; done`

func TestContainersStartInOrder(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, volume := w.run(`
			{"name":"app","command":["cat $V/order; echo app >>$V/order"],
			 "dependsOn":[{"containerName":"init","condition":"SUCCESS"},{"containerName":"failing","condition":"COMPLETE"},{"containerName":"side","condition":"START"}]},
			{"name":"init","essential":false,"command":["echo init >>$V/order"],"dependsOn":[{"containerName":"failing","condition":"COMPLETE"}]},
			{"name":"failing","essential":false,"command":["echo failing >>$V/order; exit 3"]},
			{"name":"side","essential":false,"command":["` + idle + `","side"]}`)
		w.ended(task)
		if got := task.Log("app"); got != "failing\ninit\n" {
			w.Errorf("app saw %q", got)
		}
		if got := task.Container("failing"); got.ExitCode != 3 || got.Known != awslocal.Stopped {
			w.Errorf("failing is %+v", got)
		}
		if task.Reason() != "Essential container in task exited" {
			w.Errorf("stopped because %s", task.Reason())
		}
		if !w.isolated {
			if got := read(w.T, volume+"/order"); got != "failing\ninit\napp\n" {
				w.Errorf("order %q", got)
			}
		} else if _, err := os.Stat(volume); !errors.Is(err, os.ErrNotExist) {
			w.Errorf("the volume is left: %v", err)
		}
	})
}

func TestDependencyThatFails(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, _ := w.run(`
			{"name":"app","command":["echo ran"],"dependsOn":[{"containerName":"init","condition":"SUCCESS"}]},
			{"name":"init","essential":false,"command":["exit 1"]}`)
		w.ended(task)
		if task.Log("app") != "" || !strings.Contains(task.Reason(), "Container app cannot start: container init: SUCCESS cannot become true any more") {
			w.Errorf("app wrote %q, stopped because %s", task.Log("app"), task.Reason())
		}
		if err := task.Await(w.ctx, "app", awslocal.ConditionStart); err == nil {
			w.Error("app has started")
		}
	})
}

func TestHealth(t *testing.T) {
	everywhere(t, Options{HealthInterval: 10 * time.Millisecond}, func(w *world) {
		task, volume := w.run(`
			{"name":"app","command":["` + idle + `","app"],"dependsOn":[{"containerName":"side","condition":"HEALTHY"}]},
			{"name":"side","essential":false,"command":["` + idle + `","side"],
			 "healthCheck":{"command":["CMD-SHELL","test -e $V/healthy"],"retries":2,"startPeriod":300}}`)
		w.await(task, "side", awslocal.ConditionStart)
		if c := task.Container("app"); c.Known != awslocal.Pending || task.Container("side").Health != awslocal.Unknown {
			w.Errorf("app is %+v", c)
		}
		w.write(volume + "/healthy")
		w.await(task, "app", awslocal.ConditionStart)
		if m := w.metadata(task); m.Containers["side"].Health.Status != awslocal.Healthy || m.KnownStatus != awslocal.Running {
			w.Errorf("metadata %+v", m)
		}
		if err := os.Remove(volume + "/healthy"); err != nil {
			w.Fatal(err)
		}
		w.unhealthy(task, "side")
		task.Stop("enough")
		w.ended(task)
	})
}

func (w *world) unhealthy(t *Task, container string) {
	w.Helper()
	for {
		t.mu.Lock()
		health, changed := t.find(container).state.Health, t.changed
		t.mu.Unlock()
		if health == awslocal.Unhealthy {
			return
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
			w.Fatalf("%s is %s", container, health)
		}
	}
}

// metadata is the task's document as its containers read it.
func (w *world) metadata(t *Task) (m struct {
	KnownStatus, DesiredStatus string
	Containers                 map[string]containerMetadata
}) {
	w.Helper()
	var document struct {
		KnownStatus, DesiredStatus string
		Containers                 []containerMetadata
	}
	client := &http.Client{Transport: &http.Transport{DialContext: t.DialContext, DisableKeepAlives: true}}
	for uri, into := range map[string]any{t.MetadataURI + "/task": &document, t.ContainerMetadataURI(1): &containerMetadata{}} {
		r, err := http.NewRequestWithContext(w.ctx, "GET", uri, nil)
		if err != nil {
			w.Fatal(err)
		}
		got, err := client.Do(r)
		if err != nil {
			w.Fatal(err)
		}
		defer got.Body.Close()
		if err := json.NewDecoder(got.Body).Decode(into); err != nil {
			w.Fatal(err)
		}
		if own, ok := into.(*containerMetadata); ok && (own.Name != t.containers[1].definition.Name || own.Networks[0].IPv4Addresses[0] != t.IPv4) {
			w.Errorf("container metadata %+v", own)
		}
	}
	m.KnownStatus, m.DesiredStatus, m.Containers = document.KnownStatus, document.DesiredStatus, map[string]containerMetadata{}
	for _, c := range document.Containers {
		m.Containers[c.Name] = c
	}
	return m
}

type containerMetadata struct {
	Name, DesiredStatus, KnownStatus string
	Health                           struct{ Status string }
	Networks                         []struct{ IPv4Addresses []string }
}

func TestEnvironment(t *testing.T) {
	everywhere(t, Options{Environment: []string{"ALL=all", "OWN=all"}}, func(w *world) {
		secret, err := w.aws.PutSecret(awslocal.DemoAccount, region, "my-consul-ca-cert", "two\nlines")
		if err != nil {
			w.Fatal(err)
		}
		if _, err := w.aws.PutParameter(awslocal.DemoAccount, region, "gossip", "key"); err != nil {
			w.Fatal(err)
		}
		task, _ := w.run(`{"name":"app","command":["echo \"$CA $GOSSIP $ALL $TASK $OWN $AWS_REGION\"; env"],
			"environment":[{"name":"OWN","value":"own"}],
			"secrets":[{"name":"CA","valueFrom":"` + secret + `"},{"name":"GOSSIP","valueFrom":"gossip"}]}`)
		w.ended(task)
		log := task.Log("app")
		if !strings.HasPrefix(log, "two\nlines key all task own us-west-2\n") {
			w.Errorf("got %s", log)
		}
		for _, variable := range []string{
			"ECS_CONTAINER_METADATA_URI_V4=" + task.ContainerMetadataURI(0), "AWS_ENDPOINT_URL=" + w.aws.URL(),
			map[bool]string{true: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/", false: "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + task.CredentialsURI}[w.isolated],
		} {
			if !strings.Contains(log, "\n"+variable) {
				w.Errorf("no %s in %s", variable, log)
			}
		}
		if os.Getenv("HOME") != "" && strings.Contains(log, "GOPATH") {
			w.Error("this machine's environment is in the container's")
		}
		if n := w.aws.Total(awslocal.Counter{Role: "execution", Session: task.ID}); n.Calls != 2 || n.Failed != 0 {
			w.Errorf("counted %+v", n)
		}
	})
}

func TestSecretThatCannotBeRead(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, _ := w.run(`{"name":"app","command":["echo ran"],"secrets":[{"name":"CA","valueFrom":"nothing"}]}`)
		w.ended(task)
		if !strings.HasPrefix(task.Reason(), "ResourceInitializationError: unable to pull secrets") || task.Log("app") != "" {
			w.Errorf("stopped because %s", task.Reason())
		}
	})
}

func TestStop(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, volume := w.run(`
			{"name":"app","command":["` + idle + `","app"]},
			{"name":"deaf","stopTimeout":1,"command":["trap '' TERM; touch $V/deaf.ready; while :; do tail -f /dev/null; done"]},
			{"name":"failing","command":["trap 'echo got TERM; exit 7' TERM; tail -f /dev/null & touch $V/failing.ready; while :; do wait; done"]},
			{"name":"slow","stopTimeout":120,"command":["trap 'until test -e $V/last; do :; done; exit 9' TERM; tail -f /dev/null & touch $V/slow.ready; while :; do wait; done"]}`)
		for _, name := range []string{"app", "deaf", "failing", "slow"} {
			w.ready(task, name)
		}
		client := ecs.NewFromConfig(aws.Config{
			Region: region, BaseEndpoint: aws.String(w.aws.URL()),
			Credentials: credentials.NewStaticCredentialsProvider(awslocal.DemoAccessKey, awslocal.DemoSecret, ""),
		})
		if _, err := client.StopTask(w.ctx, &ecs.StopTaskInput{Cluster: aws.String("prod"), Task: &task.ARN, Reason: aws.String("enough")}); err != nil {
			w.Fatal(err)
		}
		w.await(task, "app", awslocal.ConditionSuccess)
		w.await(task, "failing", awslocal.ConditionComplete)
		if m := w.metadata(task); m.DesiredStatus != awslocal.Stopped || m.Containers["app"].KnownStatus != awslocal.Stopped ||
			m.Containers["slow"].KnownStatus != awslocal.Running || m.Containers["slow"].DesiredStatus != awslocal.Stopped {
			w.Errorf("metadata while stopping: %+v", m)
		}
		w.write(volume + "/last")
		w.ended(task)
		for name, code := range map[string]int{"app": 0, "deaf": 137, "failing": 7, "slow": 9} {
			if got := task.Container(name); got.ExitCode != code {
				w.Errorf("%s ended with %+v", name, got)
			}
		}
		if task.Log("failing") != "got TERM\n" || task.Reason() != "enough" {
			w.Errorf("failing wrote %q, reason %q", task.Log("failing"), task.Reason())
		}
		out, err := client.DescribeTasks(w.ctx, &ecs.DescribeTasksInput{Cluster: aws.String("prod"), Tasks: []string{task.ID}})
		if err != nil || aws.ToString(out.Tasks[0].LastStatus) != "STOPPED" || aws.ToInt32(out.Tasks[0].Containers[1].ExitCode) != 137 {
			w.Errorf("described as %+v, %v", out, err)
		}
	})
}

// ready waits for a file of the container's in the volume.
func (w *world) ready(task *Task, name string) {
	w.Helper()
	w.await(task, name, awslocal.ConditionStart)
	if _, err := task.Exec(w.ctx, name, "/bin/sh", "-c", "until test -e "+task.containers[0].definition.MountPoints[0].Path+"/"+name+".ready; do :; done"); err != nil {
		w.Fatal(err)
	}
}

func TestKill(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, volume := w.run(`
			{"name":"app","command":["trap 'touch $V/term' TERM; setsid tail -f /dev/null & touch $V/app.ready; while :; do wait; done"]},
			{"name":"side","command":["` + idle + `","side"]}`)
		w.ready(task, "app")
		w.ready(task, "side")
		if _, err := os.Stat("/proc/self"); err == nil {
			for deadline := time.Now().Add(30 * time.Second); len(marked(task)) < 4; { // what was forked may not have begun
				if time.Now().After(deadline) {
					w.Errorf("processes %v", marked(task))
					break
				}
			}
		}
		task.Kill()
		w.ended(task)
		if read(w.T, volume+"/term") != "" || task.Container("app").ExitCode != 137 || task.Container("side").ExitCode != 137 {
			w.Errorf("ended with %+v, %+v", task.Container("app"), task.Container("side"))
		}
		if _, err := task.Exec(w.ctx, "app", "true"); err == nil {
			w.Error("a command runs in a container that has ended")
		}
	})
}

func TestWhatAContainerLeavesIsKilled(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, _ := w.run(`{"name":"app","command":["setsid tail -f /dev/null & exit 0"]}`)
		w.ended(task)
	})
}

func TestContainerThatCannotStart(t *testing.T) {
	everywhere(t, Options{}, func(w *world) {
		task, _ := w.run(`{"name":"app","entryPoint":["no-such-program"]}`)
		w.ended(task)
		if want := `CannotStartContainerError: exec: "no-such-program": executable file not found in $PATH`; task.Reason() != want {
			w.Errorf("stopped because %s", task.Reason())
		}
	})
}

func TestTheAPIRunsTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	client := ecs.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: aws.String(w.aws.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(awslocal.DemoAccessKey, awslocal.DemoSecret, ""),
	})
	d := w.parse(`"containerDefinitions":[{"name":"app","image":"sh","command":["tail -f /dev/null"]}]`)
	var in ecs.RegisterTaskDefinitionInput
	if err := json.Unmarshal([]byte(`{"Family":"shop","TaskRoleArn":"`+d.TaskRoleARN+`","ContainerDefinitions":[{"Name":"app","Image":"sh","Command":["tail -f /dev/null"]}]}`), &in); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RegisterTaskDefinition(w.ctx, &in); err != nil {
		t.Fatal(err)
	}
	out, err := client.RunTask(w.ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("shop"), Cluster: aws.String("prod")})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	arn := aws.ToString(out.Tasks[0].TaskArn)
	task := w.runner.Task(arn[strings.LastIndexByte(arn, '/')+1:])
	w.await(task, "app", awslocal.ConditionStart)
	if err := w.runner.StopAll(w.ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	w.ended(task)
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	for _, tt := range []struct{ name, fields, want string }{
		{"an image without a command", `"containerDefinitions":[{"name":"app","image":"x"}]`, `its image "x" is none that has one`},
		{"a volume elsewhere", `"volumes":[{"name":"v"}],"containerDefinitions":[{"name":"app","image":"sh","command":["x"],"mountPoints":[{"sourceVolume":"v","containerPath":"/consul"}]}]`, "needs a task that is isolated"},
	} {
		if _, err := w.runner.Run(Spec{Definition: w.parse(tt.fields)}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if err := w.runner.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.runner.Run(Spec{Definition: w.parse(`"containerDefinitions":[{"name":"app","image":"sh","command":["x"]}]`)}); err == nil {
		t.Error("a closed runner runs a task")
	}
	idle, err := awslocal.New(awslocal.Demo(), awslocal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(idle, Options{}); err == nil {
		t.Error("a runner of a server that is not started")
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tool", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/text", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tool": dir + "/tool", "./x": "./x", "text": "", "none": ""} {
		if got, err := lookPath(name, "/", []string{"PATH=/nowhere:" + dir}); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, _ := lookPath("tool", filepath.Dir(dir), []string{"PATH=" + filepath.Base(dir)}); !slices.Equal([]string{got}, []string{dir + "/tool"}) {
		t.Errorf("relative PATH: got %q", got)
	}
}
