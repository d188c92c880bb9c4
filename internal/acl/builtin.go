package acl

import (
	"strings"

	"github.com/lictor/lictor/internal/tenancy"
)

// BuiltinPolicies returns the policies that exist from the first start,
// global-management and builtin/global-read-only. They live in the default
// namespace of the default partition and reach everything (acl.md section 5).
func BuiltinPolicies() []Policy {
	policies := []Policy{
		{
			ID:          GlobalManagementID,
			Name:        GlobalManagementName,
			Description: "Built-in policy that grants write on everything",
			Rules:       globalRules(Write),
		},
		{
			ID:          GlobalReadOnlyID,
			Name:        GlobalReadOnlyName,
			Description: "Built-in policy that grants read on everything",
			Rules:       globalRules(Read),
		},
	}
	for i := range policies {
		policies[i].Scope = tenancy.Default
		policies[i].SetHash()
	}
	return policies
}

// globalRules grants a on every resource: first on those of the default
// partition's default namespace, where some exist alone, then in all partitions
// and all namespaces of each.
func globalRules(a Access) string {
	partition := join(
		unlabelledRule("acl", a), prefixRule("agent", a), prefixRule("node", a), unlabelledRule("mesh", a), unlabelledRule("peering", a),
		nest("namespace_prefix", "", join(
			unlabelledRule("policy", a), unlabelledRule("acl", a), intentionsRule("identity", a), prefixRule("key", a),
			intentionsRule("service", a), prefixRule("session", a),
		)))
	return join(
		unlabelledRule("acl", a), prefixRule("agent", a), prefixRule("event", a), intentionsRule("identity", a),
		prefixRule("key", a), unlabelledRule("keyring", a), prefixRule("node", a), unlabelledRule("operator", a),
		unlabelledRule("mesh", a), unlabelledRule("peering", a), prefixRule("query", a), intentionsRule("service", a),
		prefixRule("session", a), nest("partition_prefix", "", unlabelledRule("policy", a)+partition))
}

func join(statements ...string) string { return strings.Join(statements, "") }

// intentionsRule is prefixRule with the same access to intentions.
func intentionsRule(word string, a Access) string {
	rule := prefixRule(word, a)
	return strings.TrimSuffix(rule, "}\n") + "  intentions = \"" + a.String() + "\"\n}\n"
}
