// Package ecs is the consul-ecs command: what runs inside an ECS task beside
// the application (spec: ecs.md). It stays small, because every task carries a copy: it talks to
// servers and to the agent through the published client, as any user does.
package ecs

import (
	"bytes"
	"context"
	"errors"
	"flag"
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
	plain       bool // it has no flags
}

func commands() []command {
	return []command{
		{"acl-controller", "Sets up auth methods and rules, and removes tokens of tasks that are gone", aclController, false},
		{"app-entrypoint", "Runs the application and delays its end", appEntrypoint, false},
		{"client", "Runs the task's Consul client agent", client, false},
		{"envoy-entrypoint", "Runs Envoy until the application has stopped", envoyEntrypoint, false},
		{"health-sync", "Reports the health of containers, and logs out at the end", healthSync, true},
		{"mesh-init", "Logs in, registers the service and its proxy, and writes Envoy's bootstrap", meshInit, true},
		{"net-dial", "Exits with 0 if host:port takes a connection", netDial, true},
		{"version", "Prints the version", printVersion, true},
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
	if name == "help" || isHelp(name) {
		fmt.Fprint(env.Out, usage())
		return 0
	}
	switch name {
	case "-v", "-version", "--version":
		name = "version"
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(env.Err, "Unknown command %q\n\n%s", args[0], usage())
		return 127
	}
	if all[i].plain && len(args) > 1 && isHelp(args[1]) {
		fmt.Fprintf(env.Out, "Usage: consul-ecs %s\n\n  %s.\n", name, all[i].short)
		return 0
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

func isHelp(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }

// parse reads the flags of a command. Whoever asks for help gets it on the standard output.
func (env *Env) parse(fs *flag.FlagSet, args []string) error {
	var said bytes.Buffer
	fs.SetOutput(&said)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = said.WriteTo(env.Out)
		return exitCode(0)
	}
	if err != nil {
		_, _ = said.WriteTo(env.Err)
		return exitCode(1)
	}
	return nil
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
