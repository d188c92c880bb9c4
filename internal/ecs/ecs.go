// Package ecs is the consul-ecs command: what runs inside an ECS task beside
// the application (spec: ecs.md). It stays small, because every task carries a copy: it talks to
// servers and to the agent through the published client, as any user does.
package ecs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/version"
)

// Env is what a command runs in.
type Env struct {
	Out, Err io.Writer
	Getenv   func(string) string
	Signals  <-chan os.Signal // those that the process is sent; nil is none
}

// OSEnv is the world of the process. It takes over the process's signals.
func OSEnv() *Env {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	return &Env{Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Signals: signals}
}

// command is one of the commands.
type command struct {
	name, short string
	run         func(ctx context.Context, env *Env, args []string) error
}

func commands() []command {
	return []command{
		{"acl-controller", "Sets up auth methods and rules, and removes tokens of tasks that are gone", aclController},
		{"app-entrypoint", "Runs the application and delays its end", appEntrypoint},
		{"client", "Runs the task's Consul client agent", client},
		{"envoy-entrypoint", "Runs Envoy until the application has stopped", envoyEntrypoint},
		{"health-sync", "Reports the health of containers, and logs out at the end", healthSync},
		{"mesh-init", "Logs in, registers the service and its proxy, and writes Envoy's bootstrap", meshInit},
		{"net-dial", "Exits with 0 if host:port takes a connection", netDial},
		{"version", "Prints the version", printVersion},
	}
}

// exitCode is an error that only says how the process ends.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Run runs the command that args name and returns the process's exit code: 0, 1,
// 127 for an unknown command, or that of a child.
func Run(ctx context.Context, env *Env, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(env.Err, usage())
		return 127
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(env.Out, usage())
		return 0
	case "-v", "-version", "--version":
		name = "version"
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(env.Err, "Unknown command %q\n\n%s", args[0], usage())
		return 127
	}
	err := all[i].run(ctx, env, args[1:])
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(env.Err, err)
		return 1
	}
}

func usage() string {
	var b strings.Builder
	b.WriteString("Usage: consul-ecs [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "    %-18s %s\n", c.name, c.short)
	}
	return b.String()
}

func printVersion(_ context.Context, env *Env, _ []string) error {
	_, err := fmt.Fprintf(env.Out, "consul-ecs v%s\n", version.Lictor)
	return err
}

// noArguments refuses arguments where a command takes none.
func noArguments(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument: %s", args[0])
	}
	return nil
}

// logger returns the log of a command, on standard error (ecs.md section 2).
func (env *Env) logger(level string) (*slog.Logger, error) {
	log, _, _, err := logging.New(logging.Config{Level: level}, env.Err)
	return log, err
}
