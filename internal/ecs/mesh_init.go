package ecs

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/envoy"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	tokenReads    = 21 // of the new token, a tenth of a second apart
	tokenReadWait = 100 * time.Millisecond
	xdsAddr       = "127.0.0.1:8502"
)

// initializer is one run of mesh-init (ecs.md section 6).
type initializer struct {
	inTask
	token logging.Secret // of the login; "" without one
}

// meshInit logs in, registers the task's service and proxy with its agent, and writes what
// the other containers need into the shared volume.
func meshInit(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	in, err := configured(env)
	if err != nil {
		return err
	}
	ctx, stop := untilTerminated(ctx, env)
	defer stop()
	if err := in.readTask(ctx); err != nil {
		return err
	}
	m := &initializer{inTask: in}
	for _, step := range []func(context.Context) error{m.login, m.register, m.writeBootstrap, m.copyBinary} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// login obtains the service token, and reads it back from any server.
func (m *initializer) login(ctx context.Context) error {
	if !m.config.ConsulLogin.Enabled {
		return nil
	}
	request, err := m.request(serviceTokenFile)
	if err != nil {
		return err
	}
	if m.token, err = m.obtainToken(ctx, request, nil); err != nil {
		return err
	}
	return m.readTokenStale(ctx)
}

// readTokenStale reads the token from whatever server answers. Our servers
// know it at once; those of the original may take a moment.
func (m *initializer) readTokenStale(ctx context.Context) error {
	servers, err := serverClient(m.config, m.token)
	if err != nil {
		return err
	}
	m.log.Info("Checking that the ACL token exists when reading it in the stale consistency mode")
	for range tokenReads {
		if _, _, err = servers.ACL().TokenReadSelf((&api.QueryOptions{AllowStale: true}).WithContext(ctx)); err == nil {
			m.log.Info("Successfully read ACL token from the server")
			return nil
		}
		m.log.Debug("Unable to read ACL token; retrying", logging.Err, err)
		if !sleep.For(ctx, tokenReadWait) {
			break
		}
	}
	return fmt.Errorf("Unable to read ACL token from a Consul server; please check that your server cluster is healthy: %w", err)
}

// register registers the service and its proxy, as soon as the agent answers.
func (m *initializer) register(ctx context.Context) error {
	agent, err := agentClient(m.token)
	if err != nil {
		return err
	}
	r, err := newRegistration(m.config, m.task)
	if err != nil {
		return err
	}
	if r.service != nil {
		m.log.Info("registering service")
		if err := m.put(ctx, agent, "service", r.service); err != nil {
			return err
		}
	}
	m.log.Info("registering proxy", "kind", string(r.proxy.Kind))
	return m.put(ctx, agent, "proxy", r.proxy)
}

func (m *initializer) put(ctx context.Context, agent *api.Client, what string, r *api.AgentServiceRegistration) error {
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
	err := retry(ctx, m.log, what+" registration", func(context.Context) error {
		return agent.Agent().ServiceRegisterOpts(r, opts)
	})
	if err != nil {
		return fmt.Errorf("%s registration: %w", what, err)
	}
	m.log.Info(what+" registered successfully", "name", r.Name, "id", r.ID)
	return nil
}

// writeBootstrap writes what Envoy starts with. It holds the service token, for which the
// volume that only the task's containers see is the protection.
func (m *initializer) writeBootstrap(context.Context) error {
	r, err := newRegistration(m.config, m.task)
	if err != nil {
		return err
	}
	addr, err := grpcAddr(m.getenv("CONSUL_GRPC_ADDR"))
	if err != nil {
		return err
	}
	b := envoy.Bootstrap{
		ID: r.proxy.ID, Cluster: r.proxy.Proxy.DestinationServiceName,
		Namespace: r.proxy.Namespace, Partition: r.proxy.Partition,
		Admin: netip.MustParseAddrPort("127.0.0.1:19000"), Agent: envoy.Agent{Addr: addr}, Token: m.token,
		DeprecatedTags: true, Config: r.proxy.Proxy.Config, Getenv: m.getenv,
	}
	if r.service == nil {
		b.Cluster = string(r.proxy.Kind)
	}
	content, err := b.JSON()
	if err != nil {
		return fmt.Errorf("envoy bootstrap config: %w", err)
	}
	file := filepath.Join(m.config.BootstrapDir, bootstrapFile)
	if err := atomicfile.Write(file, 0o444, false, bytes.NewReader(content)); err != nil {
		return err
	}
	m.log.Info("envoy bootstrap config written", "file", file)
	return nil
}

// grpcAddr is where Envoy finds the agent's xDS.
func grpcAddr(configured string) (netip.AddrPort, error) {
	if configured == "" {
		configured = xdsAddr
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(configured, "http://"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("CONSUL_GRPC_ADDR: %w", err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("CONSUL_GRPC_ADDR: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("CONSUL_GRPC_ADDR: %w", err)
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// copyBinary copies this program for the containers whose image does not have it.
func (m *initializer) copyBinary(context.Context) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(own)
	if err != nil {
		return err
	}
	defer from.Close()
	file := filepath.Join(m.config.BootstrapDir, binaryFile)
	if err := atomicfile.Write(file, 0o755, false, from); err != nil {
		return err
	}
	m.log.Info("copied binary", "file", file)
	return nil
}
