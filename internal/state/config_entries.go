package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func configEntryAt(e *configentry.Entry) (tenancy.Scope, string) { return e.Scope, e.Key() }

var (
	configEntriesByLegacyID = store.Many("legacy-id", func(e *configentry.Entry, add func(tenancy.Scope, string)) {
		if e.ServiceIntentions == nil {
			return
		}
		for i := range e.ServiceIntentions.Sources {
			if id := e.ServiceIntentions.Sources[i].LegacyID; id != "" {
				add(store.Global, id)
			}
		}
	})

	configEntries = &resource[configentry.Entry]{
		name:    TableConfigEntries,
		at:      configEntryAt,
		rows:    store.NewTable("config-entries", configEntryAt, configEntriesByLegacyID),
		indexes: func(e *configentry.Entry) (*uint64, *uint64) { return &e.CreateIndex, &e.ModifyIndex },
	}
)

// ConfigEntry returns an entry and the index of that answer. For an entry that does not exist
// that is the last time that any entry went away; nothing else raises it.
func (tx *Tx) ConfigEntry(ws memdb.WatchSet, k configentry.Kind, s tenancy.Scope, name string) (*configentry.Entry, uint64, error) {
	e, err := configEntries.rows.Get(tx.db, ws, k.Home(s), configentry.Key(k, name))
	if err != nil || e == nil {
		return nil, max(1, tx.meta().entryGone), err
	}
	return e, e.ModifyIndex, nil
}

// ConfigEntries returns the entries of a kind in s, by name. s may be the wildcard namespace, which
// includes what counts for all namespaces.
func (tx *Tx) ConfigEntries(ws memdb.WatchSet, k configentry.Kind, s tenancy.Scope) ([]*configentry.Entry, error) {
	s = k.Home(s)
	if s.Namespace != tenancy.Wildcard {
		return tx.entriesOf(ws, k, s)
	}
	names, err := tx.Namespaces(ws, s.Partition)
	if err != nil {
		return nil, err
	}
	all, err := tx.entriesOf(ws, k, s)
	for _, n := range names {
		if err != nil {
			return nil, err
		}
		var found []*configentry.Entry
		found, err = tx.entriesOf(ws, k, n.Scope())
		all = append(all, found...)
	}
	return all, err
}

func (tx *Tx) entriesOf(ws memdb.WatchSet, k configentry.Kind, s tenancy.Scope) ([]*configentry.Entry, error) {
	rows, err := configEntries.rows.Below(tx.db, ws, s, configentry.Key(k, ""))
	if err != nil {
		return nil, err
	}
	return slices.Collect(rows), nil
}

// AllIntentions returns the service-intentions of every namespace of every partition.
func (tx *Tx) AllIntentions(ws memdb.WatchSet) ([]*configentry.Entry, error) {
	partitions, err := tx.Partitions(ws)
	var all []*configentry.Entry
	for _, p := range partitions {
		if err != nil {
			return nil, err
		}
		var found []*configentry.Entry
		found, err = tx.ConfigEntries(ws, configentry.KindServiceIntentions, tenancy.Scope{Partition: p.Name, Namespace: tenancy.Wildcard})
		all = append(all, found...)
	}
	return all, err
}

// IntentionsTo returns the service-intentions that are about calls of a service, and the index of
// that answer.
func (tx *Tx) IntentionsTo(ws memdb.WatchSet, s tenancy.Scope, service string) (found []*configentry.Entry, index uint64, err error) {
	for _, at := range []configentry.Service{
		{Name: service, Scope: s},
		{Name: tenancy.Wildcard, Scope: s},
		{Name: tenancy.Wildcard, Scope: tenancy.Scope{Partition: s.Partition, Namespace: tenancy.Wildcard}},
	} {
		if len(found) > 0 && found[len(found)-1].Scope == at.Scope && found[len(found)-1].Name == at.Name {
			continue // the service that is asked for is the wildcard
		}
		e, last, err := tx.ConfigEntry(ws, configentry.KindServiceIntentions, at.Scope, at.Name)
		if err != nil {
			return nil, 0, err
		}
		if e != nil {
			found = append(found, e)
		}
		index = max(index, last)
	}
	return found, index, nil
}

// IntentionByID returns the service-intentions that have a source with an ID, and that source; nil if
// none has.
func (tx *Tx) IntentionByID(ws memdb.WatchSet, id string) (*configentry.Entry, *configentry.Source, error) {
	rows, err := configEntries.rows.By(tx.db, ws, configEntriesByLegacyID, store.Global, id)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range rows {
		for i := range e.ServiceIntentions.Sources {
			if s := &e.ServiceIntentions.Sources[i]; s.LegacyID == id {
				return e, s, nil
			}
		}
	}
	return nil, nil, nil
}

// PutConfigEntry creates or replaces the entry at its scope, kind and name.
func (tx *Tx) PutConfigEntry(e configentry.Entry) error { return configEntries.put(tx, e) }

// DeleteConfigEntry removes an entry, if it exists.
func (tx *Tx) DeleteConfigEntry(k configentry.Kind, s tenancy.Scope, name string) error {
	return tx.dropEntry(k.Home(s), configentry.Key(k, name))
}

func (tx *Tx) dropEntry(s tenancy.Scope, key string) error {
	before := tx.writes
	if err := configEntries.remove(tx, s, key); err != nil || tx.writes == before {
		return err
	}
	m := tx.meta()
	m.entryGone = tx.index
	return tx.putMeta(m)
}

// removeEntries removes entries of a namespace that is deleted.
func (tx *Tx) removeEntries(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstRows(tx, configEntries, s, limit)
	for _, e := range rows {
		if err := tx.dropEntry(e.Scope, e.Key()); err != nil {
			return 0, err
		}
	}
	return len(rows), err
}

// removeWideEntries removes what counts for all namespaces of a partition that is deleted: there is one
// name that it can have.
func (tx *Tx) removeWideEntries(partition string) error {
	return tx.DeleteConfigEntry(configentry.KindServiceIntentions, tenancy.Scope{Partition: partition, Namespace: tenancy.Wildcard}, tenancy.Wildcard)
}

// WatchConfigEntries watches all entries of all partitions.
func (tx *Tx) WatchConfigEntries(ws memdb.WatchSet) error {
	all, err := tx.Partitions(ws)
	for _, p := range all {
		if err != nil {
			return err
		}
		_, err = configEntries.rows.List(tx.db, ws, tenancy.Scope{Partition: p.Name, Namespace: tenancy.Wildcard})
	}
	return err
}
