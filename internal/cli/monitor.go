package cli

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
)

func monitor() *Command {
	var b base
	var level string
	var asJSON bool
	return &Command{
		Name: "monitor", Short: "Show the log of an agent as it is written",
		Long: "It runs until it is interrupted or the agent ends. The level may be another than that of the agent's own log.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.StringVar(&level, "log-level", "INFO", "least important `level` of messages shown: TRACE, DEBUG, INFO, WARN or ERROR")
			fs.BoolVar(&asJSON, "log-json", false, "show a JSON object a line")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			in := call{method: http.MethodGet, path: "/v1/agent/monitor", query: url.Values{"loglevel": {level}}}
			if asJSON {
				in.query.Set("logjson", "true")
			}
			answer, err := b.stream(ctx, env, in)
			if err != nil {
				return complain("Error starting monitor: %w", err)
			}
			defer answer.Close()
			lines := bufio.NewScanner(answer)
			lines.Buffer(nil, maxLine)
			for lines.Scan() {
				fmt.Fprintf(env.Out, "%s\n", lines.Bytes())
			}
			if err := lines.Err(); err != nil && ctx.Err() == nil {
				return complain("Error reading the log: %w", err)
			}
			return nil
		},
	}
}

// maxLine bounds one line of a log, in bytes.
const maxLine = 1 << 20
