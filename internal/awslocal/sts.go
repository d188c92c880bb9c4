package awslocal

import (
	"encoding/xml"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

const (
	defaultSession = time.Hour
	maxSession     = time.Hour // of a role whose MaxSessionDuration was not changed
)

var sessionPattern = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)

type callerIdentityResult struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

func (s *Server) getCallerIdentity(who principal, _ url.Values) (any, *apiError) {
	return callerIdentityResult{Arn: who.callerARN(), UserID: who.userID(), Account: who.account}, nil
}

type assumeRoleResult struct {
	XMLName       xml.Name `xml:"AssumeRoleResult"`
	AssumedRoleID string   `xml:"AssumedRoleUser>AssumedRoleId"`
	Arn           string   `xml:"AssumedRoleUser>Arn"`
	Credentials   sessionCredentials
}

type sessionCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

func (s *Server) assumeRole(who principal, params url.Values) (any, *apiError) {
	arn, name := params.Get("RoleArn"), params.Get("RoleSessionName")
	if arn == "" {
		return nil, validationError("1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null")
	}
	if !sessionPattern.MatchString(name) {
		return nil, validationError("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]{2,64}", name)
	}
	life, err := sessionDuration(params.Get("DurationSeconds"))
	if err != nil {
		return nil, err
	}
	role := s.entities[arn]
	if role == nil || role.kind != "role" || !who.mayAssume(role) {
		return nil, accessDenied(who, "sts:AssumeRole", arn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := principal{role, name}
	c, err := s.issue(session, life, "")
	if err != nil {
		return nil, err
	}
	return assumeRoleResult{
		AssumedRoleID: session.userID(),
		Arn:           session.callerARN(),
		Credentials:   sessionCredentials{c.accessKey, c.secret, c.token, c.expires},
	}, nil
}

// sessionDuration reads DurationSeconds: 900 s to one hour, one hour when empty.
func sessionDuration(seconds string) (time.Duration, *apiError) {
	if seconds == "" {
		return defaultSession, nil
	}
	n, err := strconv.ParseInt(seconds, 10, 32)
	if err != nil || n < 900 || n > 43200 {
		return 0, validationError("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200", seconds)
	}
	life := time.Duration(n) * time.Second
	if life > maxSession {
		return 0, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return life, nil
}
