package cli

import (
	"cmp"
	"context"
	"flag"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	dialTimeout = 30 * time.Second
	// answerTimeout bounds the wait for the first byte of an answer. It is far
	// above what an election takes.
	answerTimeout = 90 * time.Second
)

// conn is how a command reaches the API: the flags that say where and as whom.
// Zero values mean the environment, and then the default.
type conn struct {
	addr, token, tokenFile                      string
	caFile, caPath, clientCert, clientKey, name string
	datacenter                                  string
	stale                                       bool
	namespace, partition                        string

	answer time.Duration // how long the first byte of an answer may take; 0 is answerTimeout
}

// connectionFlags are the names that the usage shows apart from a command's own.
var connectionFlags = map[string]bool{
	"http-addr": true, "token": true, "token-file": true, "ca-file": true, "ca-path": true,
	"client-cert": true, "client-key": true, "tls-server-name": true, "datacenter": true, "stale": true,
	"namespace": true, "partition": true,
}

// client registers the flags of every command that talks to an agent.
func (c *conn) client(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "http-addr", "", "`address` of the agent or server: host:port, http://, https:// or unix:///path; "+
		"also CONSUL_HTTP_ADDR (default http://127.0.0.1:8500)")
	fs.StringVar(&c.token, "token", "", "ACL token's `secret`; also CONSUL_HTTP_TOKEN")
	fs.StringVar(&c.tokenFile, "token-file", "", "`file` that holds the ACL token's secret, before -token; also CONSUL_HTTP_TOKEN_FILE")
	fs.StringVar(&c.caFile, "ca-file", "", "PEM `file` of the CA that signed the server's certificate; also CONSUL_CACERT")
	fs.StringVar(&c.caPath, "ca-path", "", "`directory` of such files; also CONSUL_CAPATH")
	fs.StringVar(&c.clientCert, "client-cert", "", "PEM `file` of the client certificate to show; also CONSUL_CLIENT_CERT")
	fs.StringVar(&c.clientKey, "client-key", "", "PEM `file` of its key; also CONSUL_CLIENT_KEY")
	fs.StringVar(&c.name, "tls-server-name", "", "`name` that the server's certificate must carry; also CONSUL_TLS_SERVER_NAME")
}

// server registers the flags of commands that a server answers.
func (c *conn) server(fs *flag.FlagSet) {
	c.client(fs)
	fs.StringVar(&c.datacenter, "datacenter", "", "`name` of the datacenter to ask; the agent's own if empty")
	fs.BoolVar(&c.stale, "stale", false, "let any server answer a read, not only one that is up to date with the leader")
}

// tenancy registers -namespace and -partition.
func (c *conn) tenancy(fs *flag.FlagSet) {
	fs.StringVar(&c.namespace, "namespace", "", "`namespace` to work in; also CONSUL_NAMESPACE")
	c.tenancyPartition(fs)
}

// tenancyPartition registers -partition alone.
func (c *conn) tenancyPartition(fs *flag.FlagSet) {
	fs.StringVar(&c.partition, "partition", "", "admin `partition` to work in; also CONSUL_PARTITION")
}

// open returns a client for the API. It opens no connection yet.
func (c *conn) open(env *Env) (*api.Client, error) {
	config, err := c.config(env)
	if err != nil {
		return nil, complain("Error connecting to Consul agent: %w", err)
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, complain("Error connecting to Consul agent: %w", err)
	}
	return client, nil
}

func (c *conn) config(env *Env) (*api.Config, error) {
	or := func(flag, name, otherwise string) string {
		if flag != "" {
			return flag
		}
		if v := env.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	token, err := c.secret(env)
	if err != nil {
		return nil, err
	}
	config := &api.Config{
		Address:    strings.TrimSuffix(or(c.addr, api.HTTPAddrEnvName, "127.0.0.1:8500"), "/"),
		Scheme:     "http",
		Datacenter: c.datacenter,
		Token:      token,
		TokenFile:  c.tokenFile,
		Namespace:  or(c.namespace, api.HTTPNamespaceEnvName, ""),
		Partition:  or(c.partition, api.HTTPPartitionEnvName, ""),
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: cmp.Or(c.answer, answerTimeout),
		},
		TLSConfig: api.TLSConfig{
			Address:  or(c.name, api.HTTPTLSServerName, ""),
			CAFile:   or(c.caFile, api.HTTPCAFile, ""),
			CAPath:   or(c.caPath, api.HTTPCAPath, ""),
			CertFile: or(c.clientCert, api.HTTPClientCert, ""),
			KeyFile:  or(c.clientKey, api.HTTPClientKey, ""),
		},
	}
	// The client warns about a value that is not a bool.
	if on, err := strconv.ParseBool(env.Getenv(api.HTTPSSLEnvName)); err == nil && on {
		config.Scheme = "https"
	}
	if verify := env.Getenv(api.HTTPSSLVerifyEnvName); verify != "" {
		on, err := strconv.ParseBool(verify)
		if err != nil {
			// The client would take it for false and verify nothing.
			return nil, complain("%s is neither true nor false: %q", api.HTTPSSLVerifyEnvName, verify)
		}
		config.TLSConfig.InsecureSkipVerify = !on
	}
	if auth := env.Getenv(api.HTTPAuthEnvName); auth != "" {
		user, password, _ := strings.Cut(auth, ":")
		config.HttpAuth = &api.HttpBasicAuth{Username: user, Password: password}
	}
	return config, nil
}

// secret returns the token to send: the first that is not empty of -token-file,
// -token, CONSUL_HTTP_TOKEN_FILE and CONSUL_HTTP_TOKEN.
func (c *conn) secret(env *Env) (string, error) {
	read := func(file string) (string, error) {
		if file == "" {
			return "", nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return "", complain("Error loading token file %s : %w", file, err)
		}
		return strings.TrimSpace(string(data)), nil
	}
	if token, err := read(c.tokenFile); err != nil || token != "" {
		return token, err
	}
	if c.token != "" {
		return c.token, nil
	}
	if token, err := read(env.Getenv(api.HTTPTokenFileEnvName)); err != nil || token != "" {
		return token, err
	}
	return env.Getenv(api.HTTPTokenEnvName), nil
}

// read returns the options of a read.
func (c *conn) read(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{AllowStale: c.stale}).WithContext(ctx)
}

// write returns the options of a write.
func (c *conn) write(ctx context.Context) *api.WriteOptions {
	return (&api.WriteOptions{}).WithContext(ctx)
}
