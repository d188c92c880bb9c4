package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Intentions are the operations on single intentions (catalog.md section 13). They are kept in
// config entries, one for each destination.
type Intentions struct {
	*Backend
	DefaultPolicy string // "allow" or "deny", where no intention says anything; "" is as for ACLs
}

// errMayNotWrite is a denial that says no more, as clients know it from these operations.
var errMayNotWrite = errs.New(errs.Denied, "Permission denied")

// DefaultAllow reports whether services may connect where no intention says anything.
func (e *Intentions) DefaultAllow() bool {
	switch e.DefaultPolicy {
	case "allow":
		return true
	case "deny":
		return false
	}
	return !e.Resolver.Enabled || e.Resolver.DefaultPolicyAllow
}

// IntentionList asks for the intentions about the services of a namespace, or of all of a
// partition ("*").
type IntentionList struct {
	tenancy.Scope
	Filter string // an expression over intentions
	Read
}

// IntentionRead names an intention by its ends, or a connection.
type IntentionRead struct {
	Source, Destination configentry.Service
	Read
}

// IntentionMatch asks for the intentions whose one end is about a service, for each of several.
type IntentionMatch struct {
	By       configentry.By
	Services []configentry.Service
	Read
}

// List returns the intentions about destinations whose intentions the caller may read, in the order in
// which they count.
func (e *Intentions) List(ctx context.Context, who acl.Caller, req IntentionList) ([]configentry.Intention, Meta, error) {
	expression, err := filter.Parse(req.Filter, configentry.Intention{})
	if err != nil {
		return nil, Meta{}, err
	}
	var out []configentry.Intention
	hidden := false
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		rows, err := tx.ConfigEntries(ws, configentry.KindServiceIntentions, req.Scope)
		who.Allowed(req.Scope, acl.IntentionRead, tenancy.Wildcard) // where there is nothing, nobody is asked
		var seen []*configentry.Entry
		for _, row := range rows {
			if who.Allowed(row.Scope, acl.IntentionRead, row.Name) {
				seen = append(seen, row)
			}
		}
		hidden = len(seen) < len(rows)
		out = []configentry.Intention{}
		for _, i := range configentry.Intentions(seen...) {
			if expression.Match(&i) {
				out = append(out, i)
			}
		}
		return tx.LastIndex(state.TableConfigEntries, state.TableNamespaces), err
	})
	meta.FilteredByACLs = hidden && !who.Anonymous()
	return out, meta, err
}

// Get returns the intention between exactly two ends, nil if there is none. It needs intention:read
// on the destination.
func (e *Intentions) Get(ctx context.Context, who acl.Caller, req IntentionRead) (*configentry.Intention, Meta, error) {
	var out *configentry.Intention
	d := req.Destination
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		out = nil
		if err := who.Require(d.Scope, acl.IntentionRead, d.Name); err != nil {
			return 0, err
		}
		entry, index, err := tx.ConfigEntry(ws, configentry.KindServiceIntentions, d.Scope, d.Name)
		if s := entry.Source(req.Source); s != nil {
			i := entry.Intention(s)
			out = &i
		}
		return index, err
	})
	return out, meta, err
}

// ByID returns the intention with an ID, nil if none has it. It needs intention:read on
// its destination.
func (e *Intentions) ByID(ctx context.Context, who acl.Caller, id string, r Read) (*configentry.Intention, Meta, error) {
	id, err := intentionID(id)
	if err != nil {
		return nil, Meta{}, err
	}
	var out *configentry.Intention
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		out = nil
		entry, s, err := tx.IntentionByID(ws, id)
		if err != nil || s == nil {
			who.Allowed(tenancy.Default, acl.IntentionRead, tenancy.Wildcard)
			return tx.LastIndex(state.TableConfigEntries), err
		}
		if err := who.Require(entry.Scope, acl.IntentionRead, entry.Name); err != nil {
			return 0, err
		}
		i := entry.Intention(s)
		out = &i
		return entry.ModifyIndex, nil
	})
	return out, meta, err
}

// intentionID returns id in the form that it is stored in.
func intentionID(id string) (string, error) {
	if !uuid.Valid(id) {
		return "", errs.New(errs.Invalid, "failed config entry lookup: index error: UUID must be 36 characters")
	}
	return strings.ToLower(id), nil
}

// Match returns for each service, in the order of the request, the intentions whose one end is about
// it, in the order in which they count. It needs intention:read on each service; of what matches by source, only that is
// shown on whose destination the caller has it too.
func (e *Intentions) Match(ctx context.Context, who acl.Caller, req IntentionMatch) ([][]configentry.Intention, Meta, error) {
	var out [][]configentry.Intention
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (last uint64, err error) {
		out = make([][]configentry.Intention, len(req.Services))
		for n, s := range req.Services {
			if err := who.Require(s.Scope, acl.IntentionRead, s.Name); err != nil {
				return 0, err
			}
			var index uint64
			if req.By == configentry.BySource {
				out[n], index, err = matchSource(tx, ws, who, s)
			} else {
				out[n], index, err = matchDestination(tx, ws, s)
			}
			if err != nil {
				return 0, err
			}
			last = max(last, index)
		}
		return last, nil
	})
	return out, meta, err
}

func matchDestination(tx *state.Tx, ws memdb.WatchSet, s configentry.Service) ([]configentry.Intention, uint64, error) {
	entries, index, err := tx.IntentionsTo(ws, s.Scope, s.Name)
	return configentry.Intentions(entries...), index, err
}

func matchSource(tx *state.Tx, ws memdb.WatchSet, who acl.Caller, s configentry.Service) ([]configentry.Intention, uint64, error) {
	all, err := tx.AllIntentions(ws)
	var found []configentry.Intention
	for _, entry := range all {
		match := configentry.Match(configentry.Intentions(entry), configentry.BySource, s)
		if len(match) > 0 && who.Allowed(entry.Scope, acl.IntentionRead, entry.Name) {
			found = append(found, match...)
		}
	}
	return configentry.Sorted(found), tx.LastIndex(state.TableConfigEntries, state.TableNamespaces, state.TablePartitions), err
}

// Check says whether a connection is allowed, and by which intention. It needs service:read on the
// destination.
func (e *Intentions) Check(ctx context.Context, who acl.Caller, req IntentionRead) (configentry.Decision, Meta, error) {
	var out configentry.Decision
	d := req.Destination
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := who.Require(d.Scope, acl.ServiceRead, d.Name); err != nil {
			return 0, err
		}
		all, index, err := matchDestination(tx, ws, d)
		out = configentry.Decide(req.Source, d, all, e.DefaultAllow())
		return index, err
	})
	return out, meta, err
}

// IntentionsTo returns the intentions about connections to a service.
func IntentionsTo(tx *state.Tx, to configentry.Service) ([]configentry.Intention, error) {
	all, _, err := matchDestination(tx, nil, to)
	return all, err
}

// Put creates or replaces the intention between two ends; its source says the one, and is complete. It needs
// intention:write on the destination, as all that follow.
func (e *Intentions) Put(ctx context.Context, who acl.Caller, to configentry.Service, s configentry.Source) error {
	if !who.Allowed(to.Scope, acl.IntentionWrite, to.Name) {
		return errMayNotWrite
	}
	_, err := e.Raft.Propose(ctx, fsm.IntentionSet{Destination: to, Source: s, Now: e.now().UTC()})
	return err
}

// Create makes an intention that is not there yet, and returns the ID that it is given.
func (e *Intentions) Create(ctx context.Context, who acl.Caller, to configentry.Service, s configentry.Source) (id string, err error) {
	if !who.Allowed(to.Scope, acl.IntentionWrite, to.Name) {
		return "", errMayNotWrite
	}
	s.LegacyID = uuid.New()
	_, err = e.Raft.Propose(ctx, fsm.IntentionSet{Destination: to, Source: s, Create: true, Now: e.now().UTC()})
	return s.LegacyID, err
}

// Update replaces the intention with an ID. Its destination stays what it is.
func (e *Intentions) Update(ctx context.Context, who acl.Caller, id string, to configentry.Service, s configentry.Source) error {
	id, err := intentionID(id)
	if err != nil {
		return err
	}
	entry, was, err := e.writable(who, id)
	if err != nil {
		return err
	}
	switch {
	case was == nil:
		return errs.Errorf(errs.NotFound, "Cannot modify non-existent intention: '%s'", id)
	case entry.Scope != to.Scope || !strings.EqualFold(entry.Name, to.Name):
		return errs.New(errs.Invalid, "the destination of an intention cannot be changed")
	}
	_, err = e.Raft.Propose(ctx, fsm.IntentionSet{Destination: to, Source: s, IfID: id, Now: e.now().UTC()})
	return err
}

// writable returns the intention with an ID, nil if there is none, or an error if who may not write it.
func (e *Intentions) writable(who acl.Caller, id string) (*configentry.Entry, *configentry.Source, error) {
	entry, s, err := e.Store.Read().IntentionByID(nil, id)
	switch {
	case err != nil:
		return nil, nil, err
	case s == nil:
		who.Allowed(tenancy.Default, acl.IntentionWrite, tenancy.Wildcard) // there is nothing to ask about
	case !who.Allowed(entry.Scope, acl.IntentionWrite, entry.Name):
		return nil, nil, errMayNotWrite
	}
	return entry, s, nil
}

// Delete removes the intention between exactly two ends, if there is one.
func (e *Intentions) Delete(ctx context.Context, who acl.Caller, source, destination configentry.Service) error {
	if !who.Allowed(destination.Scope, acl.IntentionWrite, destination.Name) {
		return errMayNotWrite
	}
	_, err := e.Raft.Propose(ctx, fsm.IntentionDelete{Destination: destination, Source: source})
	return err
}

// DeleteByID removes the intention with an ID, if there is one.
func (e *Intentions) DeleteByID(ctx context.Context, who acl.Caller, id string) error {
	id, err := intentionID(id)
	if err != nil {
		return err
	}
	entry, s, err := e.writable(who, id)
	if err != nil || s == nil {
		return err
	}
	_, err = e.Raft.Propose(ctx, fsm.IntentionDelete{Destination: entry.Destination(), Source: s.Service(), IfID: id})
	return err
}
