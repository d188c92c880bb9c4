package operator

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	fargate       = "FARGATE"
	ec2           = "EC2"
	noContainer   = "none" // of health_sync
	maxContainers = 10     // of a task definition, and its size in bytes
	maxRegistered = 64 << 10
)

// reservedPorts are those of the agent and of Envoy's administration (ecs.md section 10).
var reservedPorts = []int{8300, 8301, 8302, 8500, 8501, 8502, 8600, 19000}

var (
	secretName = regexp.MustCompile(`^(arn:[a-z-]+:(secretsmanager|ssm):[a-z0-9-]+:[0-9]{12}:\S+|/?[A-Za-z0-9_.\-/]+)$`)
	datacenter = regexp.MustCompile(`^[a-z0-9_-]+$`)
	roleARN    = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/\S+$`)
)

// fill fills in what the definition says, and what has a default.
func (d *decorator) fill() error {
	set := func(to *string, values ...string) {
		for _, value := range values {
			if *to == "" {
				*to = value
			}
		}
	}
	set(&d.Service, serviceName(d.def.text("family")))
	set(&d.EnvoyImage, defaultEnvoyImage)
	set(&d.ClientMethod, aclsetup.DefaultClientMethod)
	set(&d.ServiceMethod, aclsetup.DefaultServiceMethod)
	if d.Partition != "" || d.Namespace != "" {
		set(&d.Partition, "default")
		set(&d.Namespace, "default")
	}
	if d.PublicPort == 0 {
		d.PublicPort = ecsconfig.DefaultPublicPort
	}
	if d.ShutdownDelay != "" {
		var err error
		if d.delay, err = time.ParseDuration(d.ShutdownDelay); err != nil || d.delay < 0 {
			return fmt.Errorf("shutdown_delay: %q is not a duration", d.ShutdownDelay)
		}
	}
	var types []string
	if err := d.def.get("requiresCompatibilities", &types); err != nil {
		return err
	}
	d.LaunchType = strings.ToUpper(d.LaunchType)
	if slices.Contains(types, ec2) && !slices.Contains(types, fargate) {
		set(&d.LaunchType, ec2)
	}
	set(&d.LaunchType, fargate)
	switch strings.ToLower(d.Arch) {
	case "":
	case "amd64", "x86_64":
		d.Arch = "X86_64"
	case "arm64":
		d.Arch = "ARM64"
	default:
		return fmt.Errorf("arch: %q is neither amd64 nor arm64", d.Arch)
	}
	return d.fillFromContainers()
}

// fillFromContainers finds out which containers are the application, which of them are healthy
// or not, and where it listens.
func (d *decorator) fillFromContainers() error {
	var apps, synced []string
	for _, c := range d.containers {
		essential, name := true, c.text("name")
		if err := c.get("essential", &essential); err != nil {
			return err
		}
		if !c.has("firelensConfiguration") {
			apps = append(apps, name)
		}
		if essential && c.has("healthCheck") {
			synced = append(synced, name)
		}
	}
	if len(d.Apps) == 0 {
		d.Apps = apps
	}
	switch {
	case slices.Equal(d.HealthSync, []string{noContainer}):
		d.HealthSync = nil
	case len(d.HealthSync) == 0:
		d.HealthSync = synced
	}
	if d.Port != nil {
		return nil
	}
	ports, err := d.appPorts()
	if err != nil {
		return err
	}
	if len(ports) > 1 {
		return fmt.Errorf("port: required: the application has the port mappings %v", ports)
	}
	d.Port = new(int)
	if len(ports) == 1 {
		*d.Port = ports[0]
	}
	return nil
}

// appPorts are the ports that the user's containers listen on.
func (d *decorator) appPorts() ([]int, error) {
	var ports []int
	for _, c := range d.containers {
		var mappings []struct{ ContainerPort, HostPort int }
		if err := c.get("portMappings", &mappings); err != nil {
			return nil, err
		}
		for _, m := range mappings {
			if m.HostPort != 0 && m.HostPort != m.ContainerPort {
				return nil, fmt.Errorf("container %q: portMappings: with awsvpc the hostPort %d has to be the containerPort %d", c.text("name"), m.HostPort, m.ContainerPort)
			}
			if m.ContainerPort != 0 && !slices.Contains(ports, m.ContainerPort) {
				ports = append(ports, m.ContainerPort)
			}
		}
	}
	return ports, nil
}

// check refuses what ECS or the mesh would refuse later.
func (d *decorator) check() error {
	for _, step := range []func() error{d.checkTask, d.checkServers, d.checkSecrets, d.checkContainers, d.checkPorts} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *decorator) checkTask() error {
	if mode := d.def.text("networkMode"); mode != "" && mode != "awsvpc" {
		return fmt.Errorf("networkMode: %q: tasks in the mesh need awsvpc", mode)
	}
	if d.LaunchType != fargate && d.LaunchType != ec2 {
		return fmt.Errorf("launch_type: %q is neither %s nor %s", d.LaunchType, fargate, ec2)
	}
	var platform struct{ OperatingSystemFamily string }
	if err := d.def.get("runtimePlatform", &platform); err != nil {
		return err
	}
	if os := platform.OperatingSystemFamily; os != "" && os != "LINUX" {
		return fmt.Errorf("runtimePlatform.operatingSystemFamily: %q: only LINUX works", os)
	}
	for _, r := range []struct{ key, setting, value string }{
		{"taskRoleArn", "task_role", d.TaskRole}, {"executionRoleArn", "execution_role", d.ExecutionRole},
	} {
		if r.value != "" && !roleARN.MatchString(r.value) {
			return fmt.Errorf("%s: %q is not the ARN of a role", r.setting, r.value)
		}
	}
	if d.loggingIn() && d.TaskRole == "" && d.def.text("taskRoleArn") == "" {
		return errors.New("task_role: required: the task logs in with it")
	}
	if d.LaunchType == fargate && (d.CPU == "" && !d.def.has("cpu") || d.Memory == "" && !d.def.has("memory")) {
		return errors.New("cpu, memory: Fargate requires both; the smallest that works is 256 and 512")
	}
	for _, v := range []struct{ setting, value string }{{"consul_image", d.ConsulImage}, {"consul_ecs_image", d.ConsulECSImage}} {
		if v.value == "" {
			return fmt.Errorf("%s: required", v.setting)
		}
	}
	if d.Datacenter != "" && !datacenter.MatchString(d.Datacenter) {
		return fmt.Errorf("datacenter: %q is not the name of one", d.Datacenter)
	}
	if d.Partition != "" {
		if err := tenancy.ValidatePartition(d.Partition); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
		if err := tenancy.ValidateNamespace(d.Namespace); err != nil {
			return fmt.Errorf("namespace: %w", err)
		}
	}
	var volumes []object
	if err := d.def.get("volumes", &volumes); err != nil {
		return err
	}
	for _, v := range volumes {
		if name := v.text("name"); name == dataVolume || name == binaryVolume {
			return fmt.Errorf("volumes: %q is the mesh's own and takes no settings", name)
		}
	}
	return nil
}

func (d *decorator) checkServers() error {
	if len(d.RetryJoin) == 0 {
		return errors.New("retry_join: required: the agent joins these servers")
	}
	for _, addr := range d.RetryJoin {
		if addr == "" || strings.ContainsAny(addr, "\n\r\"\\$`") {
			return fmt.Errorf("retry_join: %q is not an address", addr)
		}
	}
	if d.loggingIn() && d.ServerAddr == "" {
		return errors.New("server_addr: required: the task logs in there")
	}
	if d.ServerAddr != "" {
		u, err := url.Parse(d.ServerAddr)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("server_addr: %q is not a URL such as https://consul.internal:8501", d.ServerAddr)
		}
	}
	return nil
}

func (d *decorator) checkSecrets() error {
	any := false
	for _, s := range d.secrets() {
		if s.value == "" {
			continue
		}
		any = true
		if !secretName.MatchString(s.value) {
			return fmt.Errorf("%s: %q is neither the ARN of a secret nor the name of a parameter", s.setting, s.value)
		}
		if d.FollowSecrets && !strings.HasPrefix(s.value, "arn:") {
			return fmt.Errorf("%s: follow_secrets needs an ARN, not %q", s.setting, s.value)
		}
	}
	switch {
	case d.FollowSecrets && d.Script:
		return errors.New("follow_secrets: the script cannot follow secrets")
	case any && !d.FollowSecrets && d.ExecutionRole == "" && d.def.text("executionRoleArn") == "":
		return errors.New("execution_role: required: ECS reads the secrets with it")
	case d.FollowSecrets && d.TaskRole == "" && d.def.text("taskRoleArn") == "":
		return errors.New("task_role: required: the task reads its secrets with it")
	}
	return nil
}

func (d *decorator) checkContainers() error {
	if len(d.Apps) == 0 {
		return errors.New("apps: no container is the application")
	}
	for _, list := range []struct {
		setting string
		names   []string
	}{{"apps", d.Apps}, {"health_sync", d.HealthSync}} {
		for _, name := range list.names {
			i := slices.IndexFunc(d.containers, func(c object) bool { return c.text("name") == name })
			if i < 0 {
				return fmt.Errorf("%s: there is no container %q", list.setting, name)
			}
			if list.setting == "health_sync" && !d.containers[i].has("healthCheck") {
				return fmt.Errorf("health_sync: container %q has no healthCheck", name)
			}
		}
	}
	for _, c := range d.containers {
		stop := stopTimeout(c)
		if stop > maxStop {
			return fmt.Errorf("container %q: stopTimeout: %d is more than %d", c.text("name"), stop, maxStop)
		}
		if d.delay >= time.Duration(stop)*time.Second && slices.Contains(d.Apps, c.text("name")) {
			return fmt.Errorf("shutdown_delay: container %q is killed after %ds, before it is told to end: its stopTimeout has to be longer than %s (at most %d)", c.text("name"), stop, d.delay, maxStop)
		}
	}
	return nil
}

// checkPorts refuses ports that two would listen on.
func (d *decorator) checkPorts() error {
	taken := map[int]string{}
	for _, port := range reservedPorts {
		taken[port] = "the agent and Envoy"
	}
	claim := func(setting string, port int, who string) error {
		if port < 1 || port > 65535 {
			return fmt.Errorf("%s: %d is not a port", setting, port)
		}
		if other, clash := taken[port]; clash {
			return fmt.Errorf("%s: port %d belongs to %s", setting, port, other)
		}
		taken[port] = who
		return nil
	}
	ports, err := d.appPorts()
	if err != nil {
		return err
	}
	if *d.Port != 0 && !slices.Contains(ports, *d.Port) {
		ports = append(ports, *d.Port)
	}
	for _, port := range ports {
		if err := claim("port", port, "the application"); err != nil {
			return err
		}
	}
	if err := claim("public_listener_port", d.PublicPort, "the proxy's public listener"); err != nil {
		return err
	}
	for _, text := range d.Upstreams {
		u, err := parseUpstream(text)
		if err != nil {
			return err
		}
		if err := claim("upstreams", u.LocalBindPort, "upstream "+u.DestinationName); err != nil {
			return err
		}
	}
	return nil
}

// checkLimits are those of ECS, on the result.
func (d *decorator) checkLimits() error {
	var all []object
	if err := d.def.get("containerDefinitions", &all); err != nil {
		return err
	}
	if len(all) > maxContainers {
		return fmt.Errorf("containerDefinitions: %d containers, of which the mesh's are %d: ECS takes %d", len(all), len(all)-len(d.containers), maxContainers)
	}
	if size := len(rawJSON(d.def)); size > maxRegistered {
		return fmt.Errorf("the task definition has %d bytes: ECS takes %d", size, maxRegistered)
	}
	return nil
}

func (d *decorator) loggingIn() bool { return d.Login == nil || *d.Login }

// parseUpstream reads name[.namespace[.partition]]:port[:datacenter].
func parseUpstream(text string) (upstream, error) {
	wrong := fmt.Errorf("upstreams: %q is not name[.namespace[.partition]]:port[:datacenter]", text)
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return upstream{}, wrong
	}
	names := strings.Split(parts[0], ".")
	if len(names) > 3 || slices.Contains(names, "") {
		return upstream{}, wrong
	}
	port, err := strconv.Atoi(parts[1])
	if err != nil {
		return upstream{}, wrong
	}
	u := upstream{DestinationName: names[0], LocalBindPort: port}
	if len(names) > 1 {
		u.DestinationNamespace = names[1]
	}
	if len(names) > 2 {
		u.DestinationPartition = names[2]
	}
	if len(parts) > 2 {
		u.Datacenter = parts[2]
	}
	return u, nil
}
