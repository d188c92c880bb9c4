package awslocal

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"time"
)

const (
	taskCredentialLife = 6 * time.Hour // as ECS hands them out
	taskCredentialLeft = time.Hour     // with less than this left, ECS hands out new ones
	maxTemporary       = 100_000
)

// credential is an access key and who it makes the caller. It does not change.
type credential struct {
	accessKey string
	secret    string
	token     string    // "" for a long-term key
	expires   time.Time // zero for a long-term key
	who       principal
	taskID    string // the task that it was handed to, if any
}

// authenticate verifies the signature of r, whose body is body, and returns who made it.
func (s *Server) authenticate(r *http.Request, g signature, body []byte) (principal, *apiError) {
	now := s.now()
	if err := g.checkSigned(r, now); err != nil {
		return principal{}, err
	}
	s.mu.Lock()
	c := s.credentials[g.accessKey]
	s.mu.Unlock()
	if c == nil {
		return principal{}, errUnknownToken
	}
	token := r.Header.Get("X-Amz-Security-Token")
	if subtle.ConstantTimeCompare([]byte(token), []byte(c.token)) != 1 {
		return principal{}, errUnknownToken
	}
	if !g.verify(r, body, c.secret) {
		return principal{}, errBadSignature
	}
	if c.token != "" && !now.Before(c.expires) {
		return principal{}, errExpiredToken
	}
	return c.who, nil
}

// issue makes temporary credentials for who. s.mu is held.
func (s *Server) issue(who principal, life time.Duration, taskID string) (*credential, *apiError) {
	if len(s.credentials) >= maxTemporary {
		s.purge()
	}
	if len(s.credentials) >= maxTemporary {
		return nil, refuse(http.StatusBadRequest, "Throttling", "Rate exceeded")
	}
	c := &credential{
		accessKey: "ASIA" + rand.Text()[:16],
		secret:    base64.StdEncoding.EncodeToString(randomBytes(30)),
		token:     base64.StdEncoding.EncodeToString(randomBytes(192)),
		expires:   s.now().Add(life).UTC().Truncate(time.Second),
		who:       who,
		taskID:    taskID,
	}
	s.credentials[c.accessKey] = c
	return c, nil
}

// purge forgets what has expired. s.mu is held.
func (s *Server) purge() {
	now := s.now()
	for key, c := range s.credentials {
		if c.token != "" && !now.Before(c.expires) {
			delete(s.credentials, key)
		}
	}
}

// containerCredentials is the answer of the ECS container credential endpoint.
type containerCredentials struct {
	RoleArn         string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

// taskCredentials answers GET /v2/credentials/<id>.
func (s *Server) taskCredentials(id string, call *Call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.byCredentials[id]
	if t == nil {
		return nil, refuse(http.StatusNotFound, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found")
	}
	call.by(principal{t.role, t.ID})
	if t.current == nil || s.now().Add(taskCredentialLeft).After(t.current.expires) {
		c, err := s.issue(principal{t.role, t.ID}, taskCredentialLife, t.ID)
		if err != nil {
			return nil, err
		}
		t.current = c
	}
	c := t.current
	return containerCredentials{t.role.arn, c.accessKey, c.secret, c.token, c.expires}, nil
}
