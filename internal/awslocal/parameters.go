package awslocal

import (
	"encoding/base64"
	"net/http"
	"strings"
)

const maxParameters = 10 // in a call of GetParameters

func parameterARN(account, region, name string) string {
	return "arn:aws:ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

type getParameterInput struct {
	Name           string // or ARN
	WithDecryption bool
}

type getParametersInput struct {
	Names          []string // or ARNs
	WithDecryption bool
}

type parameter struct {
	Name             string
	Type             string
	Value            string // of a SecureString without decryption: some base64
	Version          int
	LastModifiedDate epoch
	ARN              string
	DataType         string
}

func (s *Server) getParameter(who caller, in getParameterInput) (any, *apiError) {
	p, err := s.parameter(who, "ssm:GetParameter", in.Name, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, refuse(http.StatusBadRequest, "ParameterNotFound", "")
	}
	return struct{ Parameter parameter }{*p}, nil
}

func (s *Server) getParameters(who caller, in getParametersInput) (any, *apiError) {
	if len(in.Names) == 0 || len(in.Names) > maxParameters {
		return nil, validationError("1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and %d", maxParameters)
	}
	result := struct {
		Parameters        []parameter
		InvalidParameters []string
	}{[]parameter{}, []string{}}
	for _, name := range in.Names {
		p, err := s.parameter(who, "ssm:GetParameters", name, in.WithDecryption)
		switch {
		case err != nil:
			return nil, err
		case p == nil:
			result.InvalidParameters = append(result.InvalidParameters, name)
		default:
			result.Parameters = append(result.Parameters, *p)
		}
	}
	return result, nil
}

// parameter returns the parameter that ref means, nil if there is none.
func (s *Server) parameter(who caller, action, ref string, decrypt bool) (*parameter, *apiError) {
	arn := ref
	if !strings.HasPrefix(ref, "arn:") {
		arn = parameterARN(who.account, who.region, ref)
	}
	if err := who.require(action, arn); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, found := range s.parameters {
		if found.arn != arn || key.region != who.region {
			continue
		}
		newest := found.newest()
		p := &parameter{found.name, "SecureString", newest.value, newest.number, newest.at, found.arn, "text"}
		if !decrypt {
			p.Value = base64.StdEncoding.EncodeToString([]byte(hexSHA256([]byte(newest.id + newest.value))))
		}
		return p, nil
	}
	return nil, nil
}

// parameterFor is GetParameters of one parameter with decryption, as ECS calls it.
func (s *Server) parameterFor(who caller, ref string) (string, *apiError) {
	if err := s.throttled("ssm", "GetParameters", who.account); err != nil {
		return "", err
	}
	if parts := strings.Split(ref, ":"); len(parts) >= 6 && parts[0] == "arn" {
		who.region = parts[3]
	}
	p, err := s.parameter(who, "ssm:GetParameters", ref, true)
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", refuse(http.StatusBadRequest, "InvalidParameters", "invalid parameters: %s", ref)
	}
	return p.Value, nil
}
