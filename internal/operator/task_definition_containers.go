package operator

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/ecsconfig"
)

// container is one that is added, with the names that ECS has for its parts.
type container struct {
	Name              string           `json:"name"`
	Image             string           `json:"image"`
	Essential         bool             `json:"essential"`
	EntryPoint        []string         `json:"entryPoint,omitempty"`
	Command           []string         `json:"command,omitempty"`
	MemoryReservation int              `json:"memoryReservation,omitempty"`
	Environment       []variable       `json:"environment,omitempty"`
	Secrets           []secretVariable `json:"secrets,omitempty"`
	MountPoints       []mount          `json:"mountPoints,omitempty"`
	DependsOn         []dependency     `json:"dependsOn,omitempty"`
	HealthCheck       *containerHealth `json:"healthCheck,omitempty"`
	LinuxParameters   *linuxParameters `json:"linuxParameters,omitempty"`
	Ulimits           []ulimit         `json:"ulimits,omitempty"`
	StopTimeout       int              `json:"stopTimeout,omitempty"`
	LogConfiguration  *object          `json:"logConfiguration,omitempty"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type secretVariable struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

type mount struct {
	SourceVolume  string `json:"sourceVolume"`
	ContainerPath string `json:"containerPath"`
	ReadOnly      bool   `json:"readOnly"`
}

// containerHealth has its times in seconds.
type containerHealth struct {
	Command     []string `json:"command"`
	Interval    int      `json:"interval"`
	Timeout     int      `json:"timeout"`
	Retries     int      `json:"retries"`
	StartPeriod int      `json:"startPeriod"`
}

type linuxParameters struct {
	InitProcessEnabled bool `json:"initProcessEnabled"`
}

type ulimit struct {
	Name      string `json:"name"`
	SoftLimit int    `json:"softLimit"`
	HardLimit int    `json:"hardLimit"`
}

// MiB that a container is to have on EC2 where the task has no memory of its own (ecs.md section 10).
const (
	clientMemory = 128
	proxyMemory  = 96
	helperMemory = 48
)

const openFiles = 1 << 20 // for a proxy with many connections

// secretSetting is one of the secrets of a task: its setting, and the variable that has its value.
type secretSetting struct{ setting, variable, value string }

func (d *decorator) secrets() []secretSetting {
	return []secretSetting{
		{"ca_secret", "CONSUL_CACERT_PEM", d.CASecret},
		{"https_ca_secret", "CONSUL_HTTPS_CACERT_PEM", d.HTTPSCASecret},
		{"gossip_key_secret", "CONSUL_GOSSIP_ENCRYPTION_KEY", d.GossipSecret},
	}
}

// addContainers adds the mesh's containers behind the user's.
func (d *decorator) addContainers() error {
	config, err := d.configJSON()
	if err != nil {
		return err
	}
	agent, err := d.client(config)
	if err != nil {
		return err
	}
	added := []container{d.meshInit(config), agent, d.proxy()}
	if d.loggingIn() || len(d.HealthSync) > 0 {
		added = append(added, d.healthSync(config))
	}
	logs, err := d.logConfiguration()
	if err != nil {
		return err
	}
	all := make([]any, 0, len(d.containers)+len(added))
	for _, c := range d.containers {
		all = append(all, c)
	}
	for _, c := range added {
		c.LogConfiguration = logs
		if d.def.has("memory") {
			c.MemoryReservation = 0 // the task has a limit for all
		}
		all = append(all, c)
	}
	d.def.set("containerDefinitions", all)
	return nil
}

// logConfiguration is that of the application, so that all of a task's logs are in one place.
func (d *decorator) logConfiguration() (*object, error) {
	for _, c := range d.containers {
		if c.text("name") != d.Apps[0] || !c.has("logConfiguration") {
			continue
		}
		var logs object
		return &logs, c.get("logConfiguration", &logs)
	}
	return nil, nil
}

func (d *decorator) meshInit(config string) container {
	c := container{
		Name: meshInit, Image: d.ConsulECSImage, Command: []string{"mesh-init"}, MemoryReservation: helperMemory,
		Environment:     []variable{{ecsconfig.EnvironmentVariable, config}},
		MountPoints:     []mount{{dataVolume, dataDir, false}},
		LinuxParameters: &linuxParameters{true},
	}
	if d.Script {
		c.MountPoints = append(c.MountPoints, mount{binaryVolume, binaryDir, true})
	}
	return c
}

// client is the task's agent.
func (d *decorator) client(config string) (container, error) {
	c := container{
		Name: consulClient, Image: d.ConsulImage, MemoryReservation: clientMemory, StopTimeout: defaultStop,
		MountPoints: []mount{{dataVolume, dataDir, false}},
		HealthCheck: &containerHealth{Interval: 10, Timeout: 5, Retries: 5, StartPeriod: 60},
	}
	if d.Datacenter != "" {
		c.Environment = append(c.Environment, variable{"CONSUL_DATACENTER", d.Datacenter})
	}
	for _, s := range d.secrets() {
		switch {
		case s.value == "":
		case d.FollowSecrets:
			c.Environment = append(c.Environment, variable{strings.TrimSuffix(s.variable, "_PEM") + "_ARN", s.value})
		default:
			c.Secrets = append(c.Secrets, secretVariable{s.variable, s.value})
		}
	}
	if d.Script {
		script, err := d.startScript()
		if err != nil {
			return c, err
		}
		c.EntryPoint, c.Command = []string{"/bin/sh", "-ec"}, []string{script}
		c.MountPoints = append(c.MountPoints, mount{binaryVolume, binaryDir, false})
		c.HealthCheck.Command = []string{"CMD-SHELL", "curl -sf http://127.0.0.1:8500/v1/status/leader | grep -q :"}
		return c, nil
	}
	c.Environment = append([]variable{{ecsconfig.EnvironmentVariable, config}}, c.Environment...)
	c.EntryPoint, c.Command = []string{"consul-ecs"}, []string{"client"}
	if d.loggingIn() {
		c.Command = append(c.Command, "-method", d.ClientMethod)
	}
	if d.Partition != "" {
		c.Command = append(c.Command, "-partition", d.Partition)
	}
	for _, addr := range d.RetryJoin {
		c.Command = append(c.Command, "-retry-join", addr)
	}
	c.HealthCheck.Command = []string{"CMD", "consul-ecs", "client", "-check"}
	return c, nil
}

// proxy is Envoy. ECS kills it only after the application.
func (d *decorator) proxy() container {
	stop := defaultStop
	for _, c := range d.containers {
		stop = max(stop, stopTimeout(c))
	}
	return container{
		Name: sidecarProxy, Image: d.EnvoyImage, MemoryReservation: proxyMemory,
		EntryPoint:  []string{copiedBinary, "envoy-entrypoint"},
		Command:     []string{"envoy", "--config-path", dataDir + "/envoy-bootstrap.json"},
		MountPoints: []mount{{dataVolume, dataDir, true}},
		DependsOn:   []dependency{{meshInit, "SUCCESS"}},
		HealthCheck: &containerHealth{
			Command:  []string{"CMD", copiedBinary, "net-dial", "127.0.0.1:" + strconv.Itoa(d.PublicPort)},
			Interval: 5, Timeout: 5, Retries: 10, StartPeriod: 60,
		},
		Ulimits:     []ulimit{{"nofile", openFiles, openFiles}},
		StopTimeout: min(stop+10, maxStop),
	}
}

// healthSync writes to the volume where it renews tokens.
func (d *decorator) healthSync(config string) container {
	return container{
		Name: healthSync, Image: d.ConsulECSImage, Command: []string{"health-sync"}, MemoryReservation: helperMemory,
		Environment: []variable{{ecsconfig.EnvironmentVariable, config}},
		MountPoints: []mount{{dataVolume, dataDir, !d.loggingIn()}},
		DependsOn:   []dependency{{meshInit, "SUCCESS"}},
		StopTimeout: defaultStop,
	}
}

// taskConfig is CONSUL_ECS_CONFIG_JSON with what a decorated task needs of it.
type taskConfig struct {
	BootstrapDir         string        `json:"bootstrapDir"`
	LogLevel             string        `json:"logLevel,omitempty"`
	ConsulHTTPAddr       string        `json:"consulHTTPAddr,omitempty"`
	ConsulCACertFile     string        `json:"consulCACertFile,omitempty"`
	ConsulLogin          *configLogin  `json:"consulLogin,omitempty"`
	HealthSyncContainers []string      `json:"healthSyncContainers,omitempty"`
	Service              configService `json:"service"`
	Proxy                configProxy   `json:"proxy"`
}

type configLogin struct {
	Enabled         bool     `json:"enabled"`
	Method          string   `json:"method"`
	ExtraLoginFlags []string `json:"extraLoginFlags,omitempty"`
}

type configService struct {
	Name      string            `json:"name"`
	Port      int               `json:"port"`
	Tags      []string          `json:"tags,omitempty"`
	Meta      map[string]string `json:"meta,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
	Partition string            `json:"partition,omitempty"`
}

type configProxy struct {
	PublicListenerPort int        `json:"publicListenerPort,omitempty"`
	Upstreams          []upstream `json:"upstreams,omitempty"`
}

type upstream struct {
	DestinationName      string `json:"destinationName"`
	DestinationNamespace string `json:"destinationNamespace,omitempty"`
	DestinationPartition string `json:"destinationPartition,omitempty"`
	Datacenter           string `json:"datacenter,omitempty"`
	LocalBindPort        int    `json:"localBindPort"`
}

func (d *decorator) configJSON() (string, error) {
	c := taskConfig{
		BootstrapDir: dataDir, LogLevel: strings.ToUpper(d.LogLevel), ConsulHTTPAddr: d.ServerAddr, HealthSyncContainers: d.HealthSync,
		Service: configService{Name: d.Service, Port: *d.Port, Tags: d.Tags, Namespace: d.Namespace, Partition: d.Partition},
	}
	for _, pair := range d.Meta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return "", fmt.Errorf("meta: %q is not key=value", pair)
		}
		if c.Service.Meta == nil {
			c.Service.Meta = map[string]string{}
		}
		c.Service.Meta[key] = value
	}
	if d.HTTPSCASecret != "" {
		c.ConsulCACertFile = dataDir + "/consul-https-ca-cert.pem"
	}
	if d.loggingIn() {
		c.ConsulLogin = &configLogin{Enabled: true, Method: d.ServiceMethod}
		if d.Partition != "" {
			c.ConsulLogin.ExtraLoginFlags = []string{"-partition", d.Partition}
		}
	}
	if d.PublicPort != ecsconfig.DefaultPublicPort {
		c.Proxy.PublicListenerPort = d.PublicPort
	}
	for _, text := range d.Upstreams {
		u, err := parseUpstream(text)
		if err != nil {
			return "", err
		}
		c.Proxy.Upstreams = append(c.Proxy.Upstreams, u)
	}
	text := string(rawJSON(c))
	if _, err := ecsconfig.Parse([]byte(text)); err != nil {
		return "", fmt.Errorf("%s: %w", ecsconfig.EnvironmentVariable, err)
	}
	return text, nil
}
