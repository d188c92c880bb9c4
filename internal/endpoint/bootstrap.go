package endpoint

import (
	"context"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Bootstraps is the operation that makes the first token (acl.md section 8).
type Bootstraps struct {
	*Backend

	// ResetIndex returns the index that the operator has put down in this
	// server's data directory to allow another bootstrap, 0 if none. nil is none.
	ResetIndex func() (uint64, error)
	// ResetDone removes what ResetIndex read; it is called after a bootstrap that used it.
	ResetDone func() error
}

// Bootstrap makes a token that may do everything, once. secret is what it is
// to have for a secret, "" for a random one. It returns errs.Denied if the ACL system
// is bootstrapped already and errs.Invalid if secret is no UUID or the operator has
// put down another index than that of the last bootstrap. It needs no token: nobody has one.
func (e *Bootstraps) Bootstrap(ctx context.Context, secret logging.Secret) (*acl.Token, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	if secret == "" {
		secret = logging.Secret(uuid.New())
	}
	tx := e.Store.Read()
	var reset uint64
	if _, done := tx.Bootstrap(); done && e.ResetIndex != nil {
		var err error
		if reset, err = e.ResetIndex(); err != nil {
			return nil, err
		}
	}
	if len(secret) != 36 {
		return nil, errs.New(errs.Invalid, "uuid string is wrong length")
	}
	if err := checkTokenID(tx, "SecretID", secret.Reveal()); err != nil {
		return nil, err
	}
	t := acl.Token{
		AccessorID:  uuid.New(),
		SecretID:    secret,
		Description: acl.BootstrapDescription,
		Policies:    []acl.Link{{ID: acl.GlobalManagementID}},
		CreateTime:  e.now().UTC(),
		Scope:       tenancy.Default,
	}
	t.SetHash()
	if _, err := e.Raft.Propose(ctx, fsm.ACLBootstrap{Token: t, ResetIndex: reset}); err != nil {
		return nil, err
	}
	if reset > 0 && e.ResetDone != nil {
		if err := e.ResetDone(); err != nil {
			return nil, err
		}
	}
	return showStored(e.Store.Read(), t.Scope, t.AccessorID)
}
