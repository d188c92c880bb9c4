package ecs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/taskmeta"
)

// Files of the agent in bootstrapDir, as the documents name them.
const (
	rpcCAFile     = "consul-ca-cert.pem"
	httpsCAFile   = "consul-https-ca-cert.pem"
	agentDefaults = "agent-defaults.hcl"
	agentData     = "data"
)

// clientRun is one run of client: what the documents' start-up script of the consul-client
// container does, without a shell, curl and jq (ecs.md section 11).
type clientRun struct {
	inTask
	secrets    *secretReader
	ip         string
	token      logging.Secret
	gossipKey  logging.Secret
	method     string
	datacenter string
	partition  string
	retryJoin  []string
	extra      []string // further configuration files
	interval   time.Duration
}

// client logs in, writes the agent's configuration and becomes the agent. With secrets by ARN
// it stays its parent, and passes on a CA that has changed.
func client(ctx context.Context, env *Env, args []string) error {
	c := &clientRun{secrets: &secretReader{getenv: env.Getenv}}
	fs := flag.NewFlagSet("client", flag.ContinueOnError)
	check := fs.Bool("check", false, "only tell whether the task's agent is ready: exit with 0 if it knows a leader")
	fs.StringVar(&c.method, "method", aclsetup.DefaultClientMethod, "auth method's `name`")
	fs.StringVar(&c.datacenter, "datacenter", "", "`datacenter`; CONSUL_DATACENTER, or dc1, if empty")
	fs.StringVar(&c.partition, "partition", "", "admin `partition` that the agent lives in")
	fs.DurationVar(&c.interval, "secrets-interval", 5*time.Minute, "how often secrets by ARN are read again")
	fs.Func("retry-join", "`address` of servers to join, or provider=aws …; repeat for more", list(&c.retryJoin))
	fs.Func("config-file", "further configuration `file` of the agent, which counts before what is written here; repeat for more", list(&c.extra))
	if err := env.parse(fs, args); err != nil {
		return err
	}
	if err := noArguments(fs.Args()); err != nil {
		return err
	}
	if *check {
		return agentReady(ctx)
	}
	if err := c.prepare(ctx, env); err != nil {
		return err
	}
	return c.start(ctx, env)
}

// list appends each value of a flag.
func list(to *[]string) func(string) error {
	return func(value string) error {
		*to = append(*to, value)
		return nil
	}
}

// agentReady is the container's health check.
func agentReady(ctx context.Context) error {
	agent, err := agentClient("")
	if err != nil {
		return err
	}
	leader, err := agent.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	if err == nil && leader == "" {
		return fmt.Errorf("the agent knows no leader")
	}
	return err
}

// prepare does everything that comes before the agent.
func (c *clientRun) prepare(ctx context.Context, env *Env) error {
	var err error
	if c.inTask, err = configured(env); err != nil {
		return err
	}
	ctx, stop := untilTerminated(ctx, env)
	defer stop()
	if err := c.readTask(ctx); err != nil {
		return err
	}
	var own *taskmeta.Container
	if err := retry(ctx, c.log, "unable to get container metadata", func(ctx context.Context) (err error) {
		own, err = c.metadata.Container(ctx)
		return err
	}); err != nil {
		return err
	}
	if c.ip = c.task.NodeIP(); len(own.Networks) > 0 && len(own.Networks[0].IPv4Addresses) > 0 {
		c.ip = own.Networks[0].IPv4Addresses[0]
	}
	if err := retry(ctx, c.log, "reading secrets", func(ctx context.Context) error {
		_, err := c.readSecrets(ctx)
		return err
	}); err != nil {
		return err
	}
	if err := c.login(ctx); err != nil {
		return err
	}
	return atomicfile.Write(c.file(agentDefaults), 0o600, false, strings.NewReader(c.agentConfig()))
}

func (c *clientRun) file(name string) string { return filepath.Join(c.config.BootstrapDir, name) }

// caFiles are the CA certificates: the variable that holds the text, and the file that it goes to. The
// variable with _ARN in place of _PEM names a secret.
var caFiles = []struct{ variable, file string }{
	{"CONSUL_CACERT_PEM", rpcCAFile},
	{"CONSUL_HTTPS_CACERT_PEM", httpsCAFile},
}

const gossipVariable = "CONSUL_GOSSIP_ENCRYPTION_KEY"

// readSecrets writes the CA certificates and reads the gossip key. It reports whether a
// certificate has changed.
func (c *clientRun) readSecrets(ctx context.Context) (changed bool, err error) {
	for _, ca := range caFiles {
		pem, err := c.secret(ctx, ca.variable, strings.TrimSuffix(ca.variable, "_PEM")+"_ARN")
		if err != nil {
			return changed, err
		}
		if pem == "" {
			continue
		}
		content := strings.TrimRight(pem.Reveal(), "\n") + "\n"
		if old, err := os.ReadFile(c.file(ca.file)); err == nil && string(old) == content {
			continue
		}
		if err := atomicfile.Write(c.file(ca.file), 0o644, false, strings.NewReader(content)); err != nil {
			return changed, err
		}
		changed = true
	}
	c.gossipKey, err = c.secret(ctx, gossipVariable, gossipVariable+"_ARN")
	return changed, err
}

func (c *clientRun) secret(ctx context.Context, variable, byARN string) (logging.Secret, error) {
	if arn := c.getenv(byARN); arn != "" {
		secret, err := c.secrets.read(ctx, arn)
		if err != nil {
			return "", fmt.Errorf("%s: %w", byARN, err)
		}
		return secret, nil
	}
	return logging.Secret(c.getenv(variable)), nil
}

// followsSecrets reports whether any secret can change while the agent runs.
func (c *clientRun) followsSecrets() bool {
	for _, ca := range caFiles {
		if c.getenv(strings.TrimSuffix(ca.variable, "_PEM")+"_ARN") != "" {
			return true
		}
	}
	return false
}

// login obtains the token that the agent works with.
func (c *clientRun) login(ctx context.Context) error {
	if !c.config.ConsulLogin.Enabled {
		return nil
	}
	request, err := c.request(clientTokenFile)
	if err != nil {
		return err
	}
	request.method = c.method
	if c.partition != "" {
		request.partition = c.partition
	}
	c.partition = request.partition
	servers, err := serverClient(c.config, "")
	if err != nil {
		return err
	}
	c.token, err = c.obtainToken(ctx, request, servers)
	return err
}

// agentConfig is the documents' agent-defaults.hcl.
func (c *clientRun) agentConfig() string {
	datacenter := c.datacenter
	for _, or := range []string{c.getenv("CONSUL_DATACENTER"), "dc1"} {
		if datacenter == "" {
			datacenter = or
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("addresses = {\n  dns = \"127.0.0.1\"\n  grpc = \"127.0.0.1\"\n  http = \"127.0.0.1\"\n}")
	line("advertise_addr = %q", c.ip)
	line("advertise_reconnect_timeout = \"15m\"")
	line("client_addr = \"0.0.0.0\"")
	line("datacenter = %q", datacenter)
	line("node_name = %q", c.task.ID()) // what session_name is in the login
	line("enable_central_service_config = true")
	line("leave_on_terminate = true")
	line("ports {\n  grpc = 8502\n}")
	if len(c.retryJoin) > 0 {
		quoted := make([]string, len(c.retryJoin))
		for i, addr := range c.retryJoin {
			quoted[i] = fmt.Sprintf("%q", addr)
		}
		line("retry_join = [%s]", strings.Join(quoted, ", "))
	}
	if c.gossipKey != "" {
		line("encrypt = %q", strings.TrimSpace(c.gossipKey.Reveal()))
	}
	if _, err := os.Stat(c.file(rpcCAFile)); err == nil {
		line("auto_encrypt = {\n  tls = true\n  ip_san = [%q]\n}", c.ip)
		line("tls {\n  defaults {\n    ca_file = %q\n    verify_outgoing = true\n  }\n}", c.file(rpcCAFile))
	}
	if c.token != "" {
		line("acl {\n  enabled = true\n  default_policy = \"deny\"\n  down_policy = \"async-cache\"\n  tokens {\n    agent = %q\n  }\n}", c.token.Reveal())
	}
	if c.partition != "" {
		line("partition = %q", c.partition)
	}
	return b.String()
}

// start becomes the agent, or runs it as a child where secrets are to be followed.
func (c *clientRun) start(ctx context.Context, env *Env) error {
	binary, err := exec.LookPath("consul")
	if err != nil {
		return err
	}
	args := []string{"consul", "agent", "-data-dir", c.file(agentData), "-config-file", c.file(agentDefaults)}
	for _, file := range c.extra {
		args = append(args, "-config-file", file)
	}
	if !c.followsSecrets() {
		return syscall.Exec(binary, args, os.Environ())
	}
	child := exec.Command(binary, args[1:]...)
	child.Stdout, child.Stderr = env.Out, env.Err
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	e := &entrypoint{log: c.log, signals: env.Signals, child: child, forwardMore: true, ready: func(context.Context) bool { return true }}
	following, stop := context.WithCancel(ctx)
	defer stop()
	go c.follow(following, child)
	return e.run(ctx)
}

// follow reads the secrets again and again. Of a CA that has changed it tells the agent. Another
// gossip key counts from the next start: the running agent learns of it from the servers.
func (c *clientRun) follow(ctx context.Context, child *exec.Cmd) {
	for sleep.For(ctx, c.interval) {
		changed, err := c.readSecrets(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("reading secrets", logging.Err, err)
		}
		if changed && child.Process != nil {
			c.log.Info("a CA certificate has changed, the agent reads it again")
			_ = child.Process.Signal(syscall.SIGHUP) // it may have ended
		}
	}
}
