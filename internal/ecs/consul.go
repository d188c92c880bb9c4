package ecs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// Files that the containers of a task share, in bootstrapDir (ecs.md section 6.2).
const (
	serviceTokenFile = "service-token"
	clientTokenFile  = "client-token"
	bootstrapFile    = "envoy-bootstrap.json"
	binaryFile       = "consul-ecs"
)

// agentClient is a client of the task's own agent, with the environment's
// settings. Without a token it sends what the environment has.
func agentClient(token logging.Secret) (*api.Client, error) {
	config := api.DefaultConfig()
	if token != "" {
		config.Token = token.Reveal()
	}
	return newClient(config)
}

// serverClient is a client of the servers that the configuration names, or of the agent if
// it names none.
func serverClient(c *ecsconfig.Config, token logging.Secret) (*api.Client, error) {
	config := api.DefaultConfig()
	config.Token, config.TokenFile = token.Reveal(), ""
	if c.ConsulHTTPAddr != "" {
		config.Address = c.ConsulHTTPAddr
	}
	if c.ConsulCACertFile != "" {
		config.TLSConfig.CAFile = c.ConsulCACertFile
	}
	if s := c.ConsulServers; s != nil {
		for _, name := range []string{s.Defaults.TLSServerName, s.HTTP.TLSServerName} {
			if name != "" {
				config.TLSConfig.Address = name
			}
		}
	}
	return newClient(config)
}

func newClient(config *api.Config) (*api.Client, error) {
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("constructing consul client: %w", err)
	}
	return client, nil
}

// readToken returns the secret in a file of the task, without the space around it.
func readToken(dir, name string) (logging.Secret, error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", errs.Errorf(errs.Invalid, "%s holds no token", filepath.Join(dir, name))
	}
	return logging.Secret(secret), nil
}
