package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/acl"
)

var templateRoutes = []route{
	{http.MethodGet, "/v1/acl/templated-policies", OnServer, "acl:read", "acl.template.list", (*API).templateList, 0},
	{http.MethodGet, "/v1/acl/templated-policy/name/{template_name...}", OnServer, "acl:read", "acl.template.read", (*API).templateRead, 0},
	{http.MethodPost, "/v1/acl/templated-policy/preview/{template_name...}", OnServer, "acl:read", "acl.template.preview", (*API).templatePreview, 0},
}

// templateList handles GET /v1/acl/templated-policies.
func (a *API) templateList(r *request) (any, error) {
	return a.Templates.List(r.Context(), r.caller, r.scope)
}

// templateRead handles GET /v1/acl/templated-policy/name/:name.
func (a *API) templateRead(r *request) (any, error) {
	return a.Templates.Read(r.Context(), r.caller, r.scope, r.PathValue("template_name"))
}

// templatePreview handles POST /v1/acl/templated-policy/preview/:name. The body
// is the template's variables.
func (a *API) templatePreview(r *request) (any, error) {
	var variables *acl.TemplateVariables
	if err := r.decode("Failed to decode request body", &variables); err != nil {
		return nil, err
	}
	return a.Templates.Preview(r.Context(), r.caller, r.scope, r.PathValue("template_name"), variables)
}
