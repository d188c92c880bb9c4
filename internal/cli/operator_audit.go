package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// operatorAudit is the group of what an agent tells about its audit trail.
func operatorAudit() *Command {
	return &Command{
		Name: "audit", Short: "Ask an agent about its audit trail",
		Sub: []*Command{operatorAuditHash()},
	}
}

// operatorAuditHash is consul operator audit hash.
func operatorAuditHash() *Command {
	var b base
	var input string
	return &Command{
		Name: "hash", Short: "Show what stands for a secret in the agent's audit trail",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.StringVar(&input, "input", "", "the `text` to hash")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if input == "" {
				return complain("Missing -input")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			answer, err := client.Operator().AuditHash(&api.AuditHashRequest{Input: input}, b.read(ctx))
			if err != nil {
				return complain("Error hashing the input: %w", err)
			}
			_, err = fmt.Fprintln(env.Out, answer.Hash)
			return err
		},
	}
}
