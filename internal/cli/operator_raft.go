package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/hashicorp/consul/api"
)

func operatorRaft() *Command {
	return &Command{
		Name: "raft", Short: "Look after the servers that replicate",
		Sub: []*Command{operatorRaftListPeers(), operatorRaftRemovePeer(), operatorRaftTransferLeader()},
	}
}

func operatorRaftListPeers() *Command {
	var b base
	return &Command{
		Name: "list-peers", Short: "List the servers that replicate",
		Long:  "With -stale, a server answers even where there is no leader.",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			config, err := client.Operator().RaftGetConfiguration(b.read(ctx))
			if err != nil {
				return complain("Error getting peers: Failed to retrieve raft configuration: %w", err)
			}
			last := uint64(0) // of the leader
			for _, s := range config.Servers {
				if s.Leader {
					last = s.LastIndex
				}
			}
			return writeTable(env.Out, []string{
				"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By",
			}, config.Servers, func(s *api.RaftServer) []string { return peerRow(s, last) })
		}),
	}
}

// peerRow shows a server; last is the leader's index.
func peerRow(s *api.RaftServer, last uint64) []string {
	state, trails := "follower", fmt.Sprintf("%d commits", max(last, s.LastIndex)-s.LastIndex)
	if s.Leader {
		state, trails = "leader", "-"
	}
	return []string{
		s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), s.ProtocolVersion, strconv.FormatUint(s.LastIndex, 10), trails,
	}
}

func operatorRaftRemovePeer() *Command {
	var b base
	var address, id string
	return &Command{
		Name: "remove-peer", Short: "Take a server out of those that replicate",
		Long: "This is for a server that will not come back. One that is still there is added again.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.StringVar(&address, "address", "", "`address` of the server, IP:port")
			fs.StringVar(&id, "id", "", "`ID` of the server")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch {
			case address == "" && id == "":
				return complain("Error removing peer: an address or id is required for the peer to remove")
			case address != "" && id != "":
				return complain("Error removing peer: cannot give both an address and an id")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			what, value := "address", address
			if id != "" {
				what, value = "id", id
				err = client.Operator().RaftRemovePeerByID(id, b.write(ctx))
			} else {
				err = client.Operator().RaftRemovePeerByAddress(address, b.write(ctx))
			}
			if err != nil {
				return complain("Error removing peer: %w", err)
			}
			fmt.Fprintf(env.Out, "Removed peer with %s %q\n", what, value)
			return nil
		},
	}
}

func operatorRaftTransferLeader() *Command {
	var b base
	var id string
	return &Command{
		Name: "transfer-leader", Short: "Let another server lead",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.StringVar(&id, "id", "", "`ID` of the server that is to lead; any if empty")
		},
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			answer, err := client.Operator().RaftLeaderTransfer(id, b.read(ctx))
			if err != nil {
				return complain("Error transfering leadership: Failed to transfer leadership %w", err)
			}
			if !answer.Success {
				return complain("Error transfering leadership: the leader did not change")
			}
			fmt.Fprintln(env.Out, "Success")
			return nil
		}),
	}
}
