package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// explanation is the API's answer to whether a token may do something.
type explanation struct {
	AccessorID                string
	Resource, Access, Segment string
	Namespace, Partition      string
	Allow                     bool
	Reason, Change            string
	Rules                     []struct {
		PolicyID, Policy                      string
		PolicyNamespace, PolicyPartition, Via string
		Rule, Grants                          string
		Line, Column                          int
		Decides                               bool
	}
}

func aclExplain() *Command {
	var b base
	var ref tokenRef
	var self bool
	var resource, access, segment string
	return &Command{
		Name: "explain", Short: "Say whether a token may do something, and which rule decides",
		Long: "Everybody may ask about their own token with -self; any other one needs acl:read where the token lives.\n" +
			"-namespace and -partition say where it would be done.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			fs.StringVar(&ref.accessor, "accessor-id", "", "token's `accessor` ID, the beginning of it, or the word anonymous")
			fs.BoolVar(&self, "self", false, "ask about the token that the command sends")
			fs.StringVar(&resource, "resource", "", "`word` of the rule language, such as service or key (required)")
			fs.StringVar(&access, "access", "", "read, list, write or write-prefix, the `access` asked for (required)")
			fs.StringVar(&segment, "segment", "", "`name` of the service, key, node and so on; none for resources without one")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch {
			case self == (ref.accessor != ""):
				return misuse("Must specify either the -accessor-id parameter or -self")
			case resource == "":
				return misuse("Missing required '-resource' flag")
			case access == "":
				return misuse("Missing required '-access' flag")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			body := map[string]string{"Resource": resource, "Access": access, "Segment": segment}
			if !self {
				if body["AccessorID"], err = ref.resolve(env, client, b.read(ctx), missingAccessor); err != nil {
					return err
				}
			}
			var answer json.RawMessage
			if _, err := b.raw(ctx, env, call{method: http.MethodPost, path: "/v1/acl/explain", body: body}, &answer); err != nil {
				return complain("Error explaining: %w", err)
			}
			var x explanation
			if err := json.Unmarshal(answer, &x); err != nil {
				return err
			}
			return b.print(env.Out, answer, jsonIndent, func(w io.Writer) { x.write(w) })
		},
	}
}

func (x *explanation) write(w io.Writer) {
	out := block{w, 14}
	out.line("AccessorID", x.AccessorID)
	asked := x.Resource + ":" + x.Access
	if x.Segment != "" {
		asked += " on " + strconv.Quote(x.Segment)
	}
	out.line("Permission", asked)
	out.tenancy(x.Partition, x.Namespace)
	answer := "denied"
	if x.Allow {
		answer = "allowed"
	}
	out.line("Answer", answer)
	out.line("Reason", x.Reason)
	out.lineIf("To change it", x.Change)
	if len(x.Rules) == 0 {
		return
	}
	fmt.Fprintln(w, "Rules:")
	for _, r := range x.Rules {
		effect := "decides"
		if !r.Decides {
			effect = "is overruled"
		}
		fmt.Fprintf(w, "   %s grants %s and %s\n", r.Rule, r.Grants, effect)
		from := r.Policy
		if r.PolicyID != "" {
			from += " (" + r.PolicyID + ")"
		}
		fmt.Fprintf(w, "      %s in %s/%s, line %d, column %d\n", from, r.PolicyPartition, r.PolicyNamespace, r.Line, r.Column)
		fmt.Fprintf(w, "      through %s\n", r.Via)
	}
}
