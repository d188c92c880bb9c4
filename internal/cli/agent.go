package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/lictor/lictor/internal/config"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/logging"
	release "github.com/lictor/lictor/internal/version"
)

// runDaemon is daemon.Run, or what stands in for it in a test.
type runDaemon func(context.Context, daemon.Config, daemon.Options) error

// agent is consul agent: it reads the configuration, says how it starts, and
// runs until it leaves or is stopped (spec: agent.md sections 1, 7 and 8).
func agent(run runDaemon) *Command {
	var from config.Sources
	return &Command{
		Name: "agent", Short: "Run an agent",
		Flags: from.Flags, FlagError: "==> error parsing flags: ",
		Run: func(ctx context.Context, env *Env, args []string) error {
			if len(args) > 0 {
				return complain("==> unexpected arguments: %s", strings.Join(args, " "))
			}
			return runAgent(ctx, env, from, run)
		},
	}
}

func runAgent(ctx context.Context, env *Env, from config.Sources, run runDaemon) error {
	cfg, warnings, err := config.Load(from)
	if err == nil {
		cfg.NodeID, err = daemon.NodeID(cfg.DataDir, cfg.NodeID)
	}
	if err != nil {
		return complain("==> %w", err)
	}
	base, level, closer, err := logging.New(cfg.Log, env.Out)
	if err != nil {
		return complain("==> %w", err)
	}
	stdlog.SetFlags(0) // for libraries that write to the standard logger
	stdlog.SetOutput(slog.NewLogLogger(base.Handler(), slog.LevelDebug).Writer())
	removePid, err := writePid(cfg.PidFile)
	if err != nil {
		return complain("==> pid_file: %w", errors.Join(err, closer.Close()))
	}
	printBanner(env.Out, cfg)
	log := logging.Named(base, "agent")
	for _, w := range warnings {
		log.Warn(w)
	}
	if len(cfg.Idle) > 0 {
		log.Info("settings without effect yet", slog.Any("keys", cfg.Idle))
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	code := runLogged(ctx, run, log, cfg, daemon.Options{
		Log: base, SetLevel: level.Set, Signals: signals, Reload: func() (daemon.Config, error) { return reloaded(from, log) },
	})
	if err := errors.Join(removePid(), closer.Close()); err != nil {
		return complain("==> %w", err)
	}
	if code != 0 {
		return ExitCode(code)
	}
	return nil
}

// runLogged runs the agent and returns the exit code of the process.
func runLogged(ctx context.Context, run runDaemon, log *slog.Logger, cfg daemon.Config, opts daemon.Options) (code int) {
	var ready atomic.Bool
	opts.Ready = func() { ready.Store(true) }
	err := run(ctx, cfg, opts)
	if err != nil {
		code = exitFailure
	}
	if err != nil && !errors.Is(err, daemon.ErrStopped) {
		message := "Error starting agent"
		if ready.Load() {
			message = "Error running agent"
		}
		log.Error(message, slog.Any(logging.Err, err))
	}
	log.Info("Exit code", "code", code)
	return code
}

// reloaded reads the same sources again.
func reloaded(from config.Sources, log *slog.Logger) (daemon.Config, error) {
	cfg, warnings, err := config.Load(from)
	for _, w := range warnings {
		log.Warn(w)
	}
	return cfg, err
}

// writePid writes the process id to path, if there is one, and returns what
// removes it again.
func writePid(path string) (remove func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	err = os.WriteFile(path, fmt.Appendf(nil, "%d", os.Getpid()), 0o644)
	return func() error { return os.Remove(path) }, err
}

// printBanner says what the agent is about to be. Labels end in one column.
func printBanner(w io.Writer, c daemon.Config) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%22s: %s\n", label, fmt.Sprintf(format, args...))
	}
	segment := ""
	if c.Server {
		segment = "<all>"
	}
	fmt.Fprintln(w, "==> Starting Consul agent...")
	line("Version", "'%s'", release.Consul)
	line("Build Date", "'%s'", release.BuildDate)
	line("Node ID", "'%s'", c.NodeID)
	line("Node name", "'%s'", c.NodeName)
	line("Datacenter", "'%s' (Segment: '%s')", c.Datacenter, segment)
	line("Server", "%t (Bootstrap: %t)", c.Server, c.Bootstrap)
	line("Client Addr", "%v (HTTP: %d, HTTPS: %d, gRPC: %d, gRPC-TLS: %d, DNS: %d)",
		c.ClientAddrs, c.Ports.HTTP, c.Ports.HTTPS, c.Ports.GRPC, c.Ports.GRPCTLS, c.Ports.DNS)
	line("Cluster Addr", "%s (LAN: %d, WAN: %d)", c.AdvertiseAddr, c.Ports.SerfLAN, c.Ports.SerfWAN)
	line("Gossip Encryption", "%t", c.Encrypt != "")
	line("Auto-Encrypt-TLS", "%t", c.AutoEncrypt.TLS || c.AutoEncrypt.AllowTLS)
	line("ACL Enabled", "%t", c.ACL.Enabled)
	if c.Server {
		line("Reporting Enabled", "false")
	}
	line("ACL Default Policy", "%s", c.ACL.DefaultPolicy)
	https, grpc, rpc := c.TLS.HTTPS, c.TLS.GRPC, c.TLS.InternalRPC
	line("HTTPS TLS", "Verify Incoming: %t, Verify Outgoing: %t, Min Version: %s", https.VerifyIncoming, https.VerifyOutgoing, https.MinVersion)
	line("gRPC TLS", "Verify Incoming: %t, Min Version: %s", grpc.VerifyIncoming, grpc.MinVersion)
	line("Internal RPC TLS", "Verify Incoming: %t, Verify Outgoing: %t (Verify Hostname: %t), Min Version: %s",
		rpc.VerifyIncoming, rpc.VerifyOutgoing, rpc.VerifyServerHostname, rpc.MinVersion)
	fmt.Fprint(w, "\n==> Log data will now stream in as it occurs:\n\n")
}
