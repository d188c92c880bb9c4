package raftnode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// peersFile is below the data directory's raft directory. Its JSON is an array
// of {"id", "address", "non_voter"}.
const peersFile = "peers.json"

// recover replaces the cluster's servers by those of peers.json, if that file
// is there, and then removes it. It is how an operator brings back a cluster that
// has lost its majority for good, with every remaining server given the same file. What it does is done
// on disk before it returns; if it was cut short it can be repeated.
func (n *Node) recover(conf *raft.Config, m raft.FSM) error {
	if n.cfg.DataDir == "" {
		return nil
	}
	path := filepath.Join(n.cfg.DataDir, "raft", peersFile)
	servers, err := raft.ReadConfigJSON(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover by %s: %w", path, err)
	}
	if err := n.checkMember(servers.Servers); err != nil {
		return fmt.Errorf("recover by %s: this server is not in it: %w", path, err)
	}
	st := n.storage
	if err := raft.RecoverCluster(conf, m, st.logs, st.stable, st.snapshots, n.transport.raft(), servers); err != nil {
		return fmt.Errorf("recover by %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("recovered by %s, which has to be removed now: %w", path, err)
	}
	n.log.Warn("recovered the cluster by peers.json", "servers", len(servers.Servers))
	return nil
}
