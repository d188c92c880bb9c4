package cli

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"time"

	"github.com/lictor/lictor/internal/ca"
)

// caRequest is what consul tls ca create was asked for.
type caRequest struct {
	domain, clusterID, commonName string
	days                          int
	constrain                     bool
	permitted                     listFlag
}

func tlsCACreate() *Command {
	var req caRequest
	return &Command{
		Name: "create", Short: "Make a CA for the agents of a cluster",
		Long: "The certificate goes into <domain>-agent-ca.pem and its key into <domain>-agent-ca-key.pem, in the current directory. Keep the key off the servers: whoever has it can make servers.",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&req.domain, "domain", "consul", "DNS `domain` of the cluster")
			fs.IntVar(&req.days, "days", 1825, "for how many `days` it is valid")
			fs.StringVar(&req.commonName, "common-name", "", "common `name` of the CA")
			fs.StringVar(&req.clusterID, "cluster-id", "", "`ID` of the cluster, for a URI in the certificate")
			fs.BoolVar(&req.constrain, "name-constraint", false, "let it sign only names of the domain, localhost and those of -additional-name-constraint")
			fs.Var(&req.permitted, "additional-name-constraint", "DNS `domain` that it may sign names of too (repeatable)")
		},
		Run: func(_ context.Context, env *Env, _ []string) error { return req.run(env) },
	}
}

func (r *caRequest) run(env *Env) error {
	life, err := days(r.days)
	if err != nil {
		return err
	}
	for _, check := range []struct{ flag, value string }{{"-domain", r.domain}, {"-cluster-id", r.clusterID}} {
		if err := checkName(check.flag, check.value); err != nil {
			return err
		}
	}
	if r.domain == "" {
		return complain("-domain must not be empty")
	}
	if len(r.permitted) > 0 && !r.constrain {
		return complain("-additional-name-constraint requires -name-constraint")
	}
	cert, key := inDomain(caFile, r.domain), inDomain(caKeyFile, r.domain)
	for _, path := range []string{cert, key} {
		if exists(path) {
			return complain("%s already exists.", path)
		}
	}
	made, err := r.spec().New(time.Now(), life)
	if err != nil {
		return complain("Error making the CA: %w", err)
	}
	if err := savePair(made.Pair, cert, key); err != nil {
		return complain("Error saving the CA: %w", err)
	}
	_, err = fmt.Fprintf(env.Out, "==> Saved %s\n==> Saved %s\n", cert, key)
	return err
}

func (r *caRequest) spec() ca.CASpec {
	spec := ca.CASpec{CommonName: r.commonName}
	if r.clusterID != "" {
		spec.URI = &url.URL{Scheme: "spiffe", Host: r.clusterID + "." + r.domain}
	}
	if r.constrain {
		spec.Permitted = append([]string{r.domain, "localhost"}, r.permitted...)
	}
	return spec
}
