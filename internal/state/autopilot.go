package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func autopilotAt(*autopilot.Config) (tenancy.Scope, string) { return tenancy.Default, "" }

// autopilotConfig has one row, or none.
var autopilotConfig = &resource[autopilot.Config]{
	name:    TableAutopilot,
	at:      autopilotAt,
	rows:    store.NewTable("autopilot", autopilotAt),
	indexes: func(c *autopilot.Config) (*uint64, *uint64) { return &c.CreateIndex, &c.ModifyIndex },
}

// Autopilot returns what an operator has chosen about the cluster's servers, nil before somebody did.
func (tx *Tx) Autopilot(ws memdb.WatchSet) (*autopilot.Config, error) {
	return autopilotConfig.rows.Get(tx.db, ws, tenancy.Default, "")
}

// PutAutopilot stores what an operator chooses about the cluster's servers.
func (tx *Tx) PutAutopilot(c autopilot.Config) error { return autopilotConfig.put(tx, c) }
