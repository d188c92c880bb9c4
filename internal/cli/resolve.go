package cli

import (
	"errors"
	"strings"

	"github.com/hashicorp/consul/api"
)

const (
	uuidLen = 36

	anonymousAccessor = "00000000-0000-0000-0000-000000000002"
)

// A user names a policy, role, token or binding rule by its ID or by the
// beginning of it, if no other has the same. Only a beginning costs a listing.

// noMatchError says that no ID begins with prefix.
type noMatchError struct{ noun, prefix string }

func (e noMatchError) Error() string {
	return "No such " + e.noun + " ID with prefix: " + e.prefix
}

// byPrefix returns the one ID that begins with prefix. noun is the kind of ID
// in complaints. The error is a noMatchError if there is none.
func byPrefix(noun, prefix string, ids []string) (string, error) {
	found := ""
	for _, id := range ids {
		switch {
		case !strings.HasPrefix(id, prefix):
		case id == prefix:
			return id, nil
		case found != "":
			return "", complain("Partial %s ID is not unique", noun)
		default:
			found = id
		}
	}
	if found == "" {
		return "", noMatchError{noun, prefix}
	}
	return found, nil
}

// idsOf picks the ID out of each element.
func idsOf[T any](list []T, id func(T) string) []string {
	ids := make([]string, len(list))
	for i, v := range list {
		ids[i] = id(v)
	}
	return ids
}

func policyID(client *api.Client, q *api.QueryOptions, prefix string) (string, error) {
	if len(prefix) == uuidLen {
		return prefix, nil
	}
	policies, _, err := client.ACL().PolicyList(q)
	if err != nil {
		return "", err
	}
	return byPrefix("policy", prefix, idsOf(policies, func(p *api.ACLPolicyListEntry) string { return p.ID }))
}

// policyIDByName returns the ID of the policy called name.
func policyIDByName(client *api.Client, q *api.QueryOptions, name string) (string, error) {
	policy, _, err := client.ACL().PolicyReadByName(name, q)
	if err != nil {
		return "", err
	}
	if policy == nil {
		return "", complain("No such policy with name: %s", name)
	}
	return policy.ID, nil
}

func roleID(client *api.Client, q *api.QueryOptions, prefix string) (string, error) {
	if len(prefix) == uuidLen {
		return prefix, nil
	}
	roles, _, err := client.ACL().RoleList(q)
	if err != nil {
		return "", err
	}
	return byPrefix("role", prefix, idsOf(roles, func(r *api.ACLRole) string { return r.ID }))
}

// roleIDByName returns the ID of the role called name.
func roleIDByName(client *api.Client, q *api.QueryOptions, name string) (string, error) {
	role, _, err := client.ACL().RoleReadByName(name, q)
	if err != nil {
		return "", err
	}
	if role == nil {
		return "", complain("No such role with name %s", name)
	}
	return role.ID, nil
}

// tokenAccessor also understands the word anonymous.
func tokenAccessor(client *api.Client, q *api.QueryOptions, prefix string) (string, error) {
	if prefix == "anonymous" {
		return anonymousAccessor, nil
	}
	if len(prefix) == uuidLen {
		return prefix, nil
	}
	tokens, _, err := client.ACL().TokenList(q)
	if err != nil {
		return "", err
	}
	return byPrefix("token", prefix, idsOf(tokens, func(t *api.ACLTokenListEntry) string { return t.AccessorID }))
}

func bindingRuleID(client *api.Client, q *api.QueryOptions, prefix string) (string, error) {
	if len(prefix) == uuidLen {
		return prefix, nil
	}
	rules, _, err := client.ACL().BindingRuleList("", q)
	if err != nil {
		return "", err
	}
	id, err := byPrefix("rule", prefix, idsOf(rules, func(r *api.ACLBindingRule) string { return r.ID }))
	var none noMatchError
	if errors.As(err, &none) {
		return "", complain("no such rule ID with prefix: %s: ACL not found", prefix)
	}
	return id, err
}
