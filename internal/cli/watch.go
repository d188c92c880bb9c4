package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/watch"
)

func watchCommand() *Command {
	var b base
	var q watch.Query
	var tags listFlag
	shell := true
	return &Command{
		Name: "watch", Args: "[HANDLER...]", Short: "Follow something, and run a command when it changes",
		Long: "Without a handler it prints what is there now and ends. With one it runs the handler with what is there as JSON on its standard input " +
			"and CONSUL_INDEX in its environment, at first and after each change, until it is interrupted. " +
			"A handler that is a URL, http:// or https://, is sent it in a POST request.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.StringVar(&q.Type, "type", "", "`type` of what to follow: "+strings.Join(watch.Types, ", "))
			fs.StringVar(&q.Key, "key", "", "`key` of type key")
			fs.StringVar(&q.Prefix, "prefix", "", "`prefix` of the keys of type keyprefix")
			fs.StringVar(&q.Service, "service", "", "`name` of the service of types service, checks and connect_leaf")
			fs.StringVar(&q.ServiceID, "service-id", "", "`ID` of the service of type agent_service")
			fs.Var(&tags, "tag", "`tag` that instances of type service must have. May be repeated")
			fs.BoolVar(&q.PassingOnly, "passingonly", false, "only healthy instances, for type service")
			fs.StringVar(&q.State, "state", "", "`state` of the checks of type checks: any, passing, warning or critical")
			fs.StringVar(&q.Name, "name", "", "`name` of the events of type event; all if empty")
			fs.StringVar(&q.Filter, "filter", "", "`expression` that selects what counts")
			fs.BoolVar(&shell, "shell", true, "run the handler in a shell")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			q.Tags, q.Stale = tags, b.stale
			if err := q.Validate(); err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				now, err := q.Once(ctx, client)
				if err != nil {
					return complain("Error querying Consul agent: %w", err)
				}
				return printIndented(env, now.Value)
			}
			h := handlerOf(env, args, shell)
			log, _, _, err := logging.New(logging.Config{}, env.Err)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			q.Run(ctx, client, logging.Named(log, "watch"), func(c watch.Change) {
				if err := h.Handle(ctx, c); err != nil && ctx.Err() == nil {
					log.Error("watch handler failed", slog.Any(logging.Err, err))
				}
			})
			return nil
		},
	}
}

func printIndented(env *Env, v any) error {
	text, err := json.MarshalIndent(v, "", jsonIndent)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Out, "%s\n", text)
	return err
}

// handlerOf returns who is told of changes: a URL, or a command that a shell runs unless
// it is not to.
func handlerOf(env *Env, args []string, shell bool) watch.Handler {
	h := watch.Handler{Out: env.Out, Err: env.Err}
	switch {
	case len(args) == 1 && (strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://")):
		h.URL = args[0]
	case shell:
		h.Args, h.Shell = []string{strings.Join(args, " ")}, cmp.Or(env.Getenv("SHELL"), "/bin/sh")
	default:
		h.Args = args
	}
	return h
}
