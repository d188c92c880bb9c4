package raftnode

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/logging"
)

const (
	connsPerServer = 3                // kept open to each server
	messageTimeout = 10 * time.Second // of one message; snapshots have longer
)

// Network returns the transport of a cluster over the connections of layer. Closing it closes
// layer.
func Network(layer raft.StreamLayer, log *slog.Logger) raft.Transport {
	return raft.NewNetworkTransportWithLogger(layer, connsPerServer, messageTimeout, logging.HCLog(logging.Named(log, "raft")))
}
