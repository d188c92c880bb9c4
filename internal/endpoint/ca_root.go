package endpoint

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
)

// CARoots shows the roots of the mesh CA.
type CARoots struct {
	*Backend
	Off bool // the service mesh is: it has no CA
}

// ErrNoMesh is the answer of what is about the service mesh where that is off.
var ErrNoMesh = errs.New(errs.Invalid, "Connect must be enabled in order to use this endpoint")

// CARootList is the roots of the mesh CA as everybody may see them
// (mesh.md section 1.2). Before the leader has made one it is empty.
type CARootList struct {
	ActiveRootID string
	TrustDomain  string
	Roots        []CARoot
}

// CARoot is a root without its key.
type CARoot struct {
	ID                  string
	Name                string
	SerialNumber        uint64
	SigningKeyID        string
	ExternalTrustDomain string // the cluster's UUID
	NotBefore           time.Time
	NotAfter            time.Time
	RootCert            string   // PEM
	IntermediateCerts   []string // PEM; they lead to it from the roots before, the newest first
	Active              bool
	RotatedOutAt        time.Time `json:",omitzero"`
	PrivateKeyType      string
	PrivateKeyBits      int
	CreateIndex         uint64
	ModifyIndex         uint64
}

// List returns the roots, the one that signs first, or errs.Invalid where the
// service mesh is off. It needs no permission: whoever connects to a service has to know them.
func (e *CARoots) List(ctx context.Context, who acl.Caller, r Read) (CARootList, Meta, error) {
	var list CARootList
	if e.Off {
		return list, Meta{}, ErrNoMesh
	}
	m, err := e.Block(ctx, who, r, func(_ acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		var err error
		list, err = listCARoots(tx, ws)
		return tx.LastIndex(state.TableCARoots), err
	})
	return list, m, err
}

// Follow calls use with the certificates of the roots, PEM, at once and after
// each change, until ctx is done or use fails. A server accepts client agents by them.
func (e *CARoots) Follow(ctx context.Context, use func(roots [][]byte) error) error {
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		ws.Add(e.Store.Abandoned())
		roots, err := e.Store.Read().CARoots(ws)
		if err != nil {
			return err
		}
		texts := make([][]byte, len(roots))
		for i, r := range roots {
			texts[i] = []byte(r.RootCert)
		}
		if err := use(texts); err != nil {
			return err
		}
		_ = ws.WatchCtx(ctx) // its error is that of ctx
	}
	return nil
}

func listCARoots(tx *state.Tx, ws memdb.WatchSet) (CARootList, error) {
	list := CARootList{Roots: []CARoot{}}
	roots, err := tx.CARoots(ws)
	if err != nil {
		return list, err
	}
	for _, r := range roots {
		shown, err := showCARoot(r)
		if err != nil {
			return list, err
		}
		if !r.Active {
			list.Roots = append(list.Roots, shown)
			continue
		}
		list.ActiveRootID, list.TrustDomain = r.ID, r.TrustDomain
		list.Roots = append([]CARoot{shown}, list.Roots...)
	}
	return list, nil
}

func showCARoot(r *ca.Root) (CARoot, error) {
	cert, err := r.Certificate()
	if err != nil {
		return CARoot{}, fmt.Errorf("mesh root %s: %v", r.ID, err)
	}
	external, _, _ := strings.Cut(r.TrustDomain, ".")
	kind, bits := ca.KeyType(cert)
	return CARoot{
		ID:                  r.ID,
		Name:                r.Name,
		SerialNumber:        cert.SerialNumber.Uint64(),
		SigningKeyID:        ca.SigningKeyID(cert),
		ExternalTrustDomain: external,
		NotBefore:           cert.NotBefore,
		NotAfter:            cert.NotAfter,
		RootCert:            r.RootCert,
		IntermediateCerts:   r.Intermediates(),
		Active:              r.Active,
		RotatedOutAt:        r.RotatedOut,
		PrivateKeyType:      kind,
		PrivateKeyBits:      bits,
		CreateIndex:         r.CreateIndex,
		ModifyIndex:         r.ModifyIndex,
	}, nil
}
