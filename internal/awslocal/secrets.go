package awslocal

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// storeKey names a secret of Secrets Manager or a parameter of SSM.
type storeKey struct{ account, region, name string }

// stored is a secret or a parameter with its versions, the newest last.
type stored struct {
	name     string
	arn      string
	versions []version
}

type version struct {
	number int
	id     string
	value  string
	at     epoch
}

func (s *stored) newest() version { return s.versions[len(s.versions)-1] }

var secretNamePattern = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

const maxVersions = 100

// PutSecret stores a secret of Secrets Manager, or another value of one that is there, and returns its ARN,
// which ends in six random characters. Callers may leave those out, as the
// documents do.
func (s *Server) PutSecret(account, region, name, value string) (string, error) {
	arn := "arn:aws:secretsmanager:" + region + ":" + account + ":secret:" + name + "-" + rand.Text()[:6]
	return s.put(s.secrets, storeKey{account, region, name}, arn, value)
}

// PutParameter stores a parameter of SSM of type SecureString, or another value of one that is there,
// and returns its ARN.
func (s *Server) PutParameter(account, region, name, value string) (string, error) {
	return s.put(s.parameters, storeKey{account, region, name}, parameterARN(account, region, name), value)
}

func (s *Server) put(store map[storeKey]*stored, key storeKey, arn, value string) (string, error) {
	if !accountPattern.MatchString(key.account) || !regionPattern.MatchString(key.region) || !secretNamePattern.MatchString(key.name) {
		return "", fmt.Errorf("put secret: %q, %q or %q is not an account, a region or a name", key.account, key.region, key.name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have := store[key]
	if have == nil {
		have = &stored{name: key.name, arn: arn}
		store[key] = have
	}
	number := 1
	if len(have.versions) > 0 {
		number += have.newest().number
	}
	have.versions = append(have.versions, version{number, newUUID(), value, epoch{s.now()}})
	if len(have.versions) > maxVersions {
		have.versions = slices.Delete(have.versions, 0, 1)
	}
	return have.arn, nil
}

type getSecretValueInput struct {
	SecretID     string `json:"SecretId"` // name, or ARN with or without its random end
	VersionID    string `json:"VersionId"`
	VersionStage string `json:"VersionStage"` // AWSCURRENT when empty, or AWSPREVIOUS
}

type getSecretValueResult struct {
	ARN           string
	Name          string
	VersionID     string `json:"VersionId"`
	SecretString  string
	VersionStages []string
	CreatedDate   epoch
}

func (s *Server) getSecretValue(who caller, in getSecretValueInput) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.findSecret(who, in.SecretID)
	arn := in.SecretID
	switch {
	case found != nil:
		arn = found.arn
	case !strings.HasPrefix(arn, "arn:"):
		arn = "arn:aws:secretsmanager:" + who.region + ":" + who.account + ":secret:" + in.SecretID
	}
	if err := who.require("secretsmanager:GetSecretValue", arn); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, refuse(http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	for i := len(found.versions) - 1; i >= 0; i-- {
		v := found.versions[i]
		stages := []string{}
		switch i {
		case len(found.versions) - 1:
			stages = append(stages, "AWSCURRENT")
		case len(found.versions) - 2:
			stages = append(stages, "AWSPREVIOUS")
		}
		stage := in.VersionStage
		if stage == "" && in.VersionID == "" {
			stage = "AWSCURRENT"
		}
		if (in.VersionID == "" || in.VersionID == v.id) && (stage == "" || slices.Contains(stages, stage)) {
			return getSecretValueResult{found.arn, found.name, v.id, v.value, stages, v.at}, nil
		}
	}
	return nil, refuse(http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", in.VersionStage)
}

// findSecret returns the secret that id means, or nil. s.mu is held.
func (s *Server) findSecret(who caller, id string) *stored {
	if !strings.HasPrefix(id, "arn:") {
		return s.secrets[storeKey{who.account, who.region, id}]
	}
	parts := strings.SplitN(id, ":", 7)
	if len(parts) != 7 || parts[2] != "secretsmanager" || parts[5] != "secret" || parts[3] != who.region {
		return nil
	}
	for key, found := range s.secrets {
		if key.account == parts[4] && key.region == parts[3] && (found.arn == id || key.name == parts[6]) {
			return found
		}
	}
	return nil
}

// SecretFor returns the value that valueFrom in a task definition means, read with the permissions of
// the execution role for the task with an id. valueFrom is the ARN of a secret, to which
// :json-key:version-stage:version-id may be added, or the ARN or name of a parameter of SSM, which is
// looked for in region.
func (s *Server) SecretFor(executionRole, taskID, region, valueFrom string) (string, error) {
	role := s.entities[executionRole]
	if role == nil || role.kind != "role" || !slices.Contains(role.trust.Service, tasksService) {
		return "", fmt.Errorf("ECS was unable to assume the role '%s' that was provided for this task.", executionRole)
	}
	who := caller{principal{role, taskID}, region}
	parts := strings.Split(valueFrom, ":")
	key := ""
	call := Call{Service: "ssm", Action: "GetParameters", Status: http.StatusOK}
	read := func() (string, *apiError) { return s.parameterFor(who, valueFrom) }
	if len(parts) >= 7 && parts[2] == "secretsmanager" {
		call.Service, call.Action = "secretsmanager", "GetSecretValue"
		parts = append(parts, "", "", "")
		key = parts[7]
		read = func() (string, *apiError) { return s.secretFor(who, parts) }
	}
	call.by(who.principal)
	value, err := read()
	if err != nil {
		call.Status, call.Code = err.status, err.code
	}
	s.count(call)
	if err == nil && key != "" {
		value, err = jsonKey(value, key)
	}
	if err != nil {
		return "", fmt.Errorf("ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from %s: %s: %s",
			map[string]string{"ssm": "ssm", "secretsmanager": "asm"}[call.Service], err.code, err.message)
	}
	return value, nil
}

// secretFor is GetSecretValue of the secret whose ARN's seven parts, JSON key, stage and version id are
// in parts, as ECS calls it.
func (s *Server) secretFor(who caller, parts []string) (string, *apiError) {
	if err := s.throttled("secretsmanager", "GetSecretValue", who.account); err != nil {
		return "", err
	}
	who.region = parts[3]
	result, err := s.getSecretValue(who, getSecretValueInput{
		SecretID: strings.Join(parts[:7], ":"), VersionStage: parts[8], VersionID: parts[9],
	})
	if err != nil {
		return "", err
	}
	return result.(getSecretValueResult).SecretString, nil
}

// jsonKey is a string in the JSON object that a secret's value is.
func jsonKey(value, key string) (string, *apiError) {
	var object map[string]any
	if err := json.Unmarshal([]byte(value), &object); err != nil {
		return "", refuse(http.StatusBadRequest, "ResourceInitializationError", "the secret is no JSON object")
	}
	found, ok := object[key]
	if !ok {
		return "", refuse(http.StatusBadRequest, "ResourceInitializationError",
			"retrieved secret did not contain json key %s, it has %s", key, slices.Sorted(maps.Keys(object)))
	}
	if text, ok := found.(string); ok {
		return text, nil
	}
	text, err := json.Marshal(found)
	if err != nil {
		panic("awslocal: decoded JSON can be encoded: " + err.Error())
	}
	return string(text), nil
}
