package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Partitions are the operations on admin partitions (tenancy.md section 3).
// They need the operator permission, which rules of the default partition alone
// can give.
type Partitions struct{ *Backend }

// Set creates a partition, with its default namespace, or replaces the one
// with its name. name is that of the URL, "" if there is none. It needs operator:write.
func (e *Partitions) Set(ctx context.Context, who acl.Caller, name string, p tenancy.Partition) (*tenancy.Partition, error) {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return nil, err
	}
	if p.Name == "" {
		p.Name = name
	}
	p.Name, p.DeletedAt = strings.ToLower(p.Name), nil
	if name != "" && !strings.EqualFold(name, p.Name) {
		return nil, errs.New(errs.Invalid, "Partition name in URL and payload do not match")
	}
	if err := tenancy.ValidatePartition(p.Name); err != nil {
		return nil, err
	}
	s := tenancy.Scope{Partition: p.Name, Namespace: tenancy.DefaultName}
	if _, err := e.Raft.Propose(ctx, fsm.PartitionSet{Partition: p, Management: managementPolicy(s)}); err != nil {
		return nil, err
	}
	return e.Store.Read().Partition(nil, p.Name)
}

// Delete marks a partition and its namespaces for deletion, as Namespaces.Delete
// does. It needs operator:write.
func (e *Partitions) Delete(ctx context.Context, who acl.Caller, name string) error {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return err
	}
	_, err := e.Raft.Propose(ctx, fsm.PartitionDelete{Name: strings.ToLower(name), Now: e.now().UTC()})
	return err
}

// Read returns a partition. It needs operator:read; who has a token may read
// the token's own partition. An unknown one is errs.NotFound.
func (e *Partitions) Read(ctx context.Context, who acl.Caller, name string, r Read) (*tenancy.Partition, Meta, error) {
	name = strings.ToLower(name)
	var out *tenancy.Partition
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := who.Require(tenancy.Default, acl.OperatorRead, "")
		own := who.Token != nil && !who.Anonymous() && who.Token.Partition == name
		if err != nil && !own {
			return 0, err
		}
		out, err = tx.Partition(ws, name)
		if err == nil && out == nil {
			err = errs.New(errs.NotFound, "Partition not found")
		}
		return tx.LastIndex(state.TablePartitions), err
	})
	return out, meta, err
}

// List returns all partitions sorted by name. It needs operator:read.
func (e *Partitions) List(ctx context.Context, who acl.Caller, r Read) ([]*tenancy.Partition, Meta, error) {
	var out []*tenancy.Partition
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := who.Require(tenancy.Default, acl.OperatorRead, "")
		if err != nil {
			return 0, err
		}
		out, err = tx.Partitions(ws)
		return tx.LastIndex(state.TablePartitions), err
	})
	return out, meta, err
}
