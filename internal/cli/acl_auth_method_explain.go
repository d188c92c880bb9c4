package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// loginSteps is a login as the API explains it.
type loginSteps struct {
	ID                   string // of one that was refused
	Time                 time.Time
	AuthMethod, Type     string
	Namespace, Partition string
	Allowed              bool
	Reason, Change       string
	Identity             *struct {
		Principal, UniqueID, Account, ProofUsedBy string
		Values                                    map[string]string
	}
	NamespaceRules []struct {
		Selector, BindNamespace, Namespace, Error string
		Matches                                   bool
	}
	BindingRules []struct {
		ID, Selector, BindType, BindName, Name, Variable, Error string
		Matches, Missing                                        bool
	}
	Omitted int
	Gains   *api.ACLToken
}

func aclAuthMethodExplain(newBearer bearerFunc) *Command {
	var b base
	var name, bearerFile, loginID string
	meta, identity := pairsFlag{sep: "="}, pairsFlag{sep: "="}
	var auto awsFlags
	return &Command{
		Name: "explain", Short: "Say step by step what becomes of a login",
		Long: "Nothing is made. The login is one with a bearer token as of consul login, or one by an identity that is\n" +
			"given by hand with -identity; both need acl:write. With -login-id, it is one that was refused a while ago,\n" +
			"by the ID that the refusal carried; that needs acl:read.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			fs.StringVar(&name, "name", "", "auth method's `name`")
			fs.StringVar(&loginID, "login-id", "", "`ID` of a refused login")
			fs.StringVar(&bearerFile, "bearer-token-file", "", "`file` that holds the bearer token")
			fs.Var(&identity, "identity", "`name=value` of the identity, such as entity_tags.team=web; repeat for more")
			fs.Var(&meta, "meta", "`key=value` of the login; repeat for more")
			auto.register(fs)
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			what := call{method: http.MethodGet, path: "/v1/acl/login/" + loginID}
			switch {
			case len(args) > 0:
				return complain("Should have no non-flag arguments.")
			case (name == "") == (loginID == ""):
				return misuse("Must specify either the -name parameter or -login-id")
			}
			if err := b.check(); err != nil {
				return err
			}
			if loginID == "" {
				body, err := dryRun(ctx, &auto, bearerFile, identity.pairs, newBearer)
				if err != nil {
					return err
				}
				body["AuthMethod"], body["Meta"] = name, meta.pairs
				what = call{method: http.MethodPost, path: "/v1/acl/login/explain", body: body}
			}
			var answer json.RawMessage
			if _, err := b.raw(ctx, env, what, &answer); err != nil {
				return complain("Error explaining the login: %w", err)
			}
			var x loginSteps
			if err := json.Unmarshal(answer, &x); err != nil {
				return err
			}
			return b.print(env.Out, answer, jsonIndent, func(w io.Writer) { x.write(w) })
		},
	}
}

// dryRun returns the part of a dry run's body that says who logs in.
func dryRun(ctx context.Context, auto *awsFlags, bearerFile string, identity map[string]string, newBearer bearerFunc) (map[string]any, error) {
	if identity != nil {
		if bearerFile != "" || *auto != (awsFlags{}) {
			return nil, complain("Cannot use '-identity' with a bearer token")
		}
		return map[string]any{"Identity": identity}, nil
	}
	if err := auto.check(bearerFile); err != nil {
		return nil, err
	}
	bearer, err := readBearer(bearerFile)
	if auto.use {
		if bearer, err = newBearer(ctx, auto.input()); err != nil {
			return nil, complain("Error with aws-iam auth method: %w", err)
		}
	}
	return map[string]any{"BearerToken": bearer.Reveal()}, err
}

func (x *loginSteps) write(w io.Writer) {
	out := block{w, 14}
	if x.ID != "" {
		out.line("Login ID", x.ID)
		out.line("Time", x.Time)
	}
	out.line("Auth Method", strings.TrimSuffix(x.AuthMethod+" ("+x.Type+")", " ()"))
	out.tenancy(x.Partition, x.Namespace)
	answer := "refused"
	if x.Allowed {
		answer = "allowed"
	}
	out.line("Answer", answer)
	out.lineIf("Reason", x.Reason)
	out.lineIf("To change it", x.Change)
	x.writeIdentity(w)
	for i, r := range x.NamespaceRules {
		fmt.Fprintf(w, "Namespace rule %d: %s\n   %s\n", i+1, selectorText(r.Selector),
			outcome(r.Matches, r.Error, fmt.Sprintf("names the namespace %q with %s", r.Namespace, r.BindNamespace)))
	}
	for _, r := range x.BindingRules {
		effect := fmt.Sprintf("gives the %s %q with %s", r.BindType, r.Name, r.BindName)
		if r.Variable != "" {
			effect = fmt.Sprintf("gives the %s %q for %q", r.BindType, r.Name, r.Variable)
		}
		if r.Missing {
			effect = fmt.Sprintf("gives nothing: there is no %s %q", r.BindType, r.Name)
		}
		fmt.Fprintf(w, "Binding rule %s: %s\n   %s\n", r.ID, selectorText(r.Selector), outcome(r.Matches, r.Error, effect))
	}
	if x.Omitted > 0 {
		fmt.Fprintf(w, "… and %d binding rules more\n", x.Omitted)
	}
	if x.Gains != nil {
		fmt.Fprintln(w, "The token:")
		var text strings.Builder
		out := block{&text, 14}
		out.tenancy(x.Gains.Partition, x.Gains.Namespace)
		out.line("Local", x.Gains.Local)
		if x.Gains.ExpirationTime != nil {
			out.line("Expiration", *x.Gains.ExpirationTime)
		}
		tokenGrants(x.Gains).write(&text)
		fmt.Fprint(w, indent("   ", text.String()))
	}
}

func (x *loginSteps) writeIdentity(w io.Writer) {
	if x.Identity == nil {
		fmt.Fprintln(w, "Identity: none was proven")
		return
	}
	fmt.Fprintln(w, "Identity:")
	out := block{w, 14}
	out.lineIf("   Principal", x.Identity.Principal)
	out.lineIf("   Unique ID", x.Identity.UniqueID)
	out.lineIf("   Account", x.Identity.Account)
	for _, name := range slices.Sorted(maps.Keys(x.Identity.Values)) {
		fmt.Fprintf(w, "   %s = %q\n", name, x.Identity.Values[name])
	}
	if x.Identity.ProofUsedBy != "" {
		fmt.Fprintf(w, "   The bearer token was used before, for the token %s\n", x.Identity.ProofUsedBy)
	}
}

func selectorText(selector string) string {
	if selector == "" {
		return "everybody"
	}
	return selector
}

// outcome says what became of a rule.
func outcome(matches bool, failure, effect string) string {
	switch {
	case failure != "":
		return "matches and fails: " + failure
	case !matches:
		return "does not match"
	}
	return "matches and " + effect
}
