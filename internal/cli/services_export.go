package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

func servicesExport() *Command {
	var b base
	var name, peers, partitions string
	return &Command{
		Name: "export", Short: "Export a service to other partitions or to peers",
		Long: "The consumers are added to those that the exported-services entry of the partition has already.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			b.tenancy(fs)
			fs.StringVar(&name, "name", "", "`name` of the service (required)")
			fs.StringVar(&peers, "consumer-peers", "", "`names` of peers, separated by commas")
			fs.StringVar(&partitions, "consumer-partitions", "", "`names` of partitions, separated by commas")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			consumers := consumersOf(peers, partitions)
			switch {
			case name == "":
				return misuse("Missing required '-name' flag")
			case len(consumers) == 0:
				return misuse("Missing the required -consumer-peers or -consumer-partitions flag")
			}
			config, err := b.config(env)
			if err != nil {
				return complain("Error connecting to Consul agent: %w", err)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if err := export(ctx, client, &b, config, name, consumers); err != nil {
				return err
			}
			fmt.Fprintf(env.Out, "Successfully exported service %q to %s\n", name, describeConsumers(peers, partitions))
			return nil
		},
	}
}

// consumersOf reads two lists that are separated by commas.
func consumersOf(peers, partitions string) []api.ServiceConsumer {
	var all []api.ServiceConsumer
	for _, name := range words(peers) {
		all = append(all, api.ServiceConsumer{Peer: name})
	}
	for _, name := range words(partitions) {
		all = append(all, api.ServiceConsumer{Partition: name})
	}
	return all
}

func describeConsumers(peers, partitions string) string {
	var parts []string
	if list := words(peers); len(list) > 0 {
		parts = append(parts, "cluster peers "+strings.Join(list, ", "))
	}
	if list := words(partitions); len(list) > 0 {
		parts = append(parts, "admin partitions "+strings.Join(list, ", "))
	}
	return strings.Join(parts, " and to ")
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// export adds consumers to the entry of the partition. Whoever changes it at the same time makes it try again.
func export(ctx context.Context, client *api.Client, b *base, config *api.Config, name string, consumers []api.ServiceConsumer) error {
	partition := config.Partition
	if partition == "" {
		partition = "default"
	}
	const attempts = 5
	for range attempts {
		entry := &api.ExportedServicesConfigEntry{Name: partition, Partition: config.Partition}
		found, _, err := client.ConfigEntries().Get(api.ExportedServices, partition, b.read(ctx))
		if e, ok := found.(*api.ExportedServicesConfigEntry); ok && err == nil {
			entry = e
		} else if status := (api.StatusError{}); err != nil && (!errors.As(err, &status) || status.Code != http.StatusNotFound) {
			return complain("Error reading config entry %s/%s: %w", api.ExportedServices, partition, err)
		}
		addConsumers(entry, name, config.Namespace, consumers)
		done, _, err := client.ConfigEntries().CAS(entry, entry.ModifyIndex, b.write(ctx))
		if err != nil {
			return complain("Error writing config entry %s/%s: %w", api.ExportedServices, partition, err)
		}
		if done {
			return nil
		}
	}
	return complain("Config entry not updated: %s/%s: others change it all the time", api.ExportedServices, partition)
}

// addConsumers adds those that a service of the entry does not have.
func addConsumers(entry *api.ExportedServicesConfigEntry, name, namespace string, consumers []api.ServiceConsumer) {
	same := func(s api.ExportedService) bool {
		return s.Name == name && (s.Namespace == namespace || s.Namespace+namespace == "default")
	}
	i := slices.IndexFunc(entry.Services, same)
	if i < 0 {
		i = len(entry.Services)
		entry.Services = append(entry.Services, api.ExportedService{Name: name, Namespace: namespace})
	}
	s := &entry.Services[i]
	for _, c := range consumers {
		if !slices.Contains(s.Consumers, c) {
			s.Consumers = append(s.Consumers, c)
		}
	}
}

func servicesExported() *Command {
	var b base
	var filter string
	return &Command{
		Name: "exported-services", Short: "List the services of a partition that others may use",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancyPartition(fs)
			b.formatFlag(fs)
			fs.StringVar(&filter, "filter", "", "`expression` that selects services")
		},
		Run: b.callingAlone(func(ctx context.Context, env *Env, client *api.Client) error {
			q := b.read(ctx)
			q.Filter = filter
			list, _, err := client.ExportedServices(q)
			if err != nil {
				return complain("Error reading exported services: %w", err)
			}
			if b.format == "json" {
				return printIndented(env, list)
			}
			if len(list) == 0 {
				fmt.Fprintln(env.Out, "No exported services found")
				return nil
			}
			return writeTable(env.Out, []string{"Service", "Partition", "Namespace", "Consumer Peers", "Consumer Partitions"}, list,
				func(s api.ResolvedExportedService) []string {
					return []string{s.Service, s.Partition, s.Namespace, strings.Join(s.Consumers.Peers, ", "), strings.Join(s.Consumers.Partitions, ", ")}
				})
		}),
	}
}
