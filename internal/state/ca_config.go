package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func caConfigAt(*ca.Config) (tenancy.Scope, string) { return tenancy.Default, "" }

// caConfig has one row, or none.
var caConfig = &resource[ca.Config]{
	name:    TableCAConfig,
	at:      caConfigAt,
	rows:    store.NewTable("ca-config", caConfigAt),
	indexes: func(c *ca.Config) (*uint64, *uint64) { return &c.CreateIndex, &c.ModifyIndex },
}

// CAConfig returns what was chosen about the mesh CA; the defaults, with indexes of 0, before
// anything was.
func (tx *Tx) CAConfig(ws memdb.WatchSet) (*ca.Config, error) {
	stored, err := caConfig.rows.Get(tx.db, ws, tenancy.Default, "")
	if err != nil || stored != nil {
		return stored, err
	}
	normal := ca.DefaultConfig()
	return &normal, nil
}

// PutCAConfig stores what is chosen about the mesh CA.
func (tx *Tx) PutCAConfig(c ca.Config) error { return caConfig.put(tx, c) }
