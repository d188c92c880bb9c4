package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/local"
)

// Services reads the text of a file that defines services and nothing else. format is
// "hcl" or "json"; empty is told by the extension of name, and is HCL without one, which
// includes JSON.
func Services(name, format string, text []byte) ([]local.ServiceDefinition, error) {
	if format == "" {
		format = formatOf(name)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("failed to parse %s: the file is larger than %d bytes", name, maxFileBytes)
	}
	given, _, err := parse(name, format, text)
	if err != nil {
		return nil, err
	}
	var all []local.ServiceDefinition
	var wrong problems
	for _, key := range slices.Sorted(maps.Keys(given)) {
		s := given[key]
		if s.field.defines != serviceType {
			wrong.add("invalid config key %s", key)
			continue
		}
		all = appendDefined(all, s.value)
	}
	if err := wrong.err(); err != nil {
		return nil, fmt.Errorf("failed to parse %s: %w", name, err)
	}
	return all, nil
}

// checkServices finds what is wrong with services and checks by themselves. The agent finds the
// rest when it starts, as it does for those of the API.
func checkServices(c *daemon.Config) error {
	if p := c.SidecarPorts; p.Min > p.Max {
		return fmt.Errorf("ports.sidecar_min_port: %d is above ports.sidecar_max_port: %d", p.Min, p.Max)
	}
	if p := c.ExposePorts; p.Min > p.Max {
		return fmt.Errorf("ports.expose_min_port: %d is above ports.expose_max_port: %d", p.Min, p.Max)
	}
	seen := map[string]bool{}
	for i, s := range c.Services {
		if s.Name == "" {
			return fmt.Errorf("service %d: Missing service name", i+1)
		}
		id := cmp.Or(s.ID, s.Name)
		key := s.Namespace + "/" + id
		if seen[key] {
			return fmt.Errorf("service %q is defined twice", id)
		}
		seen[key] = true
		checks := slices.Clone(s.Checks)
		if s.Check != nil {
			checks = append(checks, *s.Check)
		}
		for _, d := range checks {
			d.Name = cmp.Or(d.Name, s.Name) // the agent finds one
			if err := d.Validate(); err != nil {
				return fmt.Errorf("service %q: %w", id, err)
			}
		}
	}
	return checkChecks(c.Checks)
}

func checkChecks(checks []check.Definition) error {
	seen := map[string]bool{}
	for i, d := range checks {
		id := cmp.Or(d.CheckID, d.Name)
		if err := d.Validate(); err != nil && id == "" {
			return fmt.Errorf("check %d: %w", i+1, err)
		} else if err != nil {
			return fmt.Errorf("check %q: %w", id, err)
		}
		key := d.Namespace + "/" + id
		if seen[key] {
			return fmt.Errorf("check %q is defined twice", id)
		}
		seen[key] = true
	}
	return nil
}
