package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/proxy"
	"github.com/lictor/lictor/internal/tenancy"
)

// proxyFlags are those of consul connect proxy (spec: mesh.md section 8).
type proxyFlags struct {
	base
	proxyRef
	service, serviceAddr string
	listen               string
	upstreams            listFlag
	registers            bool
	registerID           string
	logLevel, pprofAddr  string
}

func (f *proxyFlags) register(fs *flag.FlagSet) {
	f.client(fs)
	f.tenancy(fs)
	f.proxyRef.flags(fs)
	fs.StringVar(&f.service, "service", "", "`name` of the service that the proxy stands in for, if the proxy is not registered")
	fs.StringVar(&f.serviceAddr, "service-addr", "", "`address:port` of that service; needs -listen")
	fs.StringVar(&f.listen, "listen", "", "`address:port` that others connect to; needs -service-addr")
	fs.Var(&f.upstreams, "upstream", "service to connect to, and where, as `name:[ip:]port`. May be repeated")
	fs.BoolVar(&f.registers, "register", false, "register the proxy with the agent while it runs; needs -listen")
	fs.StringVar(&f.registerID, "register-id", "", "`suffix` of the ID that -register uses, <service>-proxy")
	fs.StringVar(&f.logLevel, "log-level", "INFO", "lowest `level` that is logged: TRACE, DEBUG, INFO, WARN or ERROR")
	fs.StringVar(&f.pprofAddr, "pprof-addr", "", "`address:port` of Go's profiles of this process, which have no access control")
}

func connectProxy() *Command {
	f := &proxyFlags{}
	return &Command{
		Name: "proxy", Short: "Run the built-in proxy of the mesh",
		Long: "The proxy is configured by its registration with the agent, or by -service and the options with it. " +
			"It runs until it is interrupted, and then lets connections finish for up to " + proxy.DefaultDrain.String() + ".",
		Flags: f.register,
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			f.orEnv(env)
			client, err := f.open(env)
			if err != nil {
				return err
			}
			log, _, _, err := logging.New(logging.Config{Level: f.logLevel}, env.Out)
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Out, "==> Consul Connect proxy starting...")
			settings, err := f.settings(ctx, env, client)
			if err != nil {
				return complain("==> Error preparing configuration: %w", err)
			}
			fmt.Fprint(env.Out, "\n==> Log data will now stream in as it occurs:\n\n")
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			if err := f.run(ctx, client, settings, log); err != nil {
				return complain("==> Error running the proxy: %w", err)
			}
			fmt.Fprintln(env.Out, "==> Consul Connect proxy shutdown")
			return nil
		},
	}
}

// settings returns what the proxy is to do, and says where that is from.
func (f *proxyFlags) settings(ctx context.Context, env *Env, client *api.Client) (proxy.Settings, error) {
	if f.sidecarFor == "" && f.proxyID == "" {
		if f.service == "" {
			return proxy.Settings{}, errors.New("-service or -proxy-id must be specified so that proxy can configure itself.")
		}
		return f.byHand(env)
	}
	q := f.read(ctx)
	fact(env, "Configuration mode", "Agent API")
	if f.proxyID == "" {
		fact(env, "Sidecar for ID", f.sidecarFor)
		var err error
		if f.proxyID, err = findSidecar(client, f.sidecarFor, q); err != nil {
			return proxy.Settings{}, err
		}
	}
	fact(env, "Proxy ID", f.proxyID)
	s, _, err := client.Agent().Service(f.proxyID, q)
	if err != nil {
		return proxy.Settings{}, fmt.Errorf("failed fetch proxy config from local agent: %w", err)
	}
	return proxy.FromRegistration(s)
}

// fact prints one of the lines about the proxy.
func fact(env *Env, name, value string) { fmt.Fprintf(env.Out, "%22s: %s\n", name, value) }

// byHand returns what the options say.
func (f *proxyFlags) byHand(env *Env) (proxy.Settings, error) {
	scope, err := tenancy.Parse(
		cmp.Or(f.partition, env.Getenv(api.HTTPPartitionEnvName)), cmp.Or(f.namespace, env.Getenv(api.HTTPNamespaceEnvName)))
	if err != nil {
		return proxy.Settings{}, err
	}
	s := proxy.Settings{Service: f.service, Scope: scope}
	fact(env, "Configuration mode", "Flags")
	fact(env, "Service", f.service)
	switch {
	case (f.listen == "") != (f.serviceAddr == ""):
		return s, errors.New("-listen and -service-addr must be set together")
	case f.listen != "":
		s.Public = proxy.NewPublic(proxy.Address{Network: "tcp", Addr: f.listen}, proxy.Address{Network: "tcp", Addr: f.serviceAddr})
		fact(env, "Public listener", f.listen+" => "+f.serviceAddr)
	case f.registers:
		return s, errors.New("-register needs -listen")
	}
	for _, text := range f.upstreams {
		u, err := parseUpstream(text, scope)
		if err != nil {
			return s, err
		}
		s.Upstreams = append(s.Upstreams, u)
		fact(env, "Upstream", u.Service+" => "+u.Bind.Addr)
	}
	if s.Public == nil && len(s.Upstreams) == 0 {
		return s, errors.New("there is nothing to do without -listen and -upstream")
	}
	return s, nil
}

// parseUpstream reads name:[ip:]port.
func parseUpstream(text string, scope tenancy.Scope) (proxy.Upstream, error) {
	name, bind, _ := strings.Cut(text, ":")
	if !strings.Contains(bind, ":") {
		bind = "127.0.0.1:" + bind
	}
	host, port, err := net.SplitHostPort(bind)
	if err != nil || name == "" {
		return proxy.Upstream{}, fmt.Errorf("-upstream has to be name:[ip:]port, not %q", text)
	}
	number, err := parsePort(port)
	if err != nil {
		return proxy.Upstream{}, fmt.Errorf("-upstream has to be name:[ip:]port, not %q", text)
	}
	return proxy.NewUpstream(name, scope, proxy.TCP(cmp.Or(host, "127.0.0.1"), number)), nil
}

// run runs the proxy until ctx ends, and keeps it registered meanwhile if that is asked for.
func (f *proxyFlags) run(ctx context.Context, client *api.Client, settings proxy.Settings, log *slog.Logger) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.pprofAddr != "" {
		l, err := net.Listen("tcp", f.pprofAddr)
		if err != nil {
			return err
		}
		beside.Go(func() { serveProfiles(ctx, l) })
	}
	cfg := proxy.Config{Client: client, Settings: settings, ProxyID: f.proxyID, Log: logging.Named(log, "proxy")}
	if f.registers && f.proxyID == "" {
		cfg.Listening = func(what, address string) {
			if what == proxy.PublicListener {
				r := proxy.Registration{Client: client, Service: f.service, Suffix: f.registerID, Listen: address, Log: cfg.Log}
				beside.Go(func() { r.Run(ctx) })
			}
		}
	}
	return proxy.New(cfg).Run(ctx)
}

// serveProfiles serves Go's profiles until ctx ends.
func serveProfiles(ctx context.Context, l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	_ = s.Serve(l)
}
