package dev

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/cli"
)

// demoService is an application of lictor dev: / is answered by itself, and /NAME by what its upstream
// NAME says.
type demoService struct {
	name, upstream string
}

// Service is lictor demo-service.
func Service() *cli.Command {
	s := &demoService{}
	return &cli.Command{
		Name: "demo-service", Args: "ADDRESS", Short: "Answers on an address, as the applications of lictor dev",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&s.name, "name", "demo-service", "who says hello")
			fs.StringVar(&s.upstream, "upstream", "", "a service that is called at an address for whoever asks for /NAME, as `NAME=ADDRESS`")
		},
		Run: func(ctx context.Context, _ *cli.Env, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one ADDRESS is required, such as 127.0.0.1:9090")
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", args[0])
			if err != nil {
				return err
			}
			server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
			context.AfterFunc(ctx, func() { _ = server.Close() })
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}

func (s *demoService) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "Hello from %s.\n", s.name) })
	if name, address, ok := strings.Cut(s.upstream, "="); ok {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			answer, err := call(r.Context(), newCaller(false), "http://"+address)
			if err != nil {
				http.Error(w, fmt.Sprintf("%s cannot call %s: %v", s.name, name, err), http.StatusBadGateway)
				return
			}
			fmt.Fprintf(w, "%s says: %s", name, answer)
		})
	}
	return mux
}

// Proxy is lictor demo-proxy.
func Proxy() *cli.Command {
	var bootstrap string
	return &cli.Command{
		Name: "demo-proxy", Short: "Runs the built-in proxy with what Envoy would start with, as the sidecars of lictor dev",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&bootstrap, "config-path", "", "`file` that consul-ecs mesh-init wrote for Envoy, beside the service token")
		},
		Run: func(_ context.Context, env *cli.Env, _ []string) error {
			args, err := proxyArgs(bootstrap)
			if err != nil {
				return err
			}
			consul, err := exec.LookPath(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Out, shell(args...))
			return syscall.Exec(consul, args, os.Environ())
		},
	}
}

// proxyArgs is the command that runs the proxy of a bootstrap.
func proxyArgs(bootstrap string) ([]string, error) {
	f, err := os.Open(bootstrap)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var known struct {
		Node struct {
			ID       string
			Metadata struct{ Namespace, Partition string }
		}
	}
	if err := json.NewDecoder(io.LimitReader(f, 1<<20)).Decode(&known); err != nil {
		return nil, fmt.Errorf("%s: %w", bootstrap, err)
	}
	return []string{
		"consul", "connect", "proxy", "-proxy-id", known.Node.ID,
		"-namespace", known.Node.Metadata.Namespace, "-partition", known.Node.Metadata.Partition,
		"-token-file", filepath.Join(filepath.Dir(bootstrap), "service-token"),
	}, nil
}
