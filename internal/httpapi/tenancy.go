package httpapi

import (
	"net/http"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

var tenancyRoutes = []route{
	{http.MethodPut, "/v1/partition", OnLeader, "operator:write", "partition.set", (*API).partitionSet, 0},
	{http.MethodGet, "/v1/partition/{partition}", OnServer, "operator:read", "partition.read", (*API).partitionRead, 0},
	{http.MethodPut, "/v1/partition/{partition}", OnLeader, "operator:write", "partition.set", (*API).partitionSet, 0},
	{http.MethodDelete, "/v1/partition/{partition}", OnLeader, "operator:write", "partition.delete", (*API).partitionDelete, 0},
	{http.MethodGet, "/v1/partitions", OnServer, "operator:read", "partition.list", (*API).partitionList, 0},
	{http.MethodPut, "/v1/namespace", OnLeader, "operator:write", "namespace.set", (*API).namespaceSet, 0},
	{http.MethodGet, "/v1/namespace/{namespace}", OnServer, "operator:read", "namespace.read", (*API).namespaceRead, 0},
	{http.MethodPut, "/v1/namespace/{namespace}", OnLeader, "operator:write", "namespace.set", (*API).namespaceSet, 0},
	{http.MethodDelete, "/v1/namespace/{namespace}", OnLeader, "operator:write", "namespace.delete", (*API).namespaceDelete, 0},
	{http.MethodGet, "/v1/namespaces", OnServer, "operator:read", "namespace.list", (*API).namespaceList, 0},
}

// deletion is the second name under which clients echo when an object that
// they have read was deleted. Only the server decides about it.
type deletion struct {
	DeletedAtOld *time.Time `json:"deleted_at"`
}

// partitionBody is a partition as clients send it.
type partitionBody struct {
	tenancy.Partition
	deletion
	DisableGossip bool
}

// namespaceBody is a namespace as clients send it.
type namespaceBody struct {
	tenancy.Namespace
	deletion
}

// partitionSet handles PUT /v1/partition and /v1/partition/:name.
func (a *API) partitionSet(r *request) (any, error) {
	var body partitionBody
	if err := r.decode("Partition decoding failed", &body); err != nil {
		return nil, err
	}
	if body.DisableGossip {
		return nil, errs.New(errs.Invalid, "Invalid Partition: DisableGossip is not supported")
	}
	return a.Partitions.Set(r.Context(), r.caller, r.PathValue("partition"), body.Partition)
}

// partitionRead handles GET /v1/partition/:name.
func (a *API) partitionRead(r *request) (any, error) {
	return r.answer(a.Partitions.Read(r.Context(), r.caller, r.PathValue("partition"), r.read))
}

// partitionDelete handles DELETE /v1/partition/:name.
func (a *API) partitionDelete(r *request) (any, error) {
	return empty{}, a.Partitions.Delete(r.Context(), r.caller, r.PathValue("partition"))
}

// partitionList handles GET /v1/partitions.
func (a *API) partitionList(r *request) (any, error) {
	return r.answer(a.Partitions.List(r.Context(), r.caller, r.read))
}

// namespaceSet handles PUT /v1/namespace and /v1/namespace/:name.
func (a *API) namespaceSet(r *request) (any, error) {
	var body namespaceBody
	if err := r.decode("Namespace decoding failed", &body); err != nil {
		return nil, err
	}
	where := tenancy.Scope{Partition: body.Partition}
	if err := r.bodyScope(&where); err != nil {
		return nil, err
	}
	body.Partition = where.Partition
	return a.Namespaces.Set(r.Context(), r.caller, r.PathValue("namespace"), body.Namespace)
}

// namespaceRead handles GET /v1/namespace/:name.
func (a *API) namespaceRead(r *request) (any, error) {
	return r.answer(a.Namespaces.Read(r.Context(), r.caller, r.scope.Partition, r.PathValue("namespace"), r.read))
}

// namespaceDelete handles DELETE /v1/namespace/:name.
func (a *API) namespaceDelete(r *request) (any, error) {
	return empty{}, a.Namespaces.Delete(r.Context(), r.caller, r.scope.Partition, r.PathValue("namespace"))
}

// namespaceList handles GET /v1/namespaces.
func (a *API) namespaceList(r *request) (any, error) {
	return r.answer(a.Namespaces.List(r.Context(), r.caller, r.scope.Partition, r.read))
}
