// Package operator is what lictor adds to the two commands that it contains: it sets a cluster
// up for ECS, writes task definitions, and finds out what is wrong.
package operator

import (
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// conn are the flags that say where the servers are. What is not given comes from the
// environment (CONSUL_HTTP_ADDR and so on), as for consul.
type conn struct{ addr, token, tokenFile, caFile, serverName string }

func (c *conn) register(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "http-addr", "", "`address` of the servers' API; also CONSUL_HTTP_ADDR")
	fs.StringVar(&c.token, "token", "", "`secret` of the token to use; also CONSUL_HTTP_TOKEN")
	fs.StringVar(&c.tokenFile, "token-file", "", "`file` with the secret of the token to use; also CONSUL_HTTP_TOKEN_FILE")
	fs.StringVar(&c.caFile, "ca-file", "", "`file` with the CA certificate of the API; also CONSUL_CACERT")
	fs.StringVar(&c.serverName, "tls-server-name", "", "`name` to find in the API's certificate; also CONSUL_TLS_SERVER_NAME")
}

// over lets the flags count before what config has.
func (c *conn) over(config *api.Config) {
	if c.addr != "" {
		config.Address = c.addr
	}
	if c.token != "" || c.tokenFile != "" {
		config.Token, config.TokenFile = c.token, c.tokenFile
	}
	if c.caFile != "" {
		config.TLSConfig.CAFile = c.caFile
	}
	if c.serverName != "" {
		config.TLSConfig.Address = c.serverName
	}
}

func (c *conn) open() (*api.Client, error) {
	config := api.DefaultConfig()
	c.over(config)
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the servers: %w", err)
	}
	return client, nil
}
