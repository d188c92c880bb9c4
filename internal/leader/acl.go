package leader

import (
	"context"
	"fmt"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// initACLs makes what is missing of the built-in policies, the anonymous token
// and the configured management token (acl.md section 4.9), and says what it made.
func (l *Leader) initACLs(ctx context.Context) error {
	l.Log.Info("initializing acls")
	tx := l.Store.Read()
	var cmd fsm.ACLInit
	var made []func()
	for _, p := range acl.BuiltinPolicies() {
		old, err := tx.Policy(nil, p.Scope, p.ID)
		if err != nil {
			return err
		}
		if old == nil {
			made = append(made, func() { l.Log.Info(fmt.Sprintf("Created ACL '%s' policy", p.Name)) })
		}
		if old == nil || old.Rules != p.Rules {
			cmd.Policies = append(cmd.Policies, p)
		}
	}
	if l.InitialManagement != "" {
		t, err := l.missing(l.InitialManagement, managementToken)
		if err != nil {
			return err
		}
		if t != nil {
			cmd.Tokens = append(cmd.Tokens, *t)
			made = append(made, func() {
				l.Log.Info("Bootstrapped ACL token from configuration", "description", acl.ManagementDescription)
			})
		}
		_, done := tx.Bootstrap()
		cmd.Bootstrapped = !done
	}
	t, err := l.missing(acl.AnonymousSecret, anonymousToken)
	if err != nil {
		return err
	}
	if t != nil {
		cmd.Tokens = append(cmd.Tokens, *t)
		made = append(made, func() { l.Log.Info("Created ACL anonymous token from configuration") })
	}
	if len(cmd.Policies) == 0 && len(cmd.Tokens) == 0 && !cmd.Bootstrapped {
		return nil
	}
	if _, err := l.Raft.Propose(ctx, cmd); err != nil {
		return err
	}
	for _, say := range made {
		say()
	}
	return nil
}

// missing returns what a new token with secret has to be, or nil if there is one.
func (l *Leader) missing(secret logging.Secret, kind func() acl.Token) (*acl.Token, error) {
	old, err := l.Store.Read().TokenBySecret(nil, secret)
	if err != nil || old != nil {
		return nil, err
	}
	t := kind()
	t.SecretID = secret
	t.CreateTime = l.now().UTC()
	t.Scope = tenancy.Default
	t.SetHash()
	return &t, nil
}

func managementToken() acl.Token {
	return acl.Token{
		AccessorID:  uuid.New(),
		Description: acl.ManagementDescription,
		Policies:    []acl.Link{{ID: acl.GlobalManagementID}},
	}
}

func anonymousToken() acl.Token {
	return acl.Token{AccessorID: acl.AnonymousAccessor, Description: acl.AnonymousDescription}
}
