package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

var auditRoutes = []route{
	{http.MethodPost, "/v1/operator/audit-hash", Local, "operator:read", "operator.audit_hash", (*API).auditHash, 0},
}

var errNoAudit = errs.New(errs.Invalid, "Audit logging is not enabled on this agent")

// auditHash handles POST /v1/operator/audit-hash: what stands for a text in this
// agent's audit trail (spec: audit.md section 3).
func (a *API) auditHash(r *request) (any, error) {
	if err := r.caller.Require(r.scope, acl.OperatorRead, ""); err != nil {
		return nil, err
	}
	var req struct{ Input logging.Secret }
	if err := r.decode("Request decode failed", &req); err != nil {
		return nil, err
	}
	if a.Audit == nil {
		return nil, errNoAudit
	}
	return struct{ Hash string }{a.Audit.Hash(req.Input.Reveal())}, nil
}
