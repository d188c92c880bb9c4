package raftnode

import (
	"context"

	"github.com/hashicorp/raft"
)

// AddNonvoter lets a server replicate without a vote, so that it can catch up before it
// counts, or changes the address of one that has none. It returns when
// the cluster has agreed; ErrNoLeader if this server does not lead.
func (n *Node) AddNonvoter(ctx context.Context, id, addr string) error {
	return n.wait(ctx, func() raft.Future {
		return n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0)
	})
}
