package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl"

	"github.com/lictor/lictor/internal/aclsetup"
)

// taskSettings say how to decorate a task definition. Each is a flag, and a setting of the file
// of -config.
type taskSettings struct {
	Service    string   `json:"service"`
	Port       *int     `json:"port"`
	Tags       []string `json:"tags"`
	Meta       []string `json:"meta"`
	Upstreams  []string `json:"upstreams"`
	Apps       []string `json:"apps"`
	HealthSync []string `json:"health_sync"`
	PublicPort int      `json:"public_listener_port"`
	LogLevel   string   `json:"log_level"`

	ServerAddr    string   `json:"server_addr"`
	RetryJoin     []string `json:"retry_join"`
	Datacenter    string   `json:"datacenter"`
	Partition     string   `json:"partition"`
	Namespace     string   `json:"namespace"`
	Login         *bool    `json:"login"` // nil is true
	ClientMethod  string   `json:"client_method"`
	ServiceMethod string   `json:"service_method"`

	CASecret      string `json:"ca_secret"`
	HTTPSCASecret string `json:"https_ca_secret"`
	GossipSecret  string `json:"gossip_key_secret"`
	FollowSecrets bool   `json:"follow_secrets"`

	ShutdownDelay string `json:"shutdown_delay"`
	LaunchType    string `json:"launch_type"`
	Arch          string `json:"arch"`
	TaskRole      string `json:"task_role"`
	ExecutionRole string `json:"execution_role"`
	CPU           string `json:"cpu"`
	Memory        string `json:"memory"`

	ConsulImage    string `json:"consul_image"`
	ConsulECSImage string `json:"consul_ecs_image"`
	EnvoyImage     string `json:"envoy_image"`
	Script         bool   `json:"script"`
}

// Kinds of settings.
type settingKind uint8

const (
	textSetting settingKind = iota
	numberSetting
	boolSetting
	listSetting
)

// setting is one of taskSettings on the command line.
type setting struct {
	flag, key string
	kind      settingKind
	usage     string
}

var taskSettingFlags = []setting{
	{"service", "service", textSetting, "`name` of the service; the task family in lower case if empty"},
	{"port", "port", numberSetting, "`port` of the service; that of the application's only port mapping if absent"},
	{"tag", "tags", listSetting, "`tag` of the service; repeat for more"},
	{"meta", "meta", listSetting, "`key=value` of the service's metadata; repeat for more"},
	{"upstream", "upstreams", listSetting, "`name[.namespace[.partition]]:port[:datacenter]` that the application calls at localhost:port; repeat for more"},
	{"app", "apps", listSetting, "`container` of the application, which waits for the mesh; all but log routers if absent; repeat for more"},
	{"health-sync", "health_sync", listSetting, "`container` whose health Consul is told, or none; essential ones with a health check if absent; repeat for more"},
	{"public-listener-port", "public_listener_port", numberSetting, "`port` that the sidecar proxy listens on for the mesh; 20000 if absent"},
	{"log-level", "log_level", textSetting, "least important `level` of messages: TRACE, DEBUG, INFO, WARN or ERROR"},
	{"server-addr", "server_addr", textSetting, "`URL` of the servers' API, for logins"},
	{"retry-join", "retry_join", listSetting, "`address` of servers that the agent joins, or provider=aws …; repeat for more"},
	{"datacenter", "datacenter", textSetting, "`name` of the datacenter; dc1 if empty"},
	{"partition", "partition", textSetting, "admin `partition` of the task"},
	{"namespace", "namespace", textSetting, "`namespace` of the service"},
	{"login", "login", boolSetting, "log in with the task's role; -login=false is for clusters without ACLs"},
	{"client-method", "client_method", textSetting, "`name` of the auth method for client tokens; " + aclsetup.DefaultClientMethod + " if empty"},
	{"service-method", "service_method", textSetting, "`name` of the auth method for service tokens; " + aclsetup.DefaultServiceMethod + " if empty"},
	{"ca-secret", "ca_secret", textSetting, "`ARN` of the secret with the CA certificate of the agents"},
	{"https-ca-secret", "https_ca_secret", textSetting, "`ARN` of the secret with the CA certificate of -server-addr; a public CA if empty"},
	{"gossip-key-secret", "gossip_key_secret", textSetting, "`ARN` of the secret with the gossip key"},
	{"follow-secrets", "follow_secrets", boolSetting, "let the task read its secrets by itself, with its task role, and follow a CA that changes"},
	{"shutdown-delay", "shutdown_delay", textSetting, "`duration` for which the application goes on after SIGTERM"},
	{"launch-type", "launch_type", textSetting, "`type`: FARGATE or EC2; as the file says, or FARGATE"},
	{"arch", "arch", textSetting, "`architecture` of the task: amd64 or arm64; as the file says if empty"},
	{"task-role", "task_role", textSetting, "`ARN` of the task role, with which the task logs in"},
	{"execution-role", "execution_role", textSetting, "`ARN` of the execution role, with which ECS reads secrets"},
	{"cpu", "cpu", textSetting, "CPU `units` of the task"},
	{"memory", "memory", textSetting, "`MiB` of memory of the task"},
	{"consul-image", "consul_image", textSetting, "`image` with consul and consul-ecs, of build/consul.Dockerfile"},
	{"consul-ecs-image", "consul_ecs_image", textSetting, "`image` with consul-ecs, of build/consul-ecs.Dockerfile"},
	{"envoy-image", "envoy_image", textSetting, "`image` with Envoy; " + defaultEnvoyImage + " if empty"},
	{"script", "script", boolSetting, "start the agent with the documents' shell script, not with consul-ecs client"},
}

const (
	defaultEnvoyImage   = "docker.io/envoyproxy/envoy:v1.26.8" // of the newest line that release 1.16 supports
	maxTaskSettingsFile = 64 << 10
)

// given are settings by their key in the file.
type given map[string]any

// register registers a flag for each setting; those that are used are put into g.
func (g given) register(fs *flag.FlagSet) {
	for _, s := range taskSettingFlags {
		switch s.kind {
		case boolSetting:
			fs.BoolFunc(s.flag, s.usage, func(text string) error {
				value, err := strconv.ParseBool(text)
				g[s.key] = value
				return err
			})
		default:
			fs.Func(s.flag, s.usage, func(text string) error { return g.add(s, text) })
		}
	}
}

func (g given) add(s setting, text string) error {
	switch s.kind {
	case numberSetting:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		g[s.key] = n
	case listSetting:
		list, _ := g[s.key].([]string)
		g[s.key] = append(list, text)
	default:
		g[s.key] = text
	}
	return nil
}

// settings are those of a file, if its name is not empty, below those of flags.
func (g given) settings(file string) (*taskSettings, error) {
	all := given{}
	if file != "" {
		text, err := readBounded(file, maxTaskSettingsFile)
		if err != nil {
			return nil, err
		}
		if all, err = parseHCL(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for key, value := range g {
		all[key] = value
	}
	plain, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	var s taskSettings
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("%s: a %s is not what it takes", wrong.Field, wrong.Value)
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return &s, nil
}

// parseHCL reads HCL or JSON without blocks.
func parseHCL(text []byte) (g given, err error) {
	defer func() {
		if r := recover(); r != nil { // HCL's parser may, on hostile input
			g, err = nil, fmt.Errorf("cannot be parsed: %v", r)
		}
	}()
	g = given{}
	return g, hcl.Unmarshal(text, (*map[string]any)(&g))
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, name, limit)
}

func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes", name, limit)
	}
	return text, err
}
