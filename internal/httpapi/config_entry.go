package httpapi

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	readsEntries  = "service:read, intention:read or mesh:read, by kind"
	writesEntries = "service:write, intention:write or mesh:write, by kind"
)

var configEntryRoutes = []route{
	{http.MethodPut, "/v1/config", OnLeader, writesEntries, "config.write", (*API).configPut, anyNamespace | entryBody},
	{http.MethodGet, "/v1/config/{entry_kind}", OnServer, readsEntries, "config.list", (*API).configList, anyNamespace},
	{http.MethodDelete, "/v1/config/{entry_kind}", OnLeader, "token: it says no more than that a name is missing", "config.delete", (*API).configDelete, anyNamespace},
	{http.MethodGet, "/v1/config/{entry_kind}/{entry_name...}", OnServer, readsEntries, "config.read", (*API).configGet, anyNamespace},
	{http.MethodDelete, "/v1/config/{entry_kind}/{entry_name...}", OnLeader, writesEntries, "config.delete", (*API).configDelete, anyNamespace},
	{http.MethodGet, "/v1/exported-services", OnServer, "mesh:read", "config.exported_services", (*API).exportedServices, 0},
}

// configPut handles PUT /v1/config.
func (a *API) configPut(r *request) (any, error) {
	cas, err := r.cas()
	if err != nil {
		return nil, err
	}
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	entry, err := configentry.DecodeJSON(body)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Request decoding failed: %w", err)
	}
	if err := r.bodyScopeBy(scopeParser(entry.Kind), &entry.Scope); err != nil {
		return nil, err
	}
	return a.Entries.Set(r.Context(), r.caller, *entry, cas)
}

// scopeParser returns what reads the scope of a kind's entries: intentions may be in all namespaces.
func scopeParser(k configentry.Kind) func(partition, namespace string) (tenancy.Scope, error) {
	if k == configentry.KindServiceIntentions {
		return tenancy.ParseWildcard
	}
	return tenancy.Parse
}

// cas returns the index that a write expects, nil for any.
func (r *request) cas() (*uint64, error) {
	if !r.query.Has("cas") {
		return nil, nil
	}
	index, err := strconv.ParseUint(r.query.Get("cas"), 10, 64)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Error parsing cas value: %w", err)
	}
	return &index, nil
}

// entry reads which entry, or with no name which kind, the path names.
func (r *request) entry() (endpoint.ConfigEntryRead, error) {
	req := endpoint.ConfigEntryRead{Name: r.PathValue("entry_name"), Filter: r.query.Get("filter"), Read: r.read}
	var err error
	if req.Kind, err = configentry.ParseKind(r.PathValue("entry_kind")); err != nil {
		return req, err
	}
	req.Scope, err = scopeParser(req.Kind)(r.scope.Partition, r.scope.Namespace)
	return req, err
}

// configList handles GET /v1/config/:kind.
func (a *API) configList(r *request) (any, error) {
	req, err := r.entry()
	if err != nil {
		return nil, err
	}
	list, meta, err := a.Entries.List(r.Context(), r.caller, req)
	return r.answer(list, meta, err)
}

// configGet handles GET /v1/config/:kind/:name.
func (a *API) configGet(r *request) (any, error) {
	req, err := r.entry()
	if err != nil {
		return nil, err
	}
	if req.Name == "" {
		return a.configList(r)
	}
	entry, meta, err := a.Entries.Get(r.Context(), r.caller, req)
	if err == nil && entry == nil {
		r.meta = &meta
		return nil, errs.Errorf(errs.NotFound, "Config entry not found for %q / %q", req.Kind, req.Name)
	}
	return r.answer(entry, meta, err)
}

// configDelete handles DELETE /v1/config/:kind/:name.
func (a *API) configDelete(r *request) (any, error) {
	if r.PathValue("entry_name") == "" {
		return nil, errs.New(errs.NotFound, "Must provide both a kind and name to delete")
	}
	cas, err := r.cas()
	if err != nil {
		return nil, err
	}
	req, err := r.entry()
	if err != nil {
		return nil, err
	}
	done, err := a.Entries.Delete(r.Context(), r.caller, req, cas)
	if err != nil || cas != nil {
		return done, err
	}
	return struct{}{}, nil
}

// exportedServices handles GET /v1/exported-services.
func (a *API) exportedServices(r *request) (any, error) {
	expression, err := filter.Parse(r.query.Get("filter"), endpoint.ExportedService{})
	if err != nil {
		return nil, err
	}
	list, meta, err := a.Entries.Exported(r.Context(), r.caller, r.scope, r.read)
	list = slices.DeleteFunc(list, func(s endpoint.ExportedService) bool { return !expression.Match(s) })
	return r.answer(list, meta, err)
}
