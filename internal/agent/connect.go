package agent

import (
	"context"
	"errors"
	"net/http"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// Mesh asks servers what only they can do for the service mesh.
type Mesh struct{ Servers Servers }

// SignLeaf has a server sign the leaf of a service. It returns errs.Throttled or errs.Unavailable for what may succeed
// later, and the server's refusal with its kind.
func (m Mesh) SignLeaf(ctx context.Context, token logging.Secret, req endpoint.LeafRequest) (*endpoint.LeafAnswer, error) {
	var answer endpoint.LeafAnswer
	if err := m.Servers.askAs(ctx, token, http.MethodPost, "/internal/connect/sign", req, &answer); err != nil {
		return nil, kindly(err)
	}
	return &answer, nil
}

// Authorize has a server decide about a connection (see endpoint.ConnectAuthorizes).
func (m Mesh) Authorize(ctx context.Context, who acl.Caller, token logging.Secret, c endpoint.ConnectAuthorize) (*endpoint.ConnectDecision, error) {
	if _, err := c.Check(); err != nil {
		return nil, err
	}
	if err := who.Require(c.Scope, acl.ServiceWrite, c.Target); err != nil {
		return nil, err
	}
	var answer endpoint.ConnectDecision
	if err := m.Servers.askAs(ctx, token, http.MethodPost, "/internal/connect/authorize", c, &answer); err != nil {
		return nil, kindly(err)
	}
	return &answer, nil
}

// kindly gives a server's refusal its kind and text.
func kindly(err error) error {
	var no *refusal
	if !errors.As(err, &no) {
		return err
	}
	switch no.status {
	case http.StatusBadRequest:
		return errs.New(errs.Invalid, no.text)
	case http.StatusForbidden:
		return errs.New(errs.Denied, no.text)
	case http.StatusTooManyRequests:
		return errs.New(errs.Throttled, no.text)
	}
	return err
}
