package awslocal

import (
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

const maxBody = 64 << 10

// service is one AWS service of the query protocol.
type service struct {
	version string
	actions map[string]action
}

type action struct {
	params []string // that it takes beside Action and Version
	run    func(*Server, principal, url.Values) (any, *apiError)
}

var services = map[string]service{
	"sts": {"2011-06-15", map[string]action{
		"GetCallerIdentity": {nil, (*Server).getCallerIdentity},
		"AssumeRole":        {[]string{"RoleArn", "RoleSessionName", "DurationSeconds"}, (*Server).assumeRole},
	}},
	"iam": {"2010-05-08", map[string]action{
		"GetRole": {[]string{"RoleName"}, (*Server).getRole},
		"GetUser": {[]string{"UserName"}, (*Server).getUser},
	}},
}

// apiCall reads a signed call and returns what answers it. call then says
// what was asked for, as far as that can be read from the request, and after
// the answer also who asked.
func (s *Server) apiCall(r *http.Request, call *Call) func() answer {
	if r.Header.Get("X-Amz-Target") != "" {
		return s.jsonCall(r, call)
	}
	body, params, err := readParams(r)
	g, unsigned := requestSignature(r)
	if err == nil {
		err = unsigned
	}
	call.Service, call.Action = g.service, params.Get("Action")
	return func() answer {
		if err != nil {
			return errorAnswer(g.service, err)
		}
		who, err := s.authenticate(r, g, body)
		if err != nil {
			return errorAnswer(g.service, err)
		}
		call.by(who)
		if err := s.throttled(g.service, call.Action, who.account); err != nil {
			return errorAnswer(g.service, err)
		}
		act, err := services[g.service].find(params)
		if err != nil {
			return errorAnswer(g.service, err)
		}
		result, err := act.run(s, who, params)
		if err != nil {
			return errorAnswer(g.service, err)
		}
		return xmlResult(g.service, call.Action, result)
	}
}

// readParams returns the body and the parameters of the form in it and of the
// query. No parameter may be there twice, also not once in each.
func readParams(r *http.Request) ([]byte, url.Values, *apiError) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return nil, nil, refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method %s is not allowed.", r.Method)
	}
	body, refused := readBody(r)
	if refused != nil {
		return nil, nil, refused
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error")
	}
	if len(body) > 0 {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		form, err := url.ParseQuery(string(body))
		if kind != "application/x-www-form-urlencoded" || err != nil {
			return nil, nil, refuse(http.StatusBadRequest, "MalformedInput", "The body is not a form of type application/x-www-form-urlencoded")
		}
		for name, values := range form {
			params[name] = append(params[name], values...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if len(params[name]) > 1 {
			return nil, nil, validationError("Parameter %q was given %d times", name, len(params[name]))
		}
	}
	return body, params, nil
}

func readBody(r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "MalformedHttpRequest", "The body cannot be read: %s", err)
	}
	if len(body) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The body is larger than %d bytes.", maxBody)
	}
	return body, nil
}

// find returns the action that params name. Parameters that the action here
// would have to ignore are refused.
func (svc service) find(params url.Values) (action, *apiError) {
	name, version := params.Get("Action"), params.Get("Version")
	if name == "" {
		return action{}, refuse(http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action.")
	}
	act, ok := svc.actions[name]
	if !ok || version != svc.version {
		if version == "" {
			version = "NO_VERSION_SPECIFIED"
		}
		return action{}, refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", name, version)
	}
	for _, param := range slices.Sorted(maps.Keys(params)) {
		if param != "Action" && param != "Version" && !slices.Contains(act.params, param) {
			return action{}, validationError("%s does not take the parameter %q here", name, param)
		}
	}
	return act, nil
}
