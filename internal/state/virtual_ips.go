package state

import (
	"encoding/binary"
	"net/netip"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// Virtual IPs are numbered from 1, for 240.0.0.1, to 255.255.255.254.
const (
	virtualBase = 240 << 24
	virtualMost = 1<<28 - 2
)

func virtualIPAt(v *catalog.VirtualIP) (tenancy.Scope, string) { return v.Scope, v.Name }

var (
	virtualAddresses = store.Unique("address", func(v *catalog.VirtualIP, add func(tenancy.Scope, string)) {
		add(store.Global, v.Address)
	})

	virtualIPs = &resource[catalog.VirtualIP]{
		name:    TableVirtualIPs,
		at:      virtualIPAt,
		rows:    store.NewTable("virtual-ips", virtualIPAt, virtualAddresses),
		indexes: func(v *catalog.VirtualIP) (*uint64, *uint64) { return &v.CreateIndex, &v.ModifyIndex },
	}
)

// VirtualIP returns the virtual IP of a service in the mesh.
func (tx *Tx) VirtualIP(ws memdb.WatchSet, s tenancy.Scope, service string) (*catalog.VirtualIP, error) {
	return virtualIPs.rows.Get(tx.db, ws, s, fold(service))
}

// assignVirtualIP returns the virtual IP of a service, and gives it one if it has none. Numbers
// rise, so that an address that is free again is not soon another service's.
func (tx *Tx) assignVirtualIP(s tenancy.Scope, service string) (string, error) {
	old, err := tx.VirtualIP(nil, s, service)
	if err != nil {
		return "", err
	}
	if old != nil {
		return old.Address, nil
	}
	m := tx.meta()
	for range virtualMost {
		m.virtualIP = m.virtualIP%virtualMost + 1
		address := virtualAddress(m.virtualIP)
		taken, err := virtualIPs.rows.One(tx.db, nil, virtualAddresses, store.Global, address)
		if err != nil {
			return "", err
		}
		if taken != nil {
			continue
		}
		if err := tx.putMeta(m); err != nil {
			return "", err
		}
		return address, virtualIPs.put(tx, catalog.VirtualIP{Name: fold(service), Address: address, Scope: s})
	}
	return "", errs.New(errs.Unavailable, "no virtual IP is free")
}

func virtualAddress(number uint64) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], virtualBase+uint32(number))
	return netip.AddrFrom4(b).String()
}

// releaseVirtualIP frees the virtual IP of a service that has neither instances nor sidecars.
func (tx *Tx) releaseVirtualIP(s tenancy.Scope, service string) error {
	for _, ix := range []*store.Index[catalog.Instance]{instancesByService, instancesByConnect} {
		left, err := instances.rows.Has(tx.db, ix, s, fold(service))
		if err != nil || left {
			return err
		}
	}
	return virtualIPs.remove(tx, s, fold(service))
}
