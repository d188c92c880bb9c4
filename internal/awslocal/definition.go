package awslocal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Conditions of a dependency between containers.
const (
	ConditionStart    = "START"    // has started
	ConditionComplete = "COMPLETE" // has ended
	ConditionSuccess  = "SUCCESS"  // has ended with exit code 0
	ConditionHealthy  = "HEALTHY"  // is healthy
)

const (
	maxDefinition     = 64 << 10
	maxContainers     = 10 // of a task definition on Fargate and EC2
	maxStopTimeout    = 120
	maxHealthInterval = 300
)

// TaskDefinition is a task definition as aws ecs register-task-definition takes it in its JSON: the part
// of it that matters to who runs the containers.
type TaskDefinition struct {
	Family                  string                `json:"family"`
	TaskRoleARN             string                `json:"taskRoleArn"`
	ExecutionRoleARN        string                `json:"executionRoleArn"`
	NetworkMode             string                `json:"networkMode"`
	RequiresCompatibilities []string              `json:"requiresCompatibilities"`
	CPU                     string                `json:"cpu"`
	Memory                  string                `json:"memory"`
	Containers              []ContainerDefinition `json:"containerDefinitions"`
	Volumes                 []Volume              `json:"volumes"`
	Tags                    []keyValue            `json:"tags"`

	document map[string]json.RawMessage
}

// ContainerDefinition is one container of a TaskDefinition.
type ContainerDefinition struct {
	Name             string       `json:"name"`
	Image            string       `json:"image"`
	Essential        *bool        `json:"essential"` // true when absent
	EntryPoint       []string     `json:"entryPoint"`
	Command          []string     `json:"command"`
	WorkingDirectory string       `json:"workingDirectory"`
	Environment      []nameValue  `json:"environment"`
	Secrets          []Secret     `json:"secrets"`
	DependsOn        []Dependency `json:"dependsOn"`
	HealthCheck      *HealthCheck `json:"healthCheck"`
	MountPoints      []MountPoint `json:"mountPoints"`
	StartTimeout     *int         `json:"startTimeout"` // seconds for the dependencies to come true; as long as it takes when absent
	StopTimeout      *int         `json:"stopTimeout"`  // seconds from SIGTERM to SIGKILL; 30 when absent
}

// Secret is an environment variable whose value is a secret.
type Secret struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

// Dependency is on another container of the task.
type Dependency struct {
	Container string `json:"containerName"`
	Condition string `json:"condition"`
}

// HealthCheck is a command that says by its exit code whether a container is healthy. The command begins
// with CMD, or with CMD-SHELL and has one line for /bin/sh; without either it is taken as after CMD.
type HealthCheck struct {
	Command     []string `json:"command"`
	Interval    int      `json:"interval"`    // seconds; 30 when zero
	Timeout     int      `json:"timeout"`     // seconds; 5 when zero
	Retries     int      `json:"retries"`     // failures in a row that make it unhealthy; 3 when zero
	StartPeriod int      `json:"startPeriod"` // seconds after the start in which failures do not count
}

// MountPoint is a volume in a container.
type MountPoint struct {
	Volume   string `json:"sourceVolume"`
	Path     string `json:"containerPath"`
	ReadOnly bool   `json:"readOnly"`
}

// Volume is a directory of a task that containers can share. Without Host.SourcePath it is empty at the
// task's start.
type Volume struct {
	Name string `json:"name"`
	Host struct {
		SourcePath string `json:"sourcePath"`
	} `json:"host"`
}

// Names of all parameters of RegisterTaskDefinition and of a container definition: others are mistakes.
var (
	definitionKeys = strings.Fields(`family taskRoleArn executionRoleArn networkMode containerDefinitions volumes
		placementConstraints requiresCompatibilities cpu memory tags pidMode ipcMode proxyConfiguration
		inferenceAccelerators ephemeralStorage runtimePlatform enableFaultInjection`)
	containerKeys = strings.Fields(`name image repositoryCredentials cpu memory memoryReservation links portMappings
		essential restartPolicy entryPoint command environment environmentFiles mountPoints volumesFrom linuxParameters
		secrets dependsOn startTimeout stopTimeout versionConsistency hostname user workingDirectory disableNetworking
		privileged readonlyRootFilesystem dnsServers dnsSearchDomains extraHosts dockerSecurityOptions interactive
		pseudoTerminal dockerLabels ulimits logConfiguration healthCheck systemControls resourceRequirements
		firelensConfiguration credentialSpecs`)
)

// ParseTaskDefinition reads the JSON that aws ecs register-task-definition takes, of at most 64 KiB, and
// checks it as ECS does.
func ParseTaskDefinition(data []byte) (*TaskDefinition, error) {
	if len(data) > maxDefinition {
		return nil, fmt.Errorf("task definition is larger than %d bytes", maxDefinition)
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(data)), "", 0); err != nil {
		return nil, fmt.Errorf("task definition: %w", err)
	}
	var d TaskDefinition
	var raw struct {
		Containers []map[string]json.RawMessage `json:"containerDefinitions"`
	}
	err := errors.Join(json.Unmarshal(data, &d.document), json.Unmarshal(data, &raw), json.Unmarshal(data, &d))
	if err != nil {
		return nil, fmt.Errorf("task definition: %w", err)
	}
	if err := knownKeys("", d.document, definitionKeys); err != nil {
		return nil, err
	}
	for i, c := range raw.Containers {
		if err := knownKeys(fmt.Sprintf("containerDefinitions[%d].", i), c, containerKeys); err != nil {
			return nil, err
		}
	}
	return &d, d.validate()
}

func knownKeys(at string, m map[string]json.RawMessage, known []string) error {
	for _, key := range sortedKeys(m) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("task definition: Unknown parameter in input: \"%s%s\", must be one of: %s", at, key, strings.Join(known, ", "))
		}
	}
	return nil
}

// IsEssential says whether the task ends with the container.
func (c *ContainerDefinition) IsEssential() bool { return c.Essential == nil || *c.Essential }

func (d *TaskDefinition) validate() error {
	if !ecsNamePattern.MatchString(d.Family) {
		return fmt.Errorf("task definition: family %q is not 1 to 255 letters, digits, '-' or '_'", d.Family)
	}
	if n := len(d.Containers); n == 0 || n > maxContainers {
		return fmt.Errorf("task definition: %d containers, it should be 1 to %d", n, maxContainers)
	}
	if err := d.validateCompatibility(); err != nil {
		return fmt.Errorf("task definition: %w", err)
	}
	volumes := map[string]bool{}
	for _, v := range d.Volumes {
		if !ecsNamePattern.MatchString(v.Name) || volumes[v.Name] {
			return fmt.Errorf("task definition: volume %q is no name or is there twice", v.Name)
		}
		volumes[v.Name] = true
	}
	names := map[string]*ContainerDefinition{}
	for i := range d.Containers {
		c := &d.Containers[i]
		if names[c.Name] != nil {
			return fmt.Errorf("task definition: container %q is there twice", c.Name)
		}
		names[c.Name] = c
		if err := c.validate(volumes); err != nil {
			return fmt.Errorf("task definition: container %q: %w", c.Name, err)
		}
		if len(c.Secrets) > 0 && d.ExecutionRoleARN == "" {
			return fmt.Errorf("task definition: When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
		}
	}
	if !slices.ContainsFunc(d.Containers, func(c ContainerDefinition) bool { return c.IsEssential() }) {
		return errors.New("task definition: at least one container must be essential")
	}
	return d.validateDependencies(names)
}

func (d *TaskDefinition) validateCompatibility() error {
	if !slices.Contains([]string{"", "awsvpc", "bridge", "host", "none"}, d.NetworkMode) {
		return fmt.Errorf("networkMode %q is none of awsvpc, bridge, host, none", d.NetworkMode)
	}
	for _, c := range d.RequiresCompatibilities {
		switch {
		case c != fargate && c != ec2 && c != "EXTERNAL":
			return fmt.Errorf("requiresCompatibilities %q is none of EC2, FARGATE, EXTERNAL", c)
		case c == fargate && d.NetworkMode != "awsvpc":
			return errors.New("Fargate only supports network mode ‘awsvpc’.")
		case c == fargate && (d.CPU == "" || d.Memory == ""):
			return errors.New("Fargate requires task definition to have cpu and memory")
		}
	}
	return nil
}

func (c *ContainerDefinition) validate(volumes map[string]bool) error {
	if !ecsNamePattern.MatchString(c.Name) {
		return errors.New("its name is not 1 to 255 letters, digits, '-' or '_'")
	}
	if c.Image == "" {
		return errors.New("Container.image should not be null or empty.")
	}
	for _, m := range c.MountPoints {
		if !volumes[m.Volume] {
			return fmt.Errorf("mount point of %q: no volume has that name", m.Volume)
		}
		if !strings.HasPrefix(m.Path, "/") {
			return fmt.Errorf("mount point of %q: containerPath %q is not absolute", m.Volume, m.Path)
		}
	}
	seen := map[string]bool{}
	for _, name := range c.variables() {
		if name == "" || strings.ContainsAny(name, "=\x00") || seen[name] {
			return fmt.Errorf("the environment variable %q is no name or is there twice", name)
		}
		seen[name] = true
	}
	for _, s := range c.Secrets {
		if s.ValueFrom == "" {
			return fmt.Errorf("secret %q has no valueFrom", s.Name)
		}
	}
	if t := c.StopTimeout; t != nil && (*t < 0 || *t > maxStopTimeout) {
		return fmt.Errorf("stopTimeout %d is not 0 to %d", *t, maxStopTimeout)
	}
	if t := c.StartTimeout; t != nil && *t < 2 {
		return fmt.Errorf("startTimeout %d is below 2", *t)
	}
	if c.HealthCheck != nil {
		return c.HealthCheck.validate()
	}
	return nil
}

// variables are the names of all that are set.
func (c *ContainerDefinition) variables() []string {
	var names []string
	for _, v := range c.Environment {
		names = append(names, v.Name)
	}
	for _, v := range c.Secrets {
		names = append(names, v.Name)
	}
	return names
}

func (h *HealthCheck) validate() error {
	within := func(n, least, most int) bool { return n == 0 || n >= least && n <= most }
	switch {
	case len(h.Command) == 0 || h.Command[0] == "":
		return errors.New("healthCheck: the command is empty")
	case h.Command[0] == "CMD" && len(h.Command) < 2, h.Command[0] == "CMD-SHELL" && len(h.Command) != 2:
		return fmt.Errorf("healthCheck: %q is not CMD and a command, or CMD-SHELL and one line", h.Command)
	case !within(h.Interval, 5, maxHealthInterval):
		return fmt.Errorf("healthCheck: interval %d is not 5 to %d", h.Interval, maxHealthInterval)
	case !within(h.Timeout, 2, 60):
		return fmt.Errorf("healthCheck: timeout %d is not 2 to 60", h.Timeout)
	case !within(h.Retries, 1, 10):
		return fmt.Errorf("healthCheck: retries %d is not 1 to 10", h.Retries)
	case !within(h.StartPeriod, 0, 300):
		return fmt.Errorf("healthCheck: startPeriod %d is not 0 to 300", h.StartPeriod)
	}
	return nil
}

// validateDependencies checks that every dependency can come true.
func (d *TaskDefinition) validateDependencies(names map[string]*ContainerDefinition) error {
	for _, c := range d.Containers {
		for _, dep := range c.DependsOn {
			on := names[dep.Container]
			at := fmt.Sprintf("task definition: container %q depends on %q", c.Name, dep.Container)
			switch {
			case on == nil:
				return fmt.Errorf("%s, which is not there", at)
			case !slices.Contains([]string{ConditionStart, ConditionComplete, ConditionSuccess, ConditionHealthy}, dep.Condition):
				return fmt.Errorf("%s with condition %q, which is none of START, COMPLETE, SUCCESS, HEALTHY", at, dep.Condition)
			case dep.Condition == ConditionHealthy && on.HealthCheck == nil:
				return fmt.Errorf("%s to be HEALTHY, which has no healthCheck", at)
			case (dep.Condition == ConditionSuccess || dep.Condition == ConditionComplete) && on.IsEssential():
				return fmt.Errorf("%s with condition %s, which is essential", at, dep.Condition)
			}
		}
	}
	done := map[string]bool{}
	for round := 0; len(done) < len(d.Containers); round++ {
		if round == len(d.Containers) {
			return errors.New("task definition: containers depend on each other in a circle")
		}
		for _, c := range d.Containers {
			if !slices.ContainsFunc(c.DependsOn, func(dep Dependency) bool { return !done[dep.Container] }) {
				done[c.Name] = true
			}
		}
	}
	return nil
}
