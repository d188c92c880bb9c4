package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"
)

func operatorUsage() *Command {
	return &Command{Name: "usage", Short: "Count what is registered", Sub: []*Command{usageInstances()}}
}

func usageInstances() *Command {
	var b base
	var all, billable, connect bool
	return &Command{
		Name: "instances", Short: "Count the services and their instances by partition and namespace",
		Long: "Billable instances are those of services that are no proxies and no gateways, without the servers' own service. " +
			"Without -billable and -connect both tables are shown.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.BoolVar(&all, "all-datacenters", false, "of every datacenter that the servers know")
			fs.BoolVar(&billable, "billable", false, "only billable instances")
			fs.BoolVar(&connect, "connect", false, "only instances of the mesh")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			query := url.Values{}
			if all {
				query.Set("global", "")
			}
			var usage api.Usage
			if _, err := b.raw(ctx, env, call{method: "GET", path: "/v1/operator/usage", query: query}, &usage); err != nil {
				return complain("Error fetching usage information: %w", err)
			}
			both := billable == connect
			if billable || both {
				if err := printBillable(env.Out, usage); err != nil {
					return err
				}
			}
			if both {
				fmt.Fprintln(env.Out)
			}
			if connect || both {
				return printMeshed(env.Out, usage)
			}
			return nil
		},
	}
}

// usageRow counts one namespace, or with partition "" all of them.
type usageRow struct {
	datacenter, partition, namespace, kind string
	services, instances                    int
}

// printBillable prints the billable instances of every namespace.
func printBillable(w io.Writer, usage api.Usage) error {
	var rows []usageRow
	total := 0
	for _, dc := range slices.Sorted(maps.Keys(usage.Usage)) {
		u := usage.Usage[dc]
		total += u.BillableServiceInstances
		for _, p := range slices.Sorted(maps.Keys(u.PartitionNamespaceBillableServiceInstances)) {
			spaces := u.PartitionNamespaceBillableServiceInstances[p]
			for _, ns := range slices.Sorted(maps.Keys(spaces)) {
				rows = append(rows, usageRow{datacenter: dc, partition: p, namespace: ns,
					services: u.PartitionNamespaceServices[p][ns], instances: spaces[ns]})
			}
		}
	}
	fmt.Fprintf(w, "Billable Service Instances Total: %d\n", total)
	return writeTable(w, []string{"Datacenter", "Partition", "Namespace", "Services", "Service Instances"}, rows, func(r usageRow) []string {
		return []string{r.datacenter, r.partition, r.namespace, strconv.Itoa(r.services), strconv.Itoa(r.instances)}
	})
}

// printMeshed prints the mesh's instances of every namespace by their kind.
func printMeshed(w io.Writer, usage api.Usage) error {
	var rows []usageRow
	total := 0
	for _, dc := range slices.Sorted(maps.Keys(usage.Usage)) {
		u := usage.Usage[dc]
		for _, n := range u.ConnectServiceInstances {
			total += n
		}
		for _, p := range slices.Sorted(maps.Keys(u.PartitionNamespaceConnectServiceInstances)) {
			spaces := u.PartitionNamespaceConnectServiceInstances[p]
			for _, ns := range slices.Sorted(maps.Keys(spaces)) {
				for _, kind := range slices.Sorted(maps.Keys(spaces[ns])) {
					rows = append(rows, usageRow{datacenter: dc, partition: p, namespace: ns, kind: kind, instances: spaces[ns][kind]})
				}
			}
		}
	}
	fmt.Fprintf(w, "Connect Service Instances Total: %d\n", total)
	return writeTable(w, []string{"Datacenter", "Partition", "Namespace", "Type", "Service Instances"}, rows, func(r usageRow) []string {
		return []string{r.datacenter, r.partition, r.namespace, r.kind, strconv.Itoa(r.instances)}
	})
}
