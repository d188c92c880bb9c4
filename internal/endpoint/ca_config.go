package endpoint

import (
	"context"
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// CAConfigs are the operations on the configuration of the mesh CA. They need the operator
// permission of the default partition.
type CAConfigs struct {
	*Backend
	Providers ca.Providers
	Off       bool // the service mesh is: it has no CA
}

// CAConfig is the configuration of the mesh CA as the API has it (catalog.md section 14).
type CAConfig struct {
	Provider                 string
	Config                   map[string]any    // see ca.ParseSettings
	State                    map[string]string // what the provider remembers; read-only
	ForceWithoutCrossSigning bool
	CreateIndex              uint64 // read-only, as the next
	ModifyIndex              uint64
}

// Read returns the configuration. It needs operator:write, because a provider's configuration may hold what gives access to its
// keys; the keys themselves are never shown.
func (e *CAConfigs) Read(ctx context.Context, who acl.Caller, r Read) (*CAConfig, Meta, error) {
	var out *CAConfig
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowed(who); err != nil {
			return 0, err
		}
		c, err := tx.CAConfig(ws)
		if err != nil {
			return 0, err
		}
		out = &CAConfig{
			Provider: c.Provider, Config: c.Show(), State: c.State, ForceWithoutCrossSigning: c.ForceWithoutCrossSigning,
			CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
		}
		return tx.LastIndex(state.TableCAConfig), nil
	})
	return out, meta, err
}

// Set stores the configuration and, if it names another root, lets that one sign from then
// on. The root before signs it, unless ForceWithoutCrossSigning is set, and stays trusted for
// twice the life of a leaf. It needs operator:write. What breaks a rule is errs.Invalid.
func (e *CAConfigs) Set(ctx context.Context, who acl.Caller, c CAConfig) error {
	if err := e.allowed(who); err != nil {
		return err
	}
	settings, err := ca.ParseSettings(c.Provider, c.Config)
	if err != nil {
		return err
	}
	settings.ForceWithoutCrossSigning = c.ForceWithoutCrossSigning
	_, err = unchanged(func() (*struct{}, error) { return nil, e.set(ctx, settings, c.State) })
	return err
}

func (e *CAConfigs) allowed(who acl.Caller) error {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return err
	}
	if e.Off {
		return ErrNoMesh
	}
	return nil
}

// set proposes settings on what is stored now. remembered is the state that the caller has read.
func (e *CAConfigs) set(ctx context.Context, s ca.Settings, remembered map[string]string) error {
	tx := e.Store.Read()
	old, err := tx.CAConfig(nil)
	if err != nil {
		return err
	}
	if len(remembered) > 0 && !maps.Equal(remembered, old.State) {
		return errs.New(errs.Invalid, "State is what the provider remembers: it cannot be set")
	}
	if s.State == nil && s.Provider == old.Provider {
		s.State = old.State
	}
	active, err := tx.ActiveCARoot(nil)
	if err != nil {
		return err
	}
	if active == nil {
		return errNoRoot
	}
	cmd := fsm.CASet{Config: s.Config, IfActive: active.ID, IfConfig: old.ModifyIndex}
	replaces, err := s.Replaces(active)
	if err != nil {
		return err
	}
	if replaces {
		if cmd.Root, err = e.next(ctx, s, active); err != nil {
			return err
		}
	}
	_, err = e.Raft.Propose(ctx, cmd)
	return err
}

// next makes the root that follows active.
func (e *CAConfigs) next(ctx context.Context, s ca.Settings, active *ca.Root) (*ca.Root, error) {
	now := e.now().UTC()
	next, err := e.Providers[s.Provider].NewRoot(ctx, ca.RootSpec{TrustDomain: active.TrustDomain, Settings: s, Now: now})
	if err != nil || s.ForceWithoutCrossSigning {
		return &next, err
	}
	by, err := e.Providers.Of(active)
	if err != nil {
		return nil, err
	}
	next, err = ca.CrossSign(ctx, by, active, next, s.IntermediateCertTTL, now)
	return &next, err
}

var errNoRoot = errs.New(errs.Unavailable, "the mesh CA has no root yet")

// caSigner returns what signs now, and how it is configured.
func caSigner(tx *state.Tx, providers ca.Providers) (ca.Signer, *ca.Config, error) {
	root, err := tx.ActiveCARoot(nil)
	if err != nil {
		return ca.Signer{}, nil, err
	}
	if root == nil {
		return ca.Signer{}, nil, errNoRoot
	}
	by, err := providers.Of(root)
	if err != nil {
		return ca.Signer{}, nil, err
	}
	config, err := tx.CAConfig(nil)
	if err != nil {
		return ca.Signer{}, nil, err
	}
	return ca.Signer{Provider: by, Root: root, Life: config.LeafCertTTL}, config, nil
}
