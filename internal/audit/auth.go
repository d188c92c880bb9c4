package audit

import (
	"context"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/logging"
)

// whoTimeout bounds finding out whose token a request carries for its event alone.
const whoTimeout = 2 * time.Second

// Auth is whose token a request carries.
type Auth struct {
	AccessorID  string
	Description string
	CreateTime  time.Time
}

// Resolver finds out whose token it is.
type Resolver interface {
	Resolve(ctx context.Context, token logging.Secret) (acl.Caller, error)
}

// Who returns whose token it is, nil where that cannot be said.
func Who(ctx context.Context, resolver Resolver, token logging.Secret) *Auth {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	caller, err := resolver.Resolve(ctx, token)
	if err != nil || caller.AccessorID == "" {
		return nil
	}
	auth := &Auth{AccessorID: caller.AccessorID}
	if t := caller.Token; t != nil {
		auth.Description, auth.CreateTime = t.Description, t.CreateTime
	}
	return auth
}
