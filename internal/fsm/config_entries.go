package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ConfigEntrySet creates or replaces an entry, which is settled (configentry.Entry.Settle). With Compare it
// does so only if what is stored has the ModifyIndex IfIndex; nothing stored has 0.
type ConfigEntrySet struct {
	Entry   configentry.Entry
	Compare bool
	IfIndex uint64
}

// Apply implements Command. It returns ErrChanged if the comparison fails, unless the content is what is stored
// already, and errs.Invalid for a scope that does not exist and for what other entries do not permit.
func (c ConfigEntrySet) Apply(tx *state.Tx) error {
	e := c.Entry
	old, _, err := tx.ConfigEntry(nil, e.Kind, e.Scope, e.Name)
	if err != nil {
		return err
	}
	if err := checkEntryScope(tx, e.Scope); err != nil {
		return err
	}
	if e.Kind == configentry.KindServiceIntentions {
		keepLegacy(&e, old)
	}
	if c.Compare && indexOf(old) != c.IfIndex && (old == nil || old.Hash() != e.Hash()) {
		return ErrChanged
	}
	if err := checkPermissive(tx, &e); err != nil {
		return err
	}
	return tx.PutConfigEntry(e)
}

func indexOf(e *configentry.Entry) uint64 {
	if e == nil {
		return 0
	}
	return e.ModifyIndex
}

// checkEntryScope is CheckScope for a scope that may stand for all namespaces of a partition.
func checkEntryScope(tx *state.Tx, s tenancy.Scope) error {
	if s.Namespace == tenancy.Wildcard {
		s = s.PartitionRoot()
	}
	return tx.CheckScope(s)
}

// checkPermissive refuses what lets plain connections in where the mesh entry does not permit that.
func checkPermissive(tx *state.Tx, e *configentry.Entry) error {
	permissive := e.ServiceDefaults != nil && e.ServiceDefaults.MutualTLSMode == "permissive" ||
		e.ProxyDefaults != nil && e.ProxyDefaults.MutualTLSMode == "permissive"
	if !permissive {
		return nil
	}
	mesh, _, err := tx.ConfigEntry(nil, configentry.KindMesh, e.Scope, configentry.MeshName)
	if err == nil && (mesh == nil || !mesh.Mesh.AllowEnablingPermissiveMutualTLS) {
		err = errs.New(errs.Invalid, `MutualTLSMode cannot be "permissive": the mesh config entry does not have AllowEnablingPermissiveMutualTLS`)
	}
	return err
}

// keepLegacy lets the sources of e that old has too keep their IDs, and no others have one: an
// ID is given by IntentionSet alone.
func keepLegacy(e, old *configentry.Entry) {
	for i := range e.ServiceIntentions.Sources {
		s := &e.ServiceIntentions.Sources[i]
		s.LegacyID, s.LegacyMeta, s.LegacyCreated, s.LegacyUpdated = "", nil, nil, nil
		if was := old.Source(s.Service()); was != nil {
			s.LegacyID, s.LegacyMeta, s.LegacyCreated, s.LegacyUpdated = was.LegacyID, was.LegacyMeta, was.LegacyCreated, was.LegacyUpdated
		}
	}
}

// ConfigEntryDelete removes an entry, if it exists; with Compare, only if it has the ModifyIndex IfIndex.
type ConfigEntryDelete struct {
	Kind    configentry.Kind
	Scope   tenancy.Scope
	Name    string
	Compare bool
	IfIndex uint64
}

// Apply implements Command. It returns ErrChanged if the comparison fails.
func (c ConfigEntryDelete) Apply(tx *state.Tx) error {
	old, _, err := tx.ConfigEntry(nil, c.Kind, c.Scope, c.Name)
	if err != nil {
		return err
	}
	if c.Compare && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	return tx.DeleteConfigEntry(c.Kind, c.Scope, c.Name)
}

// IntentionSet creates or replaces one source of the service-intentions of a destination, which come
// to be if they are not there: the source about the same callers, or the one with the ID IfID. A new
// one's ID is one that no other intention has, or "".
type IntentionSet struct {
	Destination configentry.Service
	Source      configentry.Source
	Create      bool   // it is refused if there is one
	IfID        string // "", or the ID of the source that is replaced
	Now         time.Time
}

// Apply implements Command. It returns errs.Invalid for what there is already, what must not be stored, and a
// scope that does not exist, and ErrChanged where the destination has no source with IfID.
func (c IntentionSet) Apply(tx *state.Tx) error {
	d := c.Destination
	old, _, err := tx.ConfigEntry(nil, configentry.KindServiceIntentions, d.Scope, d.Name)
	if err != nil {
		return err
	}
	if err := checkEntryScope(tx, d.Scope); err != nil {
		return err
	}
	s := c.Source
	was := old.Source(s.Service())
	if c.IfID != "" {
		if was = old.SourceByID(c.IfID); was == nil {
			return ErrChanged
		}
	}
	if c.Create {
		was = nil
	}
	switch {
	case was != nil:
		s.LegacyID, s.LegacyCreated, s.LegacyUpdated = was.LegacyID, was.LegacyCreated, was.LegacyUpdated
		if c.IfID == "" {
			s.LegacyMeta = was.LegacyMeta
		}
	case s.LegacyID != "":
		s.LegacyCreated = &c.Now
	}
	e := old.WithSource(d, s, was)
	if err := e.Settle(); err != nil {
		return err
	}
	if s.LegacyID != "" && (old == nil || old.Hash() != e.Hash()) {
		e.Source(s.Service()).LegacyUpdated = &c.Now
	}
	return tx.PutConfigEntry(*e)
}

// IntentionDelete removes one source of the service-intentions of a destination, and with
// the last one the entry. With IfID it does so only if the intention has that ID.
type IntentionDelete struct {
	Destination configentry.Service
	Source      configentry.Service
	IfID        string
}

// Apply implements Command. What does not exist is no error.
func (c IntentionDelete) Apply(tx *state.Tx) error {
	d := c.Destination
	old, _, err := tx.ConfigEntry(nil, configentry.KindServiceIntentions, d.Scope, d.Name)
	was := old.Source(c.Source)
	if err != nil || was == nil || c.IfID != "" && was.LegacyID != c.IfID {
		return err
	}
	e := old.WithoutSource(c.Source)
	if e == nil {
		return tx.DeleteConfigEntry(configentry.KindServiceIntentions, d.Scope, d.Name)
	}
	return tx.PutConfigEntry(*e)
}
