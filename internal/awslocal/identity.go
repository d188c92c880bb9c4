package awslocal

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

const tasksService = "ecs-tasks.amazonaws.com"

// identity is a role or a user. It does not change after New.
type identity struct {
	kind    string // "role" or "user"
	account string
	name    string
	path    string
	id      string // AROA… or AIDA…
	arn     string
	created time.Time

	tags        map[string]string
	permissions []Permission
	trust       Trust // of a role
}

func newIdentity(kind, account, name, path, id string) *identity {
	path = cmp.Or(path, "/")
	return &identity{
		kind: kind, account: account, name: name, path: path, id: id,
		arn: "arn:aws:iam::" + account + ":" + kind + path + name,
	}
}

// allows says whether the identity's own permissions allow action on resource.
func (i *identity) allows(action, resource string) bool {
	return slices.ContainsFunc(i.permissions, func(p Permission) bool {
		return matchesAny(p.Action, action, true) && matchesAny(p.Resource, resource, false)
	})
}

// trustPolicy is the JSON text of a role's trust policy.
func (i *identity) trustPolicy() string {
	type statement struct {
		Effect    string
		Principal Trust
		Action    string
	}
	doc := struct {
		Version   string
		Statement []statement
	}{Version: "2012-10-17", Statement: []statement{}}
	if len(i.trust.Service)+len(i.trust.AWS) > 0 {
		doc.Statement = append(doc.Statement, statement{"Allow", i.trust, "sts:AssumeRole"})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic("awslocal: a trust policy is plain strings: " + err.Error())
	}
	return string(text)
}

// principal is who signed a request: a user, or a role under a session name.
type principal struct {
	*identity
	session string // of a role
}

// callerARN is the principal's ARN as STS says it; a role's path is not in it.
func (p principal) callerARN() string {
	if p.kind == "user" {
		return p.arn
	}
	return "arn:aws:sts::" + p.account + ":assumed-role/" + p.name + "/" + p.session
}

// userID is the unique id, with the session's name after it for a role.
func (p principal) userID() string {
	if p.kind == "user" {
		return p.id
	}
	return p.id + ":" + p.session
}

// mayAssume says whether p may assume role. Naming p in the trust policy
// suffices within one account. An account's root in it leaves the decision to
// that account, and so does any trust across accounts: then p's own
// permissions have to allow it too.
func (p principal) mayAssume(role *identity) bool {
	named := slices.Contains(role.trust.AWS, p.arn)
	delegated := slices.Contains(role.trust.AWS, "arn:aws:iam::"+p.account+":root")
	if named && p.account == role.account {
		return true
	}
	return (named || delegated) && p.allows("sts:AssumeRole", role.arn)
}

func matchesAny(patterns []string, s string, fold bool) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if fold {
			return wildcardMatch(strings.ToLower(pattern), strings.ToLower(s))
		}
		return wildcardMatch(pattern, s)
	})
}

// wildcardMatch matches s against a pattern in which "*" stands for any text and
// "?" for any byte, in time that is at most the product of both lengths.
func wildcardMatch(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
