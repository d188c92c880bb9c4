package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
)

var roleRoutes = []route{
	{http.MethodPut, "/v1/acl/role", OnLeader, "acl:write", "acl.role.create", (*API).roleCreate, 0},
	{http.MethodGet, "/v1/acl/role/{role_id}", OnServer, "acl:read", "acl.role.read", (*API).roleRead, 0},
	{http.MethodPut, "/v1/acl/role/{role_id}", OnLeader, "acl:write", "acl.role.update", (*API).roleUpdate, 0},
	{http.MethodDelete, "/v1/acl/role/{role_id}", OnLeader, "acl:write", "acl.role.delete", (*API).roleDelete, 0},
	{http.MethodGet, "/v1/acl/role/name/{role_name}", OnServer, "acl:read", "acl.role.read", (*API).roleRead, 0},
	{http.MethodGet, "/v1/acl/roles", OnServer, "acl:read", "acl.role.list", (*API).roleList, anyNamespace},
}

// roleCreate handles PUT /v1/acl/role.
func (a *API) roleCreate(r *request) (any, error) {
	var role acl.Role
	if err := r.decodeScoped("Role decoding failed", &role, &role.Scope); err != nil {
		return nil, err
	}
	return a.Roles.Create(r.Context(), r.caller, role)
}

// roleRead handles GET /v1/acl/role/:id and /v1/acl/role/name/:name.
func (a *API) roleRead(r *request) (any, error) {
	return r.answer(a.Roles.Read(r.Context(), r.caller, endpoint.RoleRead{
		Scope: r.scope, ID: r.PathValue("role_id"), Name: unescape(r.PathValue("role_name")), Read: r.read,
	}))
}

// roleUpdate handles PUT /v1/acl/role/:id.
func (a *API) roleUpdate(r *request) (any, error) {
	var role acl.Role
	if err := r.decodeScoped("Role decoding failed", &role, &role.Scope); err != nil {
		return nil, err
	}
	return a.Roles.Update(r.Context(), r.caller, r.PathValue("role_id"), role)
}

// roleDelete handles DELETE /v1/acl/role/:id.
func (a *API) roleDelete(r *request) (any, error) {
	return true, a.Roles.Delete(r.Context(), r.caller, r.scope, r.PathValue("role_id"))
}

// roleList handles GET /v1/acl/roles.
func (a *API) roleList(r *request) (any, error) {
	return r.answer(a.Roles.List(r.Context(), r.caller, endpoint.RoleList{
		Scope: r.scope, Policy: r.query.Get("policy"), Read: r.read,
	}))
}
