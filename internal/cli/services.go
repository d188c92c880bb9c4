package cli

import (
	"strings"

	"github.com/lictor/lictor/internal/config"
	"github.com/lictor/lictor/internal/local"
)

// services is the group of what is registered with the agent.
func services() *Command {
	return &Command{
		Name: "services", Short: "Register services with the agent, deregister them, and export them",
		Sub: []*Command{servicesDeregister(), servicesExport(), servicesExported(), servicesRegister()},
	}
}

// serviceFiles returns the services that files define, in order; "-" is standard input.
func serviceFiles(env *Env, paths []string) ([]local.ServiceDefinition, error) {
	var all []local.ServiceDefinition
	for _, path := range paths {
		text, err := loadFile(env, path)
		if err != nil {
			return nil, complain("Failed to load data: %w", err)
		}
		some, err := config.Services(path, "", []byte(text))
		if err != nil {
			return nil, err
		}
		for i := range some {
			if some[i].Name == "" {
				return nil, complain("failed to parse %s: a service has no name", path)
			}
		}
		all = append(all, some...)
	}
	if len(paths) > 0 && len(all) == 0 {
		return nil, complain("No service is defined in %s", strings.Join(paths, ", "))
	}
	return all, nil
}
