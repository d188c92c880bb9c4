package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/envoy"
	"github.com/lictor/lictor/internal/logging"
)

// runEnvoy is execEnvoy, or what stands in for it in a test.
type runEnvoy func(env *Env, binary string, bootstrap []byte, args []string) error

// envoyFlags are those of consul connect envoy (spec: mesh.md section 5).
type envoyFlags struct {
	base
	proxyRef
	nodeName string
	gateway  gatewayFlags

	bootstrap                    bool
	binary, version              string
	adminBind, adminLog          string
	grpcAddr, grpcCA, grpcCAPath string
	readyAddress                 string
	readyPort                    int
	noCentral, omitOld           bool
	anyVersion, explain          bool
	backendPort, scrapePath      string
	promCA, promCAPath           string
	promCert, promKey            string
}

func (f *envoyFlags) register(fs *flag.FlagSet) {
	f.client(fs)
	f.tenancy(fs)
	f.proxyRef.flags(fs)
	fs.StringVar(&f.nodeName, "node-name", "", "`name` of the node that the proxy is registered on, if that is not the agent's")
	f.gateway.register(fs)
	fs.BoolVar(&f.bootstrap, "bootstrap", false, "print Envoy's configuration in place of running Envoy. It holds the token: keep it secret")
	fs.StringVar(&f.binary, "envoy-binary", "", "`path` of Envoy; it is looked up in PATH if empty")
	fs.StringVar(&f.version, "envoy-version", "", "accepted; the same configuration is for every `version` of Envoy")
	fs.StringVar(&f.adminBind, "admin-bind", "localhost:19000", "`address:port` of Envoy's own API, which has no access control")
	fs.StringVar(&f.adminLog, "admin-access-log-path", "/dev/null", "`file` that requests of that API are logged to")
	fs.StringVar(&f.grpcAddr, "grpc-addr", "", "`address` of the agent's gRPC: host:port, https://host:port or unix:///path; also CONSUL_GRPC_ADDR (default what the agent says)")
	fs.StringVar(&f.grpcCA, "grpc-ca-file", "", "PEM `file` of the CA that signed the certificate of the agent's gRPC; also CONSUL_GRPC_CACERT, and without both -ca-file")
	fs.StringVar(&f.grpcCAPath, "grpc-ca-path", "", "`directory` of such files; also CONSUL_GRPC_CAPATH, and without both -ca-path")
	fs.StringVar(&f.readyAddress, "envoy-ready-bind-address", "", "IP `address` that /ready is answered at; needs -envoy-ready-bind-port")
	fs.IntVar(&f.readyPort, "envoy-ready-bind-port", 0, "`port` that /ready is answered at")
	fs.BoolVar(&f.noCentral, "no-central-config", false, "do not ask the agent for the proxy's configuration")
	fs.BoolVar(&f.omitOld, "omit-deprecated-tags", false, "leave out the names that the tags of statistics had at first")
	fs.BoolVar(&f.anyVersion, "ignore-envoy-compatibility", false, "run Envoy whatever its version is")
	fs.BoolVar(&f.explain, "enable-config-gen-logging", false, "say on stderr what the configuration is made from")
	fs.StringVar(&f.backendPort, "prometheus-backend-port", "", "`port` of 127.0.0.1 that Prometheus is answered from in place of Envoy")
	fs.StringVar(&f.scrapePath, "prometheus-scrape-path", "/metrics", "`path` that Prometheus is answered at")
	fs.StringVar(&f.promCA, "prometheus-ca-file", "", "PEM `file` of the CA that signs Prometheus's certificate")
	fs.StringVar(&f.promCAPath, "prometheus-ca-path", "", "`directory` of such files")
	fs.StringVar(&f.promCert, "prometheus-cert-file", "", "PEM `file` of the certificate that Prometheus is shown")
	fs.StringVar(&f.promKey, "prometheus-key-file", "", "PEM `file` of its key")
}

func connectEnvoy(run runEnvoy) *Command {
	f := &envoyFlags{}
	return &Command{
		Name: "envoy", Args: "[-- ENVOY_OPTIONS...]", Short: "Run Envoy as a proxy of the mesh, or print what it starts with",
		Long:  "The proxy has to be registered with the agent, except for a gateway with -register. Options after -- are Envoy's own.",
		Flags: f.register,
		Run: func(ctx context.Context, env *Env, args []string) error {
			f.orEnv(env)
			client, err := f.open(env)
			if err != nil {
				return err
			}
			proxy, err := f.proxy(ctx, client)
			if err != nil {
				return err
			}
			b, err := f.describe(env, client, proxy)
			if err != nil {
				return err
			}
			text, err := b.JSON()
			if err != nil {
				return complain("Error generating the bootstrap configuration: %w", err)
			}
			if f.explain {
				fmt.Fprintf(env.Err, "proxy %s, cluster %s, xDS from %s%s\n", b.ID, b.Cluster, b.Agent.Socket, b.Agent.Addr)
			}
			if f.bootstrap {
				_, err := env.Out.Write(text)
				return err
			}
			binary, err := f.findEnvoy(ctx, client)
			if err != nil {
				return err
			}
			return run(env, binary, text, args)
		},
	}
}

// describe puts together what the bootstrap is made from.
func (f *envoyFlags) describe(env *Env, client *api.Client, proxy envoyProxy) (envoy.Bootstrap, error) {
	b := envoy.Bootstrap{
		ID: proxy.id, Cluster: proxy.cluster, Namespace: proxy.namespace, Partition: proxy.partition,
		Datacenter: proxy.datacenter, NodeName: f.nodeName,
		AdminAccessLog: f.adminLog, DeprecatedTags: !f.omitOld, Config: proxy.config, Getenv: env.Getenv,
	}
	token, err := f.secret(env)
	if err != nil {
		return b, complain("Error connecting to Consul agent: %w", err)
	}
	b.Token = logging.Secret(token)
	if b.Admin, err = resolveAddress(f.adminBind); err != nil {
		return b, complain("Invalid admin bind address: %w", err)
	}
	if b.Agent, err = f.agentAddress(env, client); err != nil {
		return b, err
	}
	if (f.readyAddress == "") != (f.readyPort == 0) {
		return b, complain("-envoy-ready-bind-address and -envoy-ready-bind-port must be set together")
	}
	if f.readyPort != 0 {
		if b.Ready, err = resolveAddress(joinPort(f.readyAddress, f.readyPort)); err != nil {
			return b, complain("Invalid ready bind address: %w", err)
		}
	}
	b.Prometheus, err = f.prometheus()
	return b, err
}

// prometheus reads what the listener for Prometheus needs.
func (f *envoyFlags) prometheus() (envoy.Prometheus, error) {
	p := envoy.Prometheus{Path: f.scrapePath, CertFile: f.promCert, KeyFile: f.promKey}
	if f.backendPort != "" {
		port, err := parsePort(f.backendPort)
		if err != nil {
			return p, complain("Invalid -prometheus-backend-port: %w", err)
		}
		p.BackendPort = port
	}
	ca := f.promCA != "" || f.promCAPath != ""
	if !ca && f.promCert == "" && f.promKey == "" {
		return p, nil
	}
	if !ca || f.promCert == "" || f.promKey == "" {
		return p, complain("Must provide a CA (-prometheus-ca-file or -prometheus-ca-path), -prometheus-cert-file, and -prometheus-key-file to enable TLS for prometheus metrics")
	}
	var err error
	p.CAPEM, err = readCAs(f.promCA, f.promCAPath)
	return p, err
}
