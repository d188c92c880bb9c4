package endpoint

import (
	"context"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// maxAuthorize bounds how many decisions are asked for at once.
const maxAuthorize = 1024

// Authorizes is the operation that says what its caller may do.
type Authorizes struct{ *Backend }

// AuthorizeRequest asks for one decision. Access is read, write, list or
// write-prefix; Resource is a word of the rule language.
type AuthorizeRequest struct {
	Resource string
	Access   string
	Segment  string `json:",omitempty"`
}

// AuthorizeResponse is a request with its decision.
type AuthorizeResponse struct {
	AuthorizeRequest
	Allow bool
}

// Authorize decides about every request in s, in their order. It needs a token
// that exists. A word that it does not know is errs.Invalid.
func (e *Authorizes) Authorize(_ context.Context, who acl.Caller, s tenancy.Scope, reqs []AuthorizeRequest) ([]AuthorizeResponse, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	if len(reqs) > maxAuthorize {
		return nil, errs.Errorf(errs.Invalid, "more than %d permissions asked for", maxAuthorize)
	}
	out := make([]AuthorizeResponse, len(reqs))
	for i, req := range reqs {
		p, err := req.permission()
		if err != nil {
			return nil, err
		}
		out[i] = AuthorizeResponse{AuthorizeRequest: req, Allow: who.Allowed(s, p, req.Segment)}
	}
	return out, nil
}

func (req AuthorizeRequest) permission() (acl.Permission, error) {
	resource, ok := acl.ParseResource(req.Resource)
	if !ok {
		return acl.Permission{}, errs.Errorf(errs.Invalid, "invalid resource %q", req.Resource)
	}
	p := acl.Permission{Resource: resource}
	switch req.Access {
	case "read":
		p.Access = acl.Read
	case "list":
		p.Access = acl.List
	case "write":
		p.Access = acl.Write
	case "write-prefix":
		p.Access, p.WritePrefix = acl.Write, true
	default:
		return p, errs.Errorf(errs.Invalid, "invalid access %q", req.Access)
	}
	return p, nil
}
