// Command lictor is everything in one binary: lictor dev runs the whole system on
// one machine; lictor consul and lictor consul-ecs are those two commands, as is
// lictor itself when it is called by their names.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/lictor/lictor/internal/cli"
	"github.com/lictor/lictor/internal/dev"
	"github.com/lictor/lictor/internal/ecs"
	"github.com/lictor/lictor/internal/operator"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name != "consul" && name != "consul-ecs" {
		name = "lictor"
		if len(args) > 0 && (args[0] == "consul" || args[0] == "consul-ecs") {
			name, args = args[0], args[1:]
		}
	}
	os.Exit(run(name, args))
}

func run(name string, args []string) int {
	switch name {
	case "consul":
		return cli.Run(context.Background(), cli.OSEnv(), cli.Root(), args)
	case "consul-ecs":
		return ecs.Run(context.Background(), ecs.OSEnv(), args)
	default:
		return cli.Run(context.Background(), cli.OSEnv(), root(), args)
	}
}

func root() *cli.Command {
	return &cli.Command{
		Name:  "lictor",
		Short: "The control plane for workloads on AWS ECS",
		Sub: []*cli.Command{
			dev.Command(),
			dev.Service(),
			dev.Proxy(),
			operator.Setup(),
			operator.TaskDefinition(),
			operator.Doctor(),
			{Name: "consul", Short: "The agent and the operator's command line"},
			{Name: "consul-ecs", Short: "What runs inside an ECS task"},
			cli.VersionCommand(),
		},
	}
}
