package dev

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/uuid"
)

const certificateLife = 30 * 24 * time.Hour

// start brings up the local AWS and the server.
func (w *world) start(ctx context.Context) error {
	var err error
	if w.tools, err = newTools(w.file("bin")); err != nil {
		return err
	}
	w.report.section("Local AWS and server")
	return w.report.do(ctx,
		step{"local AWS: STS, IAM, task credentials", w.startAWS},
		step{"CA and server certificate", w.makeCertificates},
		step{"consul agent: one server, default deny", w.startServer},
	)
}

func (w *world) startAWS(ctx context.Context) (string, error) {
	var err error
	if w.aws, err = awslocal.New(awslocal.Demo(), awslocal.Options{}); err != nil {
		return "", err
	}
	if err := w.aws.Start(ctx, "127.0.0.1:0"); err != nil {
		return "", err
	}
	return w.aws.URL() + ", signatures checked", nil
}

func (w *world) makeCertificates(context.Context) (string, error) {
	now := time.Now()
	authority, err := ca.NewAgentCA(now, certificateLife)
	if err != nil {
		return "", err
	}
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, now, certificateLife)
	if err != nil {
		return "", err
	}
	files := []struct {
		path    string
		content []byte
		mode    os.FileMode
	}{
		{w.caFile(), authority.Cert, 0o644},
		{w.file("server.pem"), pair.Cert, 0o644},
		{w.file("server-key.pem"), []byte(pair.Key.Reveal()), 0o600},
	}
	for _, f := range files {
		if err := os.WriteFile(f.path, f.content, f.mode); err != nil {
			return "", err
		}
	}
	return "server.dc1.consul, localhost, 127.0.0.1", nil
}

const serverConfig = `server    = true
bootstrap = true
node_name = "lictor-dev"
data_dir  = %[1]q
bind_addr = "127.0.0.1"
leave_on_terminate = true
ports {
  http  = %[2]d
  https = %[3]d
  server = %[7]d
  serf_lan = %[8]d
}
tls {
  https {
    cert_file = %[4]q
    key_file  = %[5]q
  }
}
acl {
  enabled        = true
  default_policy = "deny"
  tokens {
    initial_management = %[6]q
  }
}
`

func (w *world) startServer(ctx context.Context) (string, error) {
	w.management = logging.Secret(uuid.New())
	httpPort, err := choosePort(w.opts.HTTPPort, 8500, w.opts.Once)
	if err != nil {
		return "", err
	}
	httpsPort, err := choosePort(w.opts.HTTPSPort, 8501, w.opts.Once)
	if err != nil {
		return "", err
	}
	serverPort, err := tryPort(0)
	if err != nil {
		return "", err
	}
	serfPort, err := tryPort(0)
	if err != nil {
		return "", err
	}
	w.http = net.JoinHostPort("127.0.0.1", strconv.Itoa(httpPort))
	w.https = net.JoinHostPort("127.0.0.1", strconv.Itoa(httpsPort))
	config := fmt.Sprintf(serverConfig, w.file("data"), httpPort, httpsPort,
		w.file("server.pem"), w.file("server-key.pem"), w.management.Reveal(), serverPort, serfPort)
	if err := os.WriteFile(w.file("server.hcl"), []byte(config), 0o600); err != nil {
		return "", err
	}
	w.server, err = w.tools.startAgent(ctx, w.serverLog(), w.awsEndpoints(), "-config-file", w.file("server.hcl"))
	if err != nil {
		return "", err
	}
	return "https://" + w.https, nil
}

// awsEndpoints point the AWS SDK, and a server's AWS calls, at the local AWS.
func (w *world) awsEndpoints() []string {
	return []string{"AWS_ENDPOINT_URL_STS=" + w.aws.URL(), "AWS_ENDPOINT_URL_IAM=" + w.aws.URL()}
}

// operator is the environment of the person who runs the cluster.
func (w *world) operator() []string {
	return []string{
		"CONSUL_HTTP_ADDR=https://" + w.https,
		"CONSUL_CACERT=" + w.caFile(),
		"CONSUL_HTTP_TOKEN=" + w.management.Reveal(),
	}
}

// choosePort returns the port asked for, or the usual one if it is free and
// wanted, or any free one.
func choosePort(asked, usual int, anyFree bool) (int, error) {
	if asked != 0 {
		return asked, nil
	}
	if !anyFree {
		if port, err := tryPort(usual); err == nil {
			return port, nil
		}
	}
	return tryPort(0)
}

func tryPort(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
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
