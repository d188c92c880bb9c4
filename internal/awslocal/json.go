package awslocal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// jsonService is one AWS service of the JSON 1.1 protocol.
type jsonService struct {
	target  string // before the action in X-Amz-Target
	actions map[string]jsonAction
}

type jsonAction func(*Server, caller, []byte) (any, *apiError)

// caller is who signed a call of the JSON protocol, and for which region.
type caller struct {
	principal
	region string
}

var jsonServices = map[string]jsonService{
	"ecs": {"AmazonEC2ContainerServiceV20141113", map[string]jsonAction{
		"ListTasks":              with((*Server).listTasks),
		"DescribeTasks":          with((*Server).describeTasks),
		"StopTask":               with((*Server).stopTask),
		"RunTask":                with((*Server).runTask),
		"RegisterTaskDefinition": (*Server).registerTaskDefinition,
		"DescribeTaskDefinition": with((*Server).describeTaskDefinition),
	}},
	"secretsmanager": {"secretsmanager", map[string]jsonAction{
		"GetSecretValue": with((*Server).getSecretValue),
	}},
	"ssm": {"AmazonSSM", map[string]jsonAction{
		"GetParameter":  with((*Server).getParameter),
		"GetParameters": with((*Server).getParameters),
	}},
}

// with decodes the input of an action. Fields that the action here would have to ignore are refused.
func with[T any](run func(*Server, caller, T) (any, *apiError)) jsonAction {
	return func(s *Server, who caller, body []byte) (any, *apiError) {
		var in T
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, refuse(http.StatusBadRequest, "SerializationException", "%s", err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, refuse(http.StatusBadRequest, "SerializationException", "something follows the JSON object")
		}
		return run(s, who, in)
	}
}

// jsonCall is apiCall for the JSON protocol.
func (s *Server) jsonCall(r *http.Request, call *Call) func() answer {
	g, err := requestSignature(r)
	var body []byte
	if err == nil {
		body, err = readBody(r)
	}
	target, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	service := ""
	for name, svc := range jsonServices {
		if svc.target == target {
			service = name
		}
	}
	call.Service, call.Action = service, action
	return func() answer {
		if err != nil {
			return errorAnswer(service, err)
		}
		run, known := jsonServices[service].actions[action]
		if !known || r.Method != http.MethodPost {
			return jsonError(refuse(http.StatusBadRequest, "UnknownOperationException", "There is no operation %s.%s here", target, action))
		}
		if g.service != service {
			return errorAnswer(service, signatureMismatch("Credential should be scoped to correct service: '%s'.", service))
		}
		who, err := s.authenticate(r, g, body)
		if err != nil {
			return errorAnswer(service, err)
		}
		call.by(who)
		if err := s.throttled(service, action, who.account); err != nil {
			return errorAnswer(service, err)
		}
		result, err := run(s, caller{who, g.region}, body)
		if err != nil {
			return errorAnswer(service, err)
		}
		return jsonAnswer(http.StatusOK, result)
	}
}

// jsonCodes are the names that the JSON protocol has for errors of all services.
var jsonCodes = map[string]string{
	"AccessDenied":               "AccessDeniedException",
	"ExpiredToken":               "ExpiredTokenException",
	"IncompleteSignature":        "IncompleteSignatureException",
	"InvalidClientTokenId":       "UnrecognizedClientException",
	"MissingAuthenticationToken": "MissingAuthenticationTokenException",
	"SignatureDoesNotMatch":      "InvalidSignatureException",
	"Throttling":                 "ThrottlingException",
	"ValidationError":            "ValidationException",
}

// errorAnswer answers a call of the service with e, in the service's protocol.
func errorAnswer(service string, e *apiError) answer {
	if _, ok := jsonServices[service]; !ok {
		return xmlError(service, e)
	}
	code, status := e.code, e.status
	if name, ok := jsonCodes[code]; ok {
		code = name
	}
	if status == http.StatusForbidden {
		status = http.StatusBadRequest
	}
	return jsonError(&apiError{status, code, e.message})
}

func jsonError(e *apiError) answer {
	a := jsonAnswer(e.status, struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.code, e.message})
	a.code = e.code
	return a
}

func jsonAnswer(status int, document any) answer {
	body, err := json.Marshal(document)
	if err != nil {
		panic("awslocal: results are plain structs: " + err.Error())
	}
	header := http.Header{}
	header.Set("Content-Type", "application/x-amz-json-1.1")
	header.Set("X-Amzn-Requestid", newUUID())
	return answer{status: status, header: header, body: body}
}

// epoch is a time as the JSON protocol has it: seconds since 1970 with a fraction, null for none.
type epoch struct{ time.Time }

func (e epoch) MarshalJSON() ([]byte, error) {
	if e.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(e.UnixMilli()) / 1000)
}
