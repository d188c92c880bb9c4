package awslocal

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"time"
)

type tag struct{ Key, Value string }

type getRoleResult struct {
	XMLName xml.Name `xml:"GetRoleResult"`
	Role    roleDetail
}

type roleDetail struct {
	Path                     string
	AssumeRolePolicyDocument string // percent-encoded JSON
	MaxSessionDuration       int    // seconds
	RoleID                   string `xml:"RoleId"`
	RoleName                 string
	Arn                      string
	CreateDate               time.Time
	Tags                     *tagList
}

type getUserResult struct {
	XMLName xml.Name `xml:"GetUserResult"`
	User    userDetail
}

type userDetail struct {
	Path       string
	UserName   string
	Arn        string
	UserID     string `xml:"UserId"`
	CreateDate time.Time
	Tags       *tagList
}

// tagList is absent from an answer when there are no tags.
type tagList struct {
	Member []tag `xml:"member"`
}

func newTagList(tags map[string]string) *tagList {
	if len(tags) == 0 {
		return nil
	}
	l := &tagList{}
	for _, key := range sortedKeys(tags) {
		l.Member = append(l.Member, tag{key, tags[key]})
	}
	return l
}

func (s *Server) getRole(who principal, params url.Values) (any, *apiError) {
	role, err := s.readable(who, "role", "iam:GetRole", "roleName", params.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return getRoleResult{Role: roleDetail{
		Path:                     role.path,
		AssumeRolePolicyDocument: percentEncode(role.trustPolicy()),
		MaxSessionDuration:       int(maxSession.Seconds()),
		RoleID:                   role.id,
		RoleName:                 role.name,
		Arn:                      role.arn,
		CreateDate:               role.created,
		Tags:                     newTagList(role.tags),
	}}, nil
}

func (s *Server) getUser(who principal, params url.Values) (any, *apiError) {
	name := params.Get("UserName")
	if !params.Has("UserName") {
		if who.kind != "user" {
			return nil, validationError("Must specify userName when calling with non-User credentials")
		}
		name = who.name
	}
	user, err := s.readable(who, "user", "iam:GetUser", "userName", name)
	if err != nil {
		return nil, err
	}
	return getUserResult{User: userDetail{
		Path:       user.path,
		UserName:   user.name,
		Arn:        user.arn,
		UserID:     user.id,
		CreateDate: user.created,
		Tags:       newTagList(user.tags),
	}}, nil
}

// readable returns the role or user called name in the caller's account, if
// the caller may do action on it. Whether a name exists is told only to those
// who may ask.
func (s *Server) readable(who principal, kind, action, field, name string) (*identity, *apiError) {
	if !namePattern.MatchString(name) {
		return nil, validationError("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+", name, field)
	}
	found := s.byName[nameKey{who.account, kind, name}]
	arn := "arn:aws:iam::" + who.account + ":" + kind + "/" + name
	if found != nil {
		arn = found.arn
	}
	if !who.allows(action, arn) {
		return nil, accessDenied(who, action, kind+" "+name+" because no identity-based policy allows the "+action+" action")
	}
	if found == nil {
		return nil, refuse(http.StatusNotFound, "NoSuchEntity", "The %s with name %s cannot be found.", kind, name)
	}
	return found, nil
}
