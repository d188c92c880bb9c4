package endpoint

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/tenancy"
)

// importer is the partition that looks into another one: that of the caller's token. It is "" where a caller
// looks at their own partition.
func (v *view) importer() string {
	if v.who.Token == nil || v.who.Token.Partition == v.Partition {
		return ""
	}
	return v.who.Token.Partition
}

// watchExports watches what the partition exports, where somebody else's caller looks at it, and returns
// the index of its last change.
func (v *view) watchExports(ws memdb.WatchSet, index uint64) (uint64, error) {
	if v.importer() == "" {
		return index, nil
	}
	_, last, err := v.tx.ConfigEntry(ws, configentry.KindExportedServices, v.Scope, v.Partition)
	return max(index, last), err
}

// imported reports whether the service that is asked for is exported to the partition of the caller, who may use
// what is in some namespace of that partition (tenancy.md section 7.2).
func (v *view) imported() (bool, error) {
	to := v.importer()
	if to == "" {
		return false, nil
	}
	e, _, err := v.tx.ConfigEntry(nil, configentry.KindExportedServices, v.Scope, v.Partition)
	if err != nil || e == nil || !e.ExportedServices.Exports(v.Scope, v.Name, to) {
		return false, err
	}
	names, err := v.tx.Namespaces(nil, to)
	for _, n := range names {
		if v.who.MayImport(tenancy.Scope{Partition: to, Namespace: n.Name}) {
			return true, err
		}
	}
	return false, err
}
