package cli

import (
	"context"
	"flag"
	"fmt"
)

// agentTokenKinds maps the TYPE of the command line to the API's word.
var agentTokenKinds = map[string]string{
	"default":                          "default",
	"agent":                            "agent",
	"recovery":                         "agent_recovery",
	"master":                           "agent_recovery",
	"replication":                      "replication",
	"config_file_service_registration": "config_file_service_registration",
	"dns":                              "dns",
}

func aclSetAgentToken() *Command {
	var b base
	return &Command{
		Name: "set-agent-token", Args: "TYPE TOKEN", Short: "Give an agent a token for its own work",
		Long: "TYPE is one of default, agent, recovery, replication, config_file_service_registration and dns.\n" +
			"The agent forgets the token when it stops, unless it is configured to persist tokens.",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) == 0:
				return complain("Error! Missing TYPE and TOKEN arguments")
			case len(args) == 1:
				return complain("Error! Missing TOKEN argument")
			case len(args) > 2:
				return complain("Error! Too many arguments: expected 2 got %d", len(args))
			}
			kind, known := agentTokenKinds[args[0]]
			if !known {
				return misuse("Unknown token type")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			body := struct{ Token string }{args[1]}
			if _, err := client.Raw().Write("/v1/agent/token/"+kind, body, nil, b.write(ctx)); err != nil {
				return complain("Failed to set ACL token %q: %w", args[0], err)
			}
			fmt.Fprintf(env.Out, "ACL token %q set successfully\n", args[0])
			return nil
		},
	}
}
