package dev

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"github.com/lictor/lictor/internal/cli"
)

// Command is lictor dev.
func Command() *cli.Command {
	var opts Options
	return &cli.Command{
		Name:  "dev",
		Short: "Runs the whole system on this machine",
		Long: `Starts a local AWS and a cluster of servers with mutual TLS, encrypted gossip and
ACLs in default deny, sets both up as the documents do, and runs two ECS tasks, web
and api, through their whole life: task definitions from lictor task-definition, logins
with their roles' credentials, client agents that join with nothing but the CA and the
gossip key, services and health; web calls api through two built-in proxies, as intentions
allow it, while the mesh CA changes its root; SIGTERM, and nothing left. Then the tasks run
again, with commands to paste. No AWS account, no network and no root are needed.`,
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&opts.Once, "once", false, "end after the flow; exit 0 only if every step held")
			fs.IntVar(&opts.Servers, "servers", 3, "servers of the cluster: 1, 3 or 5")
			fs.StringVar(&opts.Dir, "dir", "", "keep files, log and data in this directory; by default a temporary one")
			fs.IntVar(&opts.HTTPPort, "http-port", 0, "port of the HTTP API; by default 8500, or a free one where it is taken")
			fs.IntVar(&opts.HTTPSPort, "https-port", 0, "port of the HTTPS API; by default 8501, or a free one where it is taken")
		},
		Run: func(ctx context.Context, env *cli.Env, args []string) error {
			if len(args) > 0 {
				return errors.New("Should have no non-flag arguments.")
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			opts.Out = env.Out
			opts.Color = isTerminal(env.Out) && env.Getenv("NO_COLOR") == ""
			return Run(ctx, opts)
		},
	}
}

// isTerminal reports whether out is a character device that a person looks at.
func isTerminal(out any) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
