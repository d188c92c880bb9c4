package config

import (
	"reflect"

	"github.com/lictor/lictor/internal/local"
)

var (
	serviceType = reflect.TypeFor[local.ServiceDefinition]()
	watchType   = reflect.TypeFor[watchBlock]()
)

var serviceFields = []field{
	{key: "service", kind: objects, defines: serviceType, into: func(c *conf) any { return &c.Services },
		note: "A service of this agent, as `consul services register` takes it. May be repeated."},
	{key: "services", kind: objects, defines: serviceType, into: func(c *conf) any { return &c.Services },
		note: "Several of them."},
	{key: "check", kind: objects, defines: checkType, into: func(c *conf) any { return &c.Checks },
		note: "A check of this node, or of the service whose ID is its service_id. May be repeated."},
	{key: "checks", kind: objects, defines: checkType, into: func(c *conf) any { return &c.Checks },
		note: "Several of them."},
	{key: "watches", kind: objects, defines: watchType, into: func(c *conf) any { return &c.Watches },
		note: "What the agent follows, and the command (args) or the HTTP server (handler_type, http_handler_config) that is told of changes."},
	{key: "enable_script_checks", flag: "enable-script-checks", kind: boolean, def: "false", into: func(c *conf) any { return &c.EnableScripts },
		note: "Checks may run programs, also those that are registered over the API."},
	{key: "enable_local_script_checks", flag: "enable-local-script-checks", kind: boolean, def: "false", into: func(c *conf) any { return &c.EnableLocalScripts },
		note: "Checks of configuration files may run programs."},
	{key: "check_update_interval", kind: duration, def: "5m", into: func(c *conf) any { return &c.CheckUpdates },
		note: "How long news of a check's output may wait while its status stays; 0s is not at all."},
	{key: "check_output_max_size", flag: "check_output_max_size", kind: integer, def: "4096", into: func(c *conf) any { return &c.CheckOutputMax },
		note: "`Bytes` of a check's output that are kept."},
	{key: "discard_check_output", kind: boolean, def: "false", into: func(c *conf) any { return &c.DiscardCheckOutput },
		note: "Keep nothing of what checks print."},
	{key: "ports.sidecar_min_port", kind: integer, def: "21000", into: func(c *conf) any { return &c.SidecarPorts.Min },
		note: "First port for sidecars that are registered without one."},
	{key: "ports.sidecar_max_port", kind: integer, def: "21255", into: func(c *conf) any { return &c.SidecarPorts.Max },
		note: "Last of them."},
	{key: "ports.expose_min_port", kind: integer, def: "21500", into: func(c *conf) any { return &c.ExposePorts.Min },
		note: "First port on which sidecars with Expose.Checks take health checks of their service."},
	{key: "ports.expose_max_port", kind: integer, def: "21755", into: func(c *conf) any { return &c.ExposePorts.Max },
		note: "Last of them."},
}
