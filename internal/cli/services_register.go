package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/local"
)

func servicesRegister() *Command {
	var b base
	d := definition{meta: pairsFlag{sep: "="}, addresses: pairsFlag{sep: "="}}
	return &Command{
		Name: "register", Args: "[FILE...]", Short: "Register services with the agent",
		Long: "The services are those of files, HCL or JSON with `service` blocks or a `services` list, or the one that the options describe. " +
			"They are not kept when they were registered with an agent whose data directory is lost, and they stay until they are deregistered.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			d.register(fs)
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) == 0 && !d.given():
				return complain("Service registration requires at least one argument or flags.")
			case len(args) > 0 && d.given():
				return complain("Service registration requires arguments or -id, not both.")
			}
			list, err := serviceFiles(env, args)
			if err == nil && len(args) == 0 {
				list, err = d.service()
			}
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			for _, s := range list {
				if err := registerService(client, s, b.write(ctx)); err != nil {
					return complain("Error registering service %q: %w", s.Name, err)
				}
				fmt.Fprintf(env.Out, "Registered service: %s\n", s.Name)
			}
			return nil
		},
	}
}

// definition is the service that the options describe.
type definition struct {
	id, name, address, socket, kind string
	port                            int
	tags                            listFlag
	meta, addresses                 pairsFlag
}

func (d *definition) register(fs *flag.FlagSet) {
	fs.StringVar(&d.id, "id", "", "`ID` of the service, unique on the node; the name if empty")
	fs.StringVar(&d.name, "name", "", "`name` of the service")
	fs.StringVar(&d.address, "address", "", "`address` of the service; the node's if empty")
	fs.IntVar(&d.port, "port", 0, "`port` of the service")
	fs.StringVar(&d.socket, "socket", "", "`path` of the socket that the service listens on, in place of a port")
	fs.StringVar(&d.kind, "kind", "", "`kind` of the service, such as connect-proxy or mesh-gateway")
	fs.Var(&d.tags, "tag", "`tag` of the service. May be repeated")
	fs.Var(&d.meta, "meta", "`key=value` of the service's metadata. May be repeated")
	fs.Var(&d.addresses, "tagged-address", "another address of the service, as `name=address:port`. May be repeated")
}

func (d *definition) given() bool {
	return cmp.Or(d.id, d.name, d.address, d.socket, d.kind) != "" || d.port != 0 || len(d.tags)+len(d.meta.pairs)+len(d.addresses.pairs) > 0
}

func (d *definition) service() ([]local.ServiceDefinition, error) {
	s := local.ServiceDefinition{
		Kind: catalog.Kind(d.kind), ID: d.id, Name: d.name, Tags: d.tags, Meta: d.meta.pairs,
		Address: d.address, Port: d.port, SocketPath: d.socket,
	}
	for name, text := range d.addresses.pairs {
		a, err := api.ParseServiceAddr(text)
		if err != nil {
			return nil, complain("Tagged address malformed: %w", err)
		}
		if s.TaggedAddresses == nil {
			s.TaggedAddresses = map[string]catalog.ServiceAddress{}
		}
		s.TaggedAddresses[name] = catalog.ServiceAddress{Address: a.Address, Port: a.Port}
	}
	return []local.ServiceDefinition{s}, nil
}

// registerService registers s, with its own token if it has one. The published client's
// type does not have every field of a check.
func registerService(client *api.Client, s local.ServiceDefinition, q *api.WriteOptions) error {
	q.Token, s.Token = s.Token.Reveal(), ""
	body, err := bodyOf(s)
	if err != nil {
		return err
	}
	_, err = client.Raw().Write("/v1/agent/service/register", body, nil, q)
	return err
}

// bodyOf returns the JSON object of v without its empty fields, which other agents may not know.
func bodyOf(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	dropEmpty(body)
	return body, nil
}

// dropEmpty drops the fields of a service, and of its sidecar, that say nothing. What is further
// inside may mean something by being false or zero. A sidecar that says nothing stays: it is
// to be there.
func dropEmpty(body map[string]any) {
	for key, value := range body {
		switch value {
		case nil, "", false, 0.0:
			delete(body, key)
		}
		switch inner := value.(type) {
		case []any:
			if len(inner) == 0 {
				delete(body, key)
			}
		case map[string]any:
			if key == "Connect" || key == "SidecarService" {
				dropEmpty(inner)
			}
		}
	}
}
