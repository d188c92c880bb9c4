package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/consul/api"
)

// exitNoMembers is the exit code of members when nothing matches.
const exitNoMembers ExitCode = 2

// memberStatus are the names of serf's states, by their number.
var memberStatus = []string{"none", "alive", "leaving", "left", "failed"}

func members() *Command {
	var b base
	var detailed bool
	var status, partition string
	opts := api.MembersOpts{}
	return &Command{
		Name: "members", Short: "List the agents that the local agent knows",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.BoolVar(&detailed, "detailed", false, "show every tag")
			fs.BoolVar(&opts.WAN, "wan", false, "list the servers of every datacenter")
			fs.StringVar(&status, "status", ".*", "list only agents whose status matches this regular `expression`")
			fs.StringVar(&opts.Segment, "segment", "_all", "list only the agents of this network `segment`")
			fs.StringVar(&opts.Filter, "filter", "", "`expression` that selects agents")
			fs.StringVar(&partition, "partition", "", "admin `partition` whose agents to list; also CONSUL_PARTITION")
		},
		Run: func(_ context.Context, env *Env, _ []string) error {
			matches, err := regexp.Compile(status)
			if err != nil {
				return complain("Failed to compile status regexp: %w", err)
			}
			b.partition = partition
			client, err := b.open(env)
			if err != nil {
				return err
			}
			list, err := client.Agent().MembersOpts(opts)
			if err != nil {
				return complain("Error retrieving members: %w", err)
			}
			list = slices.DeleteFunc(list, func(m *api.AgentMember) bool { return !matches.MatchString(statusOf(m)) })
			if len(list) == 0 {
				return exitNoMembers
			}
			slices.SortFunc(list, compareMembers)
			if detailed {
				return writeTable(env.Out, []string{"Node", "Address", "Status", "Tags"}, list, detailedRow)
			}
			return writeTable(env.Out, []string{
				"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment",
			}, list, memberRow)
		},
	}
}

func compareMembers(a, b *api.AgentMember) int {
	return cmp.Or(
		cmp.Compare(a.Tags["dc"], b.Tags["dc"]),
		cmp.Compare(partitionOf(a), partitionOf(b)),
		cmp.Compare(segmentOf(a), segmentOf(b)),
		cmp.Compare(a.Name, b.Name),
	)
}

func memberRow(m *api.AgentMember) []string {
	kind := "unknown"
	switch m.Tags["role"] {
	case "consul":
		kind = "server"
	case "node":
		kind = "client"
	}
	build, _, _ := strings.Cut(m.Tags["build"], ":")
	return []string{
		m.Name, addressOf(m), statusOf(m), kind, build, m.Tags["vsn"], m.Tags["dc"], partitionOf(m), segmentOf(m),
	}
}

func detailedRow(m *api.AgentMember) []string {
	tags := slices.Sorted(maps.Keys(m.Tags))
	for i, key := range tags {
		tags[i] = key + "=" + m.Tags[key]
	}
	return []string{m.Name, addressOf(m), statusOf(m), strings.Join(tags, ",")}
}

func addressOf(m *api.AgentMember) string {
	return net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port)))
}

func statusOf(m *api.AgentMember) string {
	if m.Status < 0 || m.Status >= len(memberStatus) {
		return fmt.Sprintf("unknown (%d)", m.Status)
	}
	return memberStatus[m.Status]
}

func partitionOf(m *api.AgentMember) string { return cmp.Or(m.Tags["ap"], "default") }

// segmentOf shows that a server is in every segment.
func segmentOf(m *api.AgentMember) string {
	if m.Tags["role"] == "consul" {
		return "<all>"
	}
	return cmp.Or(m.Tags["segment"], "<default>")
}

// writeTable writes a line of titles and a line for each element, in columns
// that are two spaces apart.
func writeTable[T any](w io.Writer, titles []string, list []T, row func(T) []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(titles, "\t"))
	for _, v := range list {
		fmt.Fprintln(table, strings.Join(row(v), "\t"))
	}
	return table.Flush()
}
