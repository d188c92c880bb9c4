package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/ecsconfig"
)

// Names of what is added (spec: ecs.md section 10).
const (
	meshInit     = "consul-ecs-mesh-init"
	consulClient = "consul-client"
	sidecarProxy = "sidecar-proxy"
	healthSync   = "consul-ecs-health-sync"
	dataVolume   = "consul_data"
	binaryVolume = "consul_binary"
	dataDir      = "/consul"
	binaryDir    = "/bin/consul-inject"
	copiedBinary = dataDir + "/consul-ecs"
)

var (
	helperNames = []string{meshInit, consulClient, sidecarProxy, healthSync}
	taskTags    = []string{ecsconfig.TagMesh, ecsconfig.TagServiceName, ecsconfig.TagPartition, ecsconfig.TagNamespace}
	// readOnly are what describe-task-definition prints and register-task-definition refuses.
	readOnly = []string{
		"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt",
		"registeredBy", "deregisteredAt", "deleteRequestedAt",
	}
)

// decorator is one run: the definition and what is known about it so far.
type decorator struct {
	taskSettings
	def        object
	containers []object // the user's own
	delay      time.Duration
	notes      []string
}

// unwrap takes a definition out of what describe-task-definition prints.
func (d *decorator) unwrap() error {
	if d.def.has("taskDefinition") {
		var inner object
		if err := d.def.get("taskDefinition", &inner); err != nil {
			return err
		}
		if i := d.def.index("tags"); i >= 0 && !inner.has("tags") {
			inner.set("tags", d.def[i].value)
		}
		d.def = inner
	}
	d.def.remove(readOnly...)
	if d.def.text("family") == "" {
		return errors.New("family: required")
	}
	return d.def.get("containerDefinitions", &d.containers)
}

// undecorate removes what an earlier run has added.
func (d *decorator) undecorate() error {
	d.containers = slices.DeleteFunc(d.containers, func(c object) bool { return slices.Contains(helperNames, c.text("name")) })
	if len(d.containers) == 0 {
		return errors.New("containerDefinitions: no container of an application")
	}
	for i := range d.containers {
		c := &d.containers[i]
		if c.text("name") == "" {
			return fmt.Errorf("containerDefinitions[%d].name: required", i)
		}
		if err := without(c, "dependsOn", func(o object) bool { return slices.Contains(helperNames, o.text("containerName")) }); err != nil {
			return err
		}
		if err := withoutEntrypoint(c); err != nil {
			return err
		}
	}
	for _, name := range []string{dataVolume, binaryVolume} {
		if err := without(&d.def, "volumes", func(v object) bool { return v.text("name") == name && isEmptyVolume(v) }); err != nil {
			return err
		}
	}
	return without(&d.def, "tags", func(t object) bool { return slices.Contains(taskTags, t.text("key")) })
}

// without removes elements of the list at key, and the list if nothing is left of it.
func without(o *object, key string, unwanted func(object) bool) error {
	var list []object
	if err := o.get(key, &list); err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(list), unwanted)
	switch {
	case len(kept) == len(list):
	case len(kept) == 0:
		o.remove(key)
	default:
		o.set(key, kept)
	}
	return nil
}

// isEmptyVolume reports whether a volume is one that ECS makes for the task and removes with it.
func isEmptyVolume(v object) bool {
	return !slices.ContainsFunc(v, func(m member) bool {
		return m.key != "name" && string(m.value) != "null" && (m.key != "host" || string(m.value) != "{}")
	})
}

// withoutEntrypoint removes app-entrypoint from a container, and the mount that it needs.
func withoutEntrypoint(c *object) error {
	var entry []string
	if err := c.get("entryPoint", &entry); err != nil {
		return err
	}
	if len(entry) < 4 || !slices.Equal(entry[:3], appEntrypoint("")[:3]) {
		return nil
	}
	if entry = entry[4:]; len(entry) == 0 {
		c.remove("entryPoint")
	} else {
		c.set("entryPoint", entry)
	}
	return without(c, "mountPoints", func(m object) bool { return m.text("sourceVolume") == dataVolume })
}

func appEntrypoint(delay string) []string {
	return []string{copiedBinary, "app-entrypoint", "-shutdown-delay", delay}
}

// decorateTask gives the task what concerns all of its containers.
func (d *decorator) decorateTask() error {
	d.def.set("networkMode", "awsvpc")
	var types []string
	if err := d.def.get("requiresCompatibilities", &types); err != nil {
		return err
	}
	if !slices.Contains(types, d.LaunchType) {
		d.def.set("requiresCompatibilities", []string{d.LaunchType})
	}
	for _, s := range []struct{ key, value string }{
		{"taskRoleArn", d.TaskRole}, {"executionRoleArn", d.ExecutionRole}, {"cpu", d.CPU}, {"memory", d.Memory},
	} {
		if s.value != "" {
			d.def.set(s.key, s.value)
		}
	}
	if d.Arch != "" {
		var platform object
		if err := d.def.get("runtimePlatform", &platform); err != nil {
			return err
		}
		platform.set("cpuArchitecture", d.Arch)
		if !platform.has("operatingSystemFamily") {
			platform.set("operatingSystemFamily", "LINUX")
		}
		d.def.set("runtimePlatform", platform)
	}
	volumes := []any{map[string]string{"name": dataVolume}}
	if d.Script {
		volumes = append(volumes, map[string]string{"name": binaryVolume})
	}
	if err := appendTo(&d.def, "volumes", volumes...); err != nil {
		return err
	}
	return appendTo(&d.def, "tags", d.tags()...)
}

// appendTo adds to the list at key.
func appendTo(o *object, key string, values ...any) error {
	var list []json.RawMessage
	if err := o.get(key, &list); err != nil {
		return err
	}
	for _, v := range values {
		list = append(list, rawJSON(v))
	}
	o.set(key, list)
	return nil
}

func (d *decorator) tags() []any {
	type tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	list := []any{tag{ecsconfig.TagMesh, "true"}}
	if d.Service != d.def.text("family") {
		list = append(list, tag{ecsconfig.TagServiceName, d.Service})
	}
	if d.Partition != "" {
		list = append(list, tag{ecsconfig.TagPartition, d.Partition}, tag{ecsconfig.TagNamespace, d.Namespace})
	}
	return list
}

type dependency struct {
	ContainerName string `json:"containerName"`
	Condition     string `json:"condition"`
}

// decorateApps lets the application wait for its proxy and, with a delay, outlive SIGTERM.
func (d *decorator) decorateApps() error {
	for i := range d.containers {
		c := &d.containers[i]
		name := c.text("name")
		if !slices.Contains(d.Apps, name) {
			continue
		}
		if err := appendTo(c, "dependsOn", dependency{meshInit, "SUCCESS"}, dependency{sidecarProxy, "HEALTHY"}); err != nil {
			return err
		}
		if d.delay == 0 {
			continue
		}
		if err := d.delayShutdown(c, name); err != nil {
			return err
		}
	}
	return nil
}

func (d *decorator) delayShutdown(c *object, name string) error {
	var entry, command []string
	if err := errors.Join(c.get("entryPoint", &entry), c.get("command", &command)); err != nil {
		return err
	}
	if len(entry)+len(command) == 0 {
		return fmt.Errorf("shutdown_delay: container %q has neither entryPoint nor command: say what it runs, its image's own no longer counts", name)
	}
	if len(entry) == 0 {
		d.notes = append(d.notes, fmt.Sprintf("container %q has a command and no entryPoint: an ENTRYPOINT of its image no longer counts", name))
	}
	c.set("entryPoint", append(appEntrypoint(d.delay.String()), entry...))
	return appendTo(c, "mountPoints", mount{dataVolume, dataDir, true})
}

// stopTimeout is how long ECS waits for a container from SIGTERM to SIGKILL, in seconds.
func stopTimeout(c object) int {
	seconds := defaultStop
	if err := c.get("stopTimeout", &seconds); err != nil {
		return defaultStop
	}
	return seconds
}

// Seconds that ECS waits for a container to stop.
const (
	defaultStop = 30
	maxStop     = 120
)

// serviceName is what Consul makes of a task family.
func serviceName(family string) string { return strings.ToLower(family) }
