package dev

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/freeport"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/uuid"
)

const certificateLife = 30 * 24 * time.Hour

// start brings up the local AWS and the servers.
func (w *world) start(ctx context.Context) error {
	var err error
	if w.tools, err = newTools(w.file("bin")); err != nil {
		return err
	}
	if err := w.planServers(); err != nil {
		return err
	}
	title := "three servers form a cluster"
	switch len(w.servers) {
	case 1:
		title = "one server"
	case 5:
		title = "five servers form a cluster"
	}
	w.report.section("Local AWS and servers")
	return w.report.do(ctx,
		step{"local AWS: STS, IAM, task credentials", w.startAWS},
		step{"CA, server certificates, gossip key", w.makeSecrets},
		step{title, w.startServers},
	)
}

// startAWS starts the local AWS, which tasks need until they have ended.
func (w *world) startAWS(ctx context.Context) (string, error) {
	var err error
	if w.aws, err = awslocal.New(awslocal.Demo(), awslocal.Options{}); err != nil {
		return "", err
	}
	if err := w.aws.Start(context.WithoutCancel(ctx), "127.0.0.1:0"); err != nil {
		return "", err
	}
	return w.aws.URL() + ", signatures checked", nil
}

// makeSecrets makes what an operator makes with consul tls and consul keygen.
func (w *world) makeSecrets(context.Context) (string, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	w.gossipKey = logging.Secret(base64.StdEncoding.EncodeToString(key[:]))
	w.management = logging.Secret(uuid.New())
	now := time.Now()
	authority, err := ca.NewAgentCA(now, certificateLife)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(w.caFile(), authority.Cert, 0o644); err != nil {
		return "", err
	}
	for _, n := range w.servers {
		pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul", Node: n.name}, now, certificateLife)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(w.file(n.name+".pem"), pair.Cert, 0o644); err != nil {
			return "", err
		}
		if err := os.WriteFile(w.file(n.name+"-key.pem"), []byte(pair.Key.Reveal()), 0o600); err != nil {
			return "", err
		}
	}
	return "server.dc1.consul, 256 bits", nil
}

// node is one agent of the cluster and the ports that it has.
type node struct {
	name                      string
	http, https, server, serf int
	grpcTLS                   int
	process                   *agent
}

// planServers chooses names and ports. The first server has the usual ones of the API.
func (w *world) planServers() error {
	count := w.opts.Servers
	switch count {
	case 0:
		count = 3
	case 1, 3, 5:
	default:
		return fmt.Errorf("-servers: a cluster has 1, 3 or 5 servers, not %d", count)
	}
	for i := range count {
		ports, err := freeport.Take(5)
		if err != nil {
			return err
		}
		w.servers = append(w.servers, &node{
			name: fmt.Sprintf("server-%d", i+1), http: ports[0], https: ports[1], server: ports[2], serf: ports[3], grpcTLS: ports[4],
		})
	}
	first := w.servers[0]
	first.http = choosePort(w.opts.HTTPPort, 8500, first.http, w.opts.Once)
	first.https = choosePort(w.opts.HTTPSPort, 8501, first.https, w.opts.Once)
	return nil
}

const serverConfig = `server           = true
bootstrap_expect = %[1]d
node_name        = %[2]q
data_dir         = %[3]q
bind_addr        = "127.0.0.1"
retry_join       = [%[4]s]
retry_interval   = "1s"
encrypt          = %[5]q
performance { raft_multiplier = 3 } # all on one machine
ports {
  http     = %[6]d
  https    = %[7]d
  server   = %[8]d
  serf_lan = %[9]d
  grpc_tls = %[14]d
}
tls {
  defaults {
    ca_file         = %[10]q
    cert_file       = %[11]q
    key_file        = %[12]q
    verify_outgoing = true
  }
  internal_rpc {
    verify_incoming        = true
    verify_server_hostname = true
  }
}
auto_encrypt {
  allow_tls = true
}
acl {
  enabled        = true
  default_policy = "deny"
  tokens {
    initial_management = %[13]q
  }
}
`

// startServers starts all servers at once and waits until each of them answers.
func (w *world) startServers(ctx context.Context) (string, error) {
	failed := make(chan error, len(w.servers))
	for _, n := range w.servers {
		config := fmt.Sprintf(serverConfig, len(w.servers), n.name, w.file("data-"+n.name), w.joinAddrs(), w.gossipKey.Reveal(),
			n.http, n.https, n.server, n.serf,
			w.caFile(), w.file(n.name+".pem"), w.file(n.name+"-key.pem"), w.management.Reveal(), n.grpcTLS)
		path := w.file(n.name + ".hcl")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return "", err
		}
		go func() {
			var err error
			n.process, err = w.tools.startAgent(ctx, w.logOf(n), w.awsEndpoints(), "-config-file", path)
			failed <- err
		}()
	}
	var err error
	for range w.servers {
		if e := <-failed; e != nil {
			err = e
		}
	}
	if err != nil {
		return "", err
	}
	return "mutual TLS, encrypted gossip, default deny; https://" + w.https(), nil
}

// joinAddrs are the entries of retry_join.
func (w *world) joinAddrs() string {
	var addrs []string
	for _, n := range w.servers {
		addrs = append(addrs, strconv.Quote(loopback(n.serf)))
	}
	return strings.Join(addrs, ", ")
}

// awsEndpoints point the AWS SDK, and a server's AWS calls, at the local AWS.
func (w *world) awsEndpoints() []string {
	return []string{"AWS_ENDPOINT_URL_STS=" + w.aws.URL(), "AWS_ENDPOINT_URL_IAM=" + w.aws.URL()}
}

// https is where the person who runs the cluster, and tasks, find it.
func (w *world) https() string { return loopback(w.servers[0].https) }

// operator is the environment of the person who runs the cluster.
func (w *world) operator() []string {
	return []string{
		"CONSUL_HTTP_ADDR=https://" + w.https(),
		"CONSUL_CACERT=" + w.caFile(),
		"CONSUL_HTTP_TOKEN=" + w.management.Reveal(),
	}
}

// choosePort returns the port asked for, or the usual one if it is free and
// wanted, or the other.
func choosePort(asked, usual, other int, anyFree bool) int {
	if asked != 0 {
		return asked
	}
	if anyFree {
		return other
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(usual)))
	if err != nil {
		return other
	}
	_ = l.Close()
	return usual
}

// field returns the value behind "label:" in a command's output.
func field(output, label string) (string, error) {
	for line := range strings.Lines(output) {
		if rest, ok := strings.CutPrefix(line, label+":"); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("the output has no %q:\n%s", label, output)
}
