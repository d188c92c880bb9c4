package cli

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
)

// certRequest is what consul tls cert create was asked for.
type certRequest struct {
	server, client, cli bool
	dc, domain, node    string
	days                int
	ca, key             string
	dns                 listFlag
	ips                 ipsFlag
}

// ipsFlag is a repeatable flag of IP addresses.
type ipsFlag []net.IP

func (f *ipsFlag) String() string { return "" }

func (f *ipsFlag) Set(value string) error {
	ip := net.ParseIP(strings.TrimSpace(value))
	if ip == nil {
		return complain("not an IP address")
	}
	*f = append(*f, ip)
	return nil
}

const serverWarning = `==> WARNING: whoever holds the certificate of a server can act as a server:
    read all state of the cluster, its tokens and CA keys included, and
    change it. Bring it to servers only, and guard its key like the key
    of the CA.
`

func tlsCertCreate() *Command {
	var req certRequest
	return &Command{
		Name: "create", Short: "Make the certificate of a server, a client agent or an operator", FlagError: "Failed to parse args: ",
		Long: "The certificate goes into <dc>-<kind>-<domain>-<n>.pem and its key into <dc>-<kind>-<domain>-<n>-key.pem, in the current directory; n is the first number that is free.",
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&req.server, "server", false, "for a server")
			fs.BoolVar(&req.client, "client", false, "for a client agent")
			fs.BoolVar(&req.cli, "cli", false, "for an operator's command line")
			fs.StringVar(&req.dc, "dc", "dc1", "`datacenter` that it is for")
			fs.StringVar(&req.domain, "domain", "consul", "DNS `domain` of the cluster")
			fs.StringVar(&req.node, "node", "", "`name` of the server, to be a name of its own (with -server)")
			fs.IntVar(&req.days, "days", 365, "for how many `days` it is valid")
			fs.StringVar(&req.ca, "ca", caFile, "certificate `file` of the CA")
			fs.StringVar(&req.key, "key", caKeyFile, "key `file` of the CA")
			fs.Var(&req.dns, "additional-dnsname", "further DNS `name` (repeatable)")
			fs.Var(&req.ips, "additional-ipaddress", "further IP `address` (repeatable)")
		},
		Run: func(_ context.Context, env *Env, _ []string) error { return req.run(env) },
	}
}

func (r *certRequest) run(env *Env) error {
	kind, err := r.kind()
	if err != nil {
		return err
	}
	life, err := days(r.days)
	if err != nil {
		return err
	}
	caCert, caKey := inDomain(r.ca, r.domain), inDomain(r.key, r.domain)
	authority, err := readCA(caCert, caKey)
	if err != nil {
		return err
	}
	pair, err := r.sign(authority, kind, life)
	if err != nil {
		return complain("Error making the certificate: %w", err)
	}
	if kind == "server" {
		fmt.Fprint(env.Err, serverWarning)
	}
	fmt.Fprintf(env.Out, "==> Using %s and %s\n", caCert, caKey)
	cert, key := freeFiles(fmt.Sprintf("%s-%s-%s", r.dc, kind, r.domain))
	if err := savePair(pair, cert, key); err != nil {
		return complain("Error saving the certificate: %w", err)
	}
	_, err = fmt.Fprintf(env.Out, "==> Saved %s\n==> Saved %s\n", cert, key)
	return err
}

// kind checks the flags and returns what the certificate is for.
func (r *certRequest) kind() (string, error) {
	var kinds []string
	for kind, wanted := range map[string]bool{"server": r.server, "client": r.client, "cli": r.cli} {
		if wanted {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		return "", complain("Please provide either -server, -client, or -cli")
	}
	if r.node != "" && !r.server {
		return "", complain("-node requires -server")
	}
	if r.dc == "" || r.domain == "" {
		return "", complain("-dc and -domain must not be empty")
	}
	for _, check := range []struct{ flag, value string }{{"-dc", r.dc}, {"-domain", r.domain}, {"-node", r.node}} {
		if err := checkName(check.flag, check.value); err != nil {
			return "", err
		}
	}
	return kinds[0], nil
}

func readCA(cert, key string) (*ca.AgentCA, error) {
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return nil, complain("Error reading CA: %w", err)
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return nil, complain("Error reading CA key: %w", err)
	}
	authority, err := ca.LoadAgentCA(ca.Pair{Cert: certPEM, Key: logging.Secret(keyPEM)})
	if err != nil {
		return nil, complain("Error reading CA: %s: %w", cert, err)
	}
	return authority, nil
}

func (r *certRequest) sign(authority *ca.AgentCA, kind string, life time.Duration) (ca.Pair, error) {
	if kind == "server" {
		names := ca.ServerNames{Datacenter: r.dc, Domain: r.domain, Node: r.node, DNS: r.dns, IPs: r.ips}
		return authority.Server(names, time.Now(), life)
	}
	names := ca.ClientNames{Datacenter: r.dc, Domain: r.domain, DNS: r.dns, IPs: r.ips}
	if kind == "cli" {
		return authority.CLI(names, time.Now(), life)
	}
	return authority.Client(names, time.Now(), life)
}

// freeFiles returns the first names of a certificate and its key that are not taken.
func freeFiles(prefix string) (cert, key string) {
	for n := 0; ; n++ {
		cert, key = fmt.Sprintf("%s-%d.pem", prefix, n), fmt.Sprintf("%s-%d-key.pem", prefix, n)
		if !exists(cert) && !exists(key) {
			return cert, key
		}
	}
}
