package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/cli"
	"github.com/lictor/lictor/internal/ecsconfig"
)

const definitions = "testdata/task_definition"

// decorateCommand runs the command and returns what it prints on both streams.
func decorateCommand(in string, args ...string) (out, complaint string, code int) {
	var o, e bytes.Buffer
	env := &cli.Env{In: strings.NewReader(in), Out: &o, Err: &e, Getenv: func(string) string { return "" }}
	root := &cli.Command{Name: "lictor", Sub: []*cli.Command{TaskDefinition()}}
	code = cli.Run(context.Background(), env, root, append([]string{"task-definition"}, args...))
	return o.String(), e.String(), code
}

// kinds are runs of the command, by the name of their golden file.
var kinds = []struct {
	name, file string
	args       []string
	note       string
}{
	{"fargate", "web.json", nil, ""},
	{"script", "web.json", []string{"-script", "-partition=team-a", "-namespace=art"}, ""},
	{
		"delay", "web.json",
		[]string{"-shutdown-delay=10s", "-arch=arm64", "-service=shop", "-public-listener-port=21000", "-follow-secrets", "-log-level=debug"},
		"ENTRYPOINT of its image no longer counts",
	},
	{"ec2", "described.json", []string{"-execution-role=arn:aws:iam::123456789012:role/execution", "-shutdown-delay=45s", "-app=stock"}, ""},
	{
		"plain", "web.json",
		[]string{"-login=false", "-server-addr=", "-ca-secret=", "-https-ca-secret=", "-gossip-key-secret=", "-health-sync=none"},
		"",
	},
}

func (k kindArgs) list() []string {
	return append(append([]string{"-config", filepath.Join(definitions, "web.hcl")}, k...), "-")
}

type kindArgs []string

func TestTaskDefinitionMatchesGolden(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			in := read(t, filepath.Join(definitions, k.file))
			out, complaint, code := decorateCommand(in, kindArgs(k.args).list()...)
			if code != 0 || !strings.Contains(complaint, k.note) || k.note == "" && complaint != "" {
				t.Fatalf("exit code %d: %s", code, complaint)
			}
			golden(t, filepath.Join("task_definition", k.name+".golden.json"), out)
		})
	}
}

func TestDecoratingTwiceIsDecoratingOnce(t *testing.T) {
	for _, first := range kinds {
		for _, second := range kinds {
			if first.file != second.file {
				continue
			}
			t.Run(first.name+" then "+second.name, func(t *testing.T) {
				once, _, _ := decorateCommand(read(t, filepath.Join(definitions, first.file)), kindArgs(first.args).list()...)
				twice, complaint, code := decorateCommand(once, kindArgs(second.args).list()...)
				if code != 0 {
					t.Fatal(complaint)
				}
				want := decoded(t, read(t, filepath.Join(definitions, second.name+".golden.json")))
				got := decoded(t, twice)
				if first.name == "delay" { // nobody asked for another architecture
					delete(got, "runtimePlatform")
					delete(want, "runtimePlatform")
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got\n%s", twice)
				}
				if first.name == second.name && twice != once {
					t.Error("the same settings give another text")
				}
			})
		}
	}
}

// TestECSTakesTaskDefinitions compares with the models of AWS: the SDK's and, where it is
// installed, that of the aws command line.
func TestECSTakesTaskDefinitions(t *testing.T) {
	aws, err := exec.LookPath("aws")
	for _, k := range kinds {
		file := filepath.Join(definitions, k.name+".golden.json")
		t.Run(k.name+" in the sdk", func(t *testing.T) {
			var input ecs.RegisterTaskDefinitionInput
			dec := json.NewDecoder(strings.NewReader(read(t, file)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&input); err != nil {
				t.Fatal(err)
			}
			checkEnums(t, reflect.ValueOf(input), "")
		})
		if err != nil || k.name != "script" && k.name != "ec2" { // it is slow to start, and these have all there is
			continue
		}
		t.Run(k.name+" in the aws command line", func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(aws, "ecs", "register-task-definition", "--cli-input-json", "file://"+file, "--generate-cli-skeleton", "output", "--region", "us-west-2")
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_CONFIG_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// checkEnums reports values that no enumeration of the SDK has.
func checkEnums(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkEnums(t, v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkEnums(t, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				checkEnums(t, v.Field(i), path+"."+f.Name)
			}
		}
	case reflect.String:
		values := v.MethodByName("Values")
		if !values.IsValid() || v.String() == "" {
			return
		}
		known := values.Call(nil)[0]
		for i := range known.Len() {
			if known.Index(i).String() == v.String() {
				return
			}
		}
		t.Errorf("%s: %q is not one of %v", path, v.String(), known)
	}
}

func TestTaskDefinitionKeepsWhatItDoesNotKnow(t *testing.T) {
	in := `{"family":"a","x":{"z":1e3,"a":[1.50,null]},"cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"a","new":{"b":"<>"}}]}`
	out, complaint, code := decorateCommand(in, kindArgs{"-login=false", "-execution-role=arn:aws:iam::123456789012:role/e"}.list()...)
	if code != 0 {
		t.Fatal(complaint)
	}
	var flat bytes.Buffer
	if err := json.Compact(&flat, []byte(out)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"x":{"z":1e3,"a":[1.50,null]}`, `"new":{"b":"<>"}`} {
		if !strings.Contains(flat.String(), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if !strings.HasPrefix(flat.String(), `{"family":"a","x":`) {
		t.Error("the order is another")
	}
}

func TestTheLocalECSTakesTaskDefinitions(t *testing.T) {
	for _, k := range kinds {
		d, err := awslocal.ParseTaskDefinition([]byte(read(t, filepath.Join(definitions, k.name+".golden.json"))))
		if err != nil || !slices.ContainsFunc(d.Containers, func(c awslocal.ContainerDefinition) bool { return c.Name == sidecarProxy }) {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}

func TestTaskDefinitionConfigurationIsValid(t *testing.T) {
	for _, k := range kinds {
		var def struct {
			ContainerDefinitions []struct {
				Name        string
				Environment []struct{ Name, Value string }
				Secrets     []struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(read(t, filepath.Join(definitions, k.name+".golden.json"))), &def); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, c := range def.ContainerDefinitions {
			for _, e := range c.Environment {
				if e.Name != ecsconfig.EnvironmentVariable {
					continue
				}
				found++
				if _, err := ecsconfig.Parse([]byte(e.Value)); err != nil {
					t.Errorf("%s: %s: %v", k.name, c.Name, err)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: no container has a configuration", k.name)
		}
	}
}

func TestStartScriptIsOne(t *testing.T) {
	d := decorator{taskSettings: taskSettings{
		ServerAddr: "https://it's", ClientMethod: "m", RetryJoin: []string{"a", "b c"}, CASecret: "x", HTTPSCASecret: "x", GossipSecret: "x", Partition: "p",
	}}
	script, err := d.startScript()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(script, `-http-addr 'https://it'\''s' \`) || !strings.Contains(script, `retry_join = ["a", "b c"]`) {
		t.Errorf("got\n%s", script)
	}
	if sh, err := exec.LookPath("sh"); err == nil {
		if out, err := exec.Command(sh, "-n", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestTaskDefinitionRefuses(t *testing.T) {
	web := `{"family":"web","cpu":"256","memory":"512","taskRoleArn":"arn:aws:iam::123456789012:role/consul-ecs/web","executionRoleArn":"arn:aws:iam::123456789012:role/e","containerDefinitions":[{"name":"web","image":"w"}]}`
	with := func(old, new string) string { return strings.Replace(web, old, new, 1) }
	app := func(more string) string { return with(`"image":"w"`, `"image":"w",`+more) }
	for _, c := range []struct {
		name, in string
		args     []string
		want     string
	}{
		{"no JSON", "{", nil, "unexpected end of JSON input"},
		{"no UTF-8", "{\"family\":\"\xff\"}", nil, "not UTF-8"},
		{"a list", "[]", nil, "is not an object"},
		{"a key twice", `{"family":"a","family":"b"}`, nil, "family: given twice"},
		{"no family", "{}", nil, "family: required"},
		{"no container", `{"family":"a"}`, nil, "no container of an application"},
		{"a container without a name", with(`"name":"web",`, ""), nil, "containerDefinitions[0].name: required"},
		{"bridge networking", with(`"cpu"`, `"networkMode":"bridge","cpu"`), nil, `networkMode: "bridge": tasks in the mesh need awsvpc`},
		{"Windows", with(`"cpu"`, `"runtimePlatform":{"operatingSystemFamily":"WINDOWS_SERVER_2022_CORE"},"cpu"`), nil, "only LINUX works"},
		{"Fargate without memory", with(`"memory":"512",`, ""), nil, "cpu, memory: Fargate requires both"},
		{"no task role", with("taskRoleArn", "other"), nil, "task_role: required"},
		{"no execution role", with("executionRoleArn", "other"), nil, "execution_role: required"},
		{"a task role that is none", web, []string{"-task-role=web"}, `task_role: "web" is not the ARN of a role`},
		{"a launch type that is none", web, []string{"-launch-type=lambda"}, `launch_type: "LAMBDA" is neither FARGATE nor EC2`},
		{"an architecture that is none", web, []string{"-arch=mips"}, `arch: "mips" is neither amd64 nor arm64`},
		{"no image", web, []string{"-consul-image="}, "consul_image: required"},
		{"no server", web, []string{"-server-addr="}, "server_addr: required"},
		{"a server that is no URL", web, []string{"-server-addr=consul:8501"}, `server_addr: "consul:8501" is not a URL`},
		{"a join address with a quote", web, []string{"-retry-join=a\"b"}, `retry_join: "a\"b" is not an address`},
		{"a datacenter with a space", web, []string{"-datacenter=a b"}, `datacenter: "a b" is not the name of one`},
		{"a partition that is none", web, []string{"-partition=a/b"}, "partition: "},
		{"a secret that is none", web, []string{"-ca-secret=-----BEGIN CERTIFICATE"}, "ca_secret: "},
		{"secrets to follow by name", web, []string{"-ca-secret=/my/ca", "-follow-secrets"}, "ca_secret: follow_secrets needs an ARN"},
		{"secrets to follow in a script", web, []string{"-script", "-follow-secrets"}, "follow_secrets: the script cannot follow secrets"},
		{"two ports", app(`"portMappings":[{"containerPort":1},{"containerPort":2}]`), nil, "port: required: the application has the port mappings [1 2]"},
		{"a host port", app(`"portMappings":[{"containerPort":1,"hostPort":2}]`), nil, "the hostPort 2 has to be the containerPort 1"},
		{"a port of the agent", app(`"portMappings":[{"containerPort":8500}]`), nil, "port: port 8500 belongs to the agent and Envoy"},
		{"a public port of Envoy", web, []string{"-public-listener-port=19000"}, "public_listener_port: port 19000 belongs to the agent and Envoy"},
		{"the application's port as the public one", app(`"portMappings":[{"containerPort":20000}]`), nil, "public_listener_port: port 20000 belongs to the application"},
		{"two upstreams at one port", web, []string{"-upstream=a:5000", "-upstream=b:5000"}, "upstreams: port 5000 belongs to upstream a"},
		{"an upstream without a port", web, []string{"-upstream=a"}, `upstreams: "a" is not name`},
		{"an upstream with four names", web, []string{"-upstream=a.b.c.d:1"}, `upstreams: "a.b.c.d:1" is not name`},
		{"a port that is none", web, []string{"-port=70000"}, "port: 70000 is not a port"},
		{"a port that is no number", web, []string{"-port=x"}, `"x" is not a number`},
		{"a delay that is none", web, []string{"-shutdown-delay=long"}, `shutdown_delay: "long" is not a duration`},
		{"a delay beyond the stop timeout", app(`"command":["w"]`), []string{"-shutdown-delay=30s"}, `container "web" is killed after 30s`},
		{"a delay of who knows what", web, []string{"-shutdown-delay=5s"}, `container "web" has neither entryPoint nor command`},
		{"a stop timeout beyond that of ECS", app(`"stopTimeout":121`), nil, "stopTimeout: 121 is more than 120"},
		{"health of a container that is not there", web, []string{"-health-sync=x"}, `health_sync: there is no container "x"`},
		{"health of a container without a check", web, []string{"-health-sync=web"}, `health_sync: container "web" has no healthCheck`},
		{"an application that is not there", web, []string{"-app=x"}, `apps: there is no container "x"`},
		{"only a log router", app(`"firelensConfiguration":{"type":"fluentd"}`), nil, "apps: no container is the application"},
		{"metadata without a value", web, []string{"-meta=x"}, `meta: "x" is not key=value`},
		{"a service name that is none", web, []string{"-service=A!"}, "service.name: Does not match pattern"},
		{"a log level that is none", web, []string{"-log-level=loud"}, "logLevel must be one of"},
		{"another use of the mesh's volume", with(`"cpu"`, `"volumes":[{"name":"consul_data","host":{"sourcePath":"/x"}}],"cpu"`), nil, `volumes: "consul_data" is the mesh's own`},
		{"too many containers", with(`{"name":"web","image":"w"}`, strings.Repeat(`{"name":"w","image":"w"},`, 6)+`{"name":"web","image":"w"}`), nil, "ECS takes 10"},
		{"too long", app(`"command":["` + strings.Repeat("x", 64<<10) + `"]`), nil, "ECS takes 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := slices.Concat([]string{"-config", filepath.Join(definitions, "web.hcl")}, c.args, []string{"-"})
			if slices.ContainsFunc(c.args, func(a string) bool { return strings.HasPrefix(a, "-upstream") }) {
				args = slices.Concat([]string{"-consul-image=c", "-consul-ecs-image=e", "-server-addr=https://s", "-retry-join=s"}, c.args, []string{"-"})
			}
			out, complaint, code := decorateCommand(c.in, args...)
			if code != 1 || out != "" || !strings.Contains(complaint, c.want) {
				t.Errorf("exit code %d: %s%s", code, complaint, out)
			}
		})
	}
}

func TestTaskSettingsFileRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an unknown setting", `sidecar = true`, `unknown field "sidecar"`},
		{"a number for a text", `service = 1`, "service: a number is not what it takes"},
		{"a text for a list", `upstreams = "a:1"`, "upstreams: a string is not what it takes"},
		{"no HCL", `service = {`, "web.hcl: "},
		{"a long file", "# " + strings.Repeat("x", 64<<10), "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "web.hcl")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, complaint, code := decorateCommand("{}", "-config", file, "-")
			if code != 1 || !strings.Contains(complaint, c.want) {
				t.Errorf("exit code %d: %s", code, complaint)
			}
		})
	}
}

// TestEverySettingIsAFlag keeps the two lists the same.
func TestEverySettingIsAFlag(t *testing.T) {
	var keys []string
	for f := range reflect.TypeFor[taskSettings]().Fields() {
		keys = append(keys, f.Tag.Get("json"))
	}
	for _, s := range taskSettingFlags {
		i := slices.Index(keys, s.key)
		if i < 0 {
			t.Errorf("-%s sets %q, which there is not", s.flag, s.key)
			continue
		}
		keys = slices.Delete(keys, i, i+1)
	}
	if len(keys) > 0 {
		t.Errorf("no flags for %v", keys)
	}
}

func FuzzDecorate(f *testing.F) {
	for _, file := range []string{"web.json", "described.json", "fargate.golden.json"} {
		f.Add([]byte(read(f, filepath.Join(definitions, file))))
	}
	f.Add([]byte(`{"family":"a","containerDefinitions":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		off := false
		s := taskSettings{
			Login: &off, RetryJoin: []string{"s"}, ConsulImage: "c", ConsulECSImage: "e", CPU: "256", Memory: "512", ShutdownDelay: "1s",
		}
		once, _, err := decorate(text, s)
		if err != nil {
			return
		}
		twice, _, err := decorate(once, s)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v\n%s\n%s", err, once, twice)
		}
	})
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
