package endpoint

import (
	"context"
	"errors"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ConfigEntries are the operations on config entries (catalog.md section 12). What they need depends on the
// kind: service or intention on the entry's name, or mesh.
type ConfigEntries struct{ *Backend }

// ConfigEntryRead asks for an entry, or without a name for all of a kind. Only intentions are
// also in all namespaces ("*"): as what counts for all of them, and in a list.
type ConfigEntryRead struct {
	tenancy.Scope
	Kind   configentry.Kind
	Name   string
	Filter string // an expression over what a list answers
	Read
}

// mayEntry reports whether who may read, or write, an entry; lacks is what it takes, if anything.
func mayEntry(who acl.Caller, k configentry.Kind, s tenancy.Scope, name string, access acl.Access) error {
	s = k.Home(s)
	p := acl.Permission{Access: access}
	switch k {
	case configentry.KindServiceDefaults:
		p.Resource = acl.Service
	case configentry.KindServiceIntentions:
		p.Resource = acl.Intention
	default:
		p.Resource, name = acl.Mesh, ""
		if access == acl.Read && k != configentry.KindExportedServices {
			who.Allowed(s, p, "") // whoever is in the mesh has to know
			return nil
		}
	}
	return who.Require(s, p, name)
}

// Get returns an entry, nil if it does not exist.
func (e *ConfigEntries) Get(ctx context.Context, who acl.Caller, req ConfigEntryRead) (*configentry.Entry, Meta, error) {
	var out *configentry.Entry
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (index uint64, err error) {
		if err := mayEntry(who, req.Kind, req.Scope, req.Name, acl.Read); err != nil {
			return 0, err
		}
		out, index, err = tx.ConfigEntry(ws, req.Kind, req.Scope, req.Name)
		return index, err
	})
	return out, meta, err
}

// List returns those entries of a kind that the caller may read, by name.
func (e *ConfigEntries) List(ctx context.Context, who acl.Caller, req ConfigEntryRead) ([]*configentry.Entry, Meta, error) {
	expression, err := filter.Parse(req.Filter, (&configentry.Entry{Kind: req.Kind}).View())
	if err != nil {
		return nil, Meta{}, err
	}
	var out []*configentry.Entry
	hidden := false
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		rows, err := tx.ConfigEntries(ws, req.Kind, req.Scope)
		who.Allowed(req.Scope, acl.ServiceRead, "") // where there is nothing, nobody is asked
		out = make([]*configentry.Entry, 0, len(rows))
		hidden = false
		for _, row := range rows {
			if mayEntry(who, row.Kind, row.Scope, row.Name, acl.Read) != nil {
				hidden = true
				continue
			}
			shown := *row
			if expression.All() || expression.Match(shown.View()) {
				out = append(out, row)
			}
		}
		return tx.LastIndex(state.TableConfigEntries, state.TableNamespaces), err
	})
	meta.FilteredByACLs = hidden && !who.Anonymous()
	return out, meta, err
}

// Set creates or replaces an entry, which need not be settled. With cas, it does so only if what is stored has that
// ModifyIndex, 0 if nothing is, and reports whether it did.
func (e *ConfigEntries) Set(ctx context.Context, who acl.Caller, entry configentry.Entry, cas *uint64) (done bool, err error) {
	if err := mayEntry(who, entry.Kind, entry.Scope, entry.Name, acl.Write); err != nil {
		return false, err
	}
	if err := entry.Settle(); err != nil {
		return false, err
	}
	cmd := fsm.ConfigEntrySet{Entry: entry, Compare: cas != nil}
	if cas != nil {
		cmd.IfIndex = *cas
	}
	return e.proposed(e.Raft.Propose(ctx, cmd))
}

// Delete removes an entry, if it exists. With cas, it does so only if it has that ModifyIndex, and reports
// whether it did.
func (e *ConfigEntries) Delete(ctx context.Context, who acl.Caller, req ConfigEntryRead, cas *uint64) (done bool, err error) {
	if err := mayEntry(who, req.Kind, req.Scope, req.Name, acl.Write); err != nil {
		return false, err
	}
	cmd := fsm.ConfigEntryDelete{Kind: req.Kind, Scope: req.Kind.Home(req.Scope), Name: req.Name, Compare: cas != nil}
	if cas != nil {
		cmd.IfIndex = *cas
	}
	return e.proposed(e.Raft.Propose(ctx, cmd))
}

func (e *ConfigEntries) proposed(_ uint64, err error) (bool, error) {
	if errors.Is(err, fsm.ErrChanged) {
		return false, nil
	}
	return err == nil, err
}

// ExportedService is a service of a partition with who else may use it. Its JSON is the API's.
type ExportedService struct {
	Service   string
	Partition string `json:",omitempty"` // "" is default
	Namespace string `json:",omitempty"` // "" is default
	Consumers struct {
		Peers      []string `json:",omitempty"`
		Partitions []string `json:",omitempty"`
	}
}

// Exported returns the services that a partition exports, by name. It needs mesh:read.
func (e *ConfigEntries) Exported(ctx context.Context, who acl.Caller, s tenancy.Scope, r Read) ([]ExportedService, Meta, error) {
	var out []ExportedService
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := who.Require(s, acl.MeshRead, ""); err != nil {
			return 0, err
		}
		out = []ExportedService{}
		entry, index, err := tx.ConfigEntry(ws, configentry.KindExportedServices, s, s.Partition)
		if err != nil || entry == nil {
			return index, err
		}
		names, err := tx.ServiceNames(ws, tenancy.Scope{Partition: s.Partition, Namespace: tenancy.Wildcard})
		if err != nil {
			return 0, err
		}
		known := make([]configentry.Service, len(names))
		for i := range names {
			known[i] = configentry.Service{Name: names[i].Name, Scope: names[i].Scope}
		}
		for _, x := range entry.ExportedServices.Resolve(s.Partition, known) {
			shown := ExportedService{Service: x.Name, Partition: unlessDefault(x.Partition), Namespace: unlessDefault(x.Namespace)}
			for _, c := range x.Consumers {
				if c.Peer != "" {
					shown.Consumers.Peers = append(shown.Consumers.Peers, c.Peer)
				} else {
					shown.Consumers.Partitions = append(shown.Consumers.Partitions, c.Partition)
				}
			}
			out = append(out, shown)
		}
		return max(index, tx.LastIndex(state.TableServiceNames)), nil
	})
	return out, meta, err
}
