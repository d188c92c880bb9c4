package acl

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

// say shows rules one a line, in the order of the document.
func say(r *Rules) string {
	var b strings.Builder
	for _, one := range r.rules {
		if one.access == Unset {
			continue
		}
		if one.partition.how != own {
			b.WriteString(one.partition.describe("partition") + " ")
		}
		if one.namespace.how != own && one.resource != namespaceObject {
			b.WriteString(one.namespace.describe("namespace") + " ")
		}
		fmt.Fprintf(&b, "%s %q %s", one.keyword, one.label, one.access)
		if one.intentions != Unset {
			fmt.Fprintf(&b, " intentions %s", one.intentions)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// ecsClientPolicy and ecsClientPolicyEnt are the policies of the documents.
const (
	ecsClientPolicy = `node_prefix "" {
policy = "write"
}
service_prefix "" {
policy = "read"
}
`
	ecsClientPolicyEnt = `partition "p" {
node_prefix "" {
policy = "write"
}
namespace_prefix "" {
service_prefix "" {
policy = "read"
}
}
}
`
)

func TestParseRulesReads(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty text", "", ""},
		{"comments alone", "# a\n// b\n/* c\n * d */", ""},
		{"the client policy of the documents", ecsClientPolicy, "node_prefix \"\" write\nservice_prefix \"\" read\n"},
		{"the client policy of the documents for a partition", ecsClientPolicyEnt,
			"partition \"p\" node_prefix \"\" write\npartition \"p\" namespace_prefix \"\" service_prefix \"\" read\n"},
		{"every resource without a label", `acl = "read" keyring = "write" mesh = "deny" operator = "read" peering = "write"`,
			"acl \"\" read\nkeyring \"\" write\nmesh \"\" deny\noperator \"\" read\npeering \"\" write\n"},
		{"every resource with a label",
			`agent "a" { policy = "read" } agent_prefix "a" { policy = "read" } event "a" { policy = "read" } event_prefix "a" { policy = "read" }
			 identity "a" { policy = "read" intentions = "write" } identity_prefix "a" { policy = "read" } key "a" { policy = "list" }
			 key_prefix "a" { policy = "list" } node "a" { policy = "read" } node_prefix "a" { policy = "read" } query "a" { policy = "read" }
			 query_prefix "a" { policy = "read" } service "a" { policy = "read" intentions = "deny" } service_prefix "a" { policy = "read" }
			 session "a" { policy = "read" } session_prefix "a" { policy = "read" }`,
			`agent "a" read
agent_prefix "a" read
event "a" read
event_prefix "a" read
identity "a" read intentions write
identity_prefix "a" read
key "a" list
key_prefix "a" list
node "a" read
node_prefix "a" read
query "a" read
query_prefix "a" read
service "a" read intentions deny
service_prefix "a" read
session "a" read
session_prefix "a" read
`},
		{"capitals of keywords and dispositions alike", `Service "A" { Policy = "Read" } ACL = "WRITE"`, "service \"A\" read\nacl \"\" write\n"},
		{"an empty disposition without a label, which says nothing", `acl = ""`, ""},
		{"escapes in a label", `key "a\"b\\c\u00e9\n" { policy = "read" }`, "key \"a\\\"b\\\\cé\\n\" read\n"},
		{"a star in a label, which is no wildcard", `service "*" { policy = "read" }`, "service \"*\" read\n"},
		{"labels in an object", `key = { "a" = { policy = "read" }, b { policy = "write" } }`, "key \"a\" read\nkey \"b\" write\n"},
		{"labels in a list of objects", `key = [{ "a" = { policy = "read" } }, { "b" = { policy = "write" } }]`, "key \"a\" read\nkey \"b\" write\n"},
		{"sentinel, without effect", "key \"a\" {\n policy = \"read\"\n sentinel {\n code = <<EOF\nimport \"x\" }\nEOF\n enforcementlevel = \"advisory\" }\n}", "key \"a\" read\n"},
		{"policy of a namespace and of a partition", `partition_prefix "P-" { policy = "read" namespace "ns" { policy = "write" } }`,
			"partition_prefix \"p-\" partition_prefix \"\" read\npartition_prefix \"p-\" namespace \"\" write\n"},
		{"JSON", `{"service_prefix":{"":{"policy":"read","intentions":"write"}},"acl":"read","operator":"write"}`,
			"service_prefix \"\" read intentions write\nacl \"\" read\noperator \"\" write\n"},
		{"JSON with tenancy", `{"partition":{"p":{"mesh":"write","namespace_prefix":{"":{"service_prefix":{"":{"policy":"read"}}}}}}}`,
			"partition \"p\" mesh \"\" write\npartition \"p\" namespace_prefix \"\" service_prefix \"\" read\n"},
		{"JSON as converters write it", `{"key_prefix":[{"a":[{"policy":"read"}]},{"b":[{"policy":"write"}]}]}`, "key_prefix \"a\" read\nkey_prefix \"b\" write\n"},
		{"JSON as deep as it gets", `{"partition":{"p":{"namespace":{"n":{"key":{"k":{"policy":"read","sentinel":{"code":"x"}}}}}}}}`,
			"partition \"p\" namespace \"n\" key \"k\" read\n"},
		{"an empty JSON object", " {} ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRules(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := say(r); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestParseRulesRefuses(t *testing.T) {
	const parse = "Failed to parse ACL rules: At "
	for _, c := range []struct{ name, text, want string }{
		{"a keyword it does not know", "\n  serivce \"a\" { policy = \"read\" }", parse + `2:3: unknown resource "serivce" in the top level`},
		{"_prefix where there are no labels", `acl_prefix "" { policy = "read" }`, parse + `1:1: unknown resource "acl_prefix" in the top level`},
		{"an attribute it does not know", `service "a" { polcy = "read" }`, parse + `1:15: unknown attribute "polcy" in service "a"`},
		{"intentions on a key", `key "a" { policy = "read" intentions = "read" }`, parse + `1:27: unknown attribute "intentions" in key "a"`},
		{"policy at the top level", `policy = "read"`, parse + `1:1: unknown resource "policy" in the top level`},
		{"a disposition nobody has", `acl = "bogus"`, `Invalid acl policy: "bogus" (at 1:1)`},
		{"list without keys", `acl = "list"`, `Invalid acl policy: "list" (at 1:1)`},
		{"list on a service", `service "a" { policy = "list" }`, `Invalid service policy: service "a" has "list" (at 1:24)`},
		{"a bad disposition with a label", `agent_prefix "a" { policy = "x" }`, `Invalid agent_prefix policy: agent_prefix "a" has "x" (at 1:29)`},
		{"bad intentions", `service "a" { policy = "read" intentions = "list" }`, `Invalid service intentions policy: service "a" has "list" (at 1:44)`},
		{"a bad disposition of a namespace", `namespace "a" { policy = "x" }`, `Invalid namespace policy: namespace "a" has "x" (at 1:26)`},
		{"a block without policy", `service "a" {}`, `Invalid service policy: service "a" has no policy (at 1:1)`},
		{"intentions without policy", `service "a" { intentions = "read" }`, `Invalid service policy: service "a" has no policy (at 1:1)`},
		{"an object where a string belongs", `acl { policy = "read" }`, parse + `1:7: root.acl: unknown type for string *ast.ObjectList`},
		{"a number where a string belongs", `acl = 1`, parse + `1:7: root.acl: expected a string got: 1`},
		{"null", `{"acl":null}`, parse + `1:8: root.acl: expected a string got: null`},
		{"a block without a label", `service { policy = "read" }`, parse + `1:11: service needs a label and a block: service "…" { … }`},
		{"a string where a block belongs", `service = "read"`, parse + `1:11: service needs a label and a block: service "…" { … }`},
		{"two labels", `service "a" "b" { policy = "read" }`, parse + `1:13: service takes one label`},
		{"a label on acl", `acl "a" { policy = "read" }`, parse + `1:5: acl takes no label`},
		{"a label assigned", `service "x" = { policy = "read" }`, parse + `1:13: a block with a label takes no '=': service "…" { … }`},
		{"a block that does not end", `service "web" {`, parse + `1:16: object expected closing RBRACE got: EOF`},
		{"truncated JSON", `{"service":`, parse + `1:12: expected a value got: EOF`},
		{"JSON that does not end", `{"acl":"read"`, parse + `1:14: object expected closing RBRACE got: EOF`},
		{"JSON with something after it", `{"acl":"read"} {}`, parse + `1:16: unexpected "{" after the document`},
		{"a list of strings", `acl = ["read"]`, parse + `1:8: lists hold objects only, got: "`},
		{"a string that does not end", "acl = \"read\n\"", parse + `1:7: string is not terminated`},
		{"a comment that does not end", "acl = \"read\" /* x", parse + `1:14: comment is not terminated`},
		{"a here-document that does not end", "key \"a\" { policy = \"read\" sentinel { code = <<E\nx\n", parse + `1:45: here-document is not terminated`},
		{"an escape nobody knows", `key "\q" { policy = "read" }`, parse + `1:5: invalid string "\q"`},
		{"an escape that makes invalid UTF-8", `key "\xff" { policy = "read" }`, parse + `1:5: invalid string "\xff"`},
		{"half a surrogate pair", `{"key":{"\ud800":{"policy":"read"}}}`, parse + `1:9: invalid string "\ud800"`},
		{"interpolation", `key "${a}" { policy = "read" }`, parse + `1:5: interpolation is not allowed in "${a}"`},
		{"invalid UTF-8", "# \xff", "Failed to parse ACL rules: the text is not valid UTF-8"},
		{"a control character, even in a comment", "# \x00", "Failed to parse ACL rules: the text has a control character at byte 2"},
		{"a word without quotes", `acl = read`, parse + `1:7: expected a string in quotes got: read`},
		{"a stray brace", `}`, parse + `1:1: expected a word got: }`},
		{"a namespace without a name", `namespace "" { acl = "read" }`, parse + `1:1: namespace "" is no valid name; namespace_prefix "" stands for all`},
		{"a namespace that cannot exist", `namespace "a b" { acl = "read" }`, parse + `1:1: namespace "a b" is no valid name; namespace_prefix "" stands for all`},
		{"the wildcard for a namespace", `namespace "*" { acl = "read" }`, parse + `1:1: namespace "*" is no valid name; namespace_prefix "" stands for all`},
		{"a partition in a partition", `partition "a" { partition "b" { acl = "read" } }`, `Invalid Policy rules: At 1:17: partition rules are not allowed in partition "a"`},
		{"a partition in a namespace", `namespace "a" { partition_prefix "b" { acl = "read" } }`, `Invalid Policy rules: At 1:17: partition_prefix rules are not allowed in namespace "a"`},
		{"a namespace in a namespace", `namespace_prefix "a" { namespace "b" { acl = "read" } }`, `Invalid Policy rules: At 1:24: namespace rules are not allowed in namespace_prefix "a"`},
		{"mesh in a namespace", `namespace "default" { mesh = "read" }`, `Invalid Policy rules: At 1:23: mesh rules are not allowed in namespace "default"`},
		{"peering in a namespace", `namespace "a" { peering = "read" }`, `Invalid Policy rules: At 1:17: peering rules are not allowed in namespace "a"`},
		{"an unknown attribute of sentinel", `key "a" { policy = "read" sentinel { cod = "" } }`, parse + `1:38: unknown attribute "cod" in sentinel`},
		{"sentinel as a string", `key "a" { policy = "read" sentinel = "x" }`, parse + `1:38: sentinel needs a block: sentinel { … }`},
	} {
		t.Run(c.name, func(t *testing.T) { wantInvalid(t, c.text, c.want) })
	}
}

func wantInvalid(t *testing.T, text, want string) {
	t.Helper()
	_, err := ParseRules(text)
	if err == nil {
		t.Fatal("accepted")
	}
	if err.Error() != want || errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %v: %s\nwant %s", errs.KindOf(err), err, want)
	}
}

// What is said twice is refused: HCL lets the last one win (#21908).
func TestAttack_21908_RepeatedKeysAreRefused(t *testing.T) {
	const parse = "Failed to parse ACL rules: At "
	for _, c := range []struct{ name, text, want string }{
		{"a resource without label", "acl = \"write\"\nacl = \"read\"", parse + "2:1: acl is already set at 1:1"},
		{"the same in other capitals", "acl = \"write\"\nACL = \"read\"", parse + "2:1: acl is already set at 1:1"},
		{"a label of the same kind", "key \"a\" { policy = \"deny\" }\nkey \"a\" { policy = \"write\" }", parse + `2:1: key "a" is already set at 1:1`},
		{"the same label in the two forms", "key = { \"a\" = { policy = \"deny\" } }\nkey \"a\" { policy = \"write\" }", parse + `2:1: key "a" is already set at 1:9`},
		{"an attribute", `key "a" { policy = "deny" policy = "write" }`, parse + `1:27: key "a": policy is already set at 1:11`},
		{"policy of a namespace", `namespace "a" { policy = "deny" Policy = "write" }`, parse + `1:33: namespace "a": policy is already set at 1:17`},
		{"a namespace", `namespace "a" { acl = "deny" } namespace "A" { acl = "write" }`, parse + `1:32: namespace "a" is already set at 1:1`},
		{"a rule in a namespace", `namespace "a" { acl = "deny" acl = "write" }`, parse + `1:30: acl is already set at 1:17`},
		{"an object assigned twice", `key = { a { policy = "read" } } key = { b { policy = "read" } }`, parse + `1:33: key is already set at 1:1`},
		{"a JSON key", `{"acl":"read","acl":"write"}`, parse + `1:15: acl is already set at 1:2`},
		{"a JSON label", `{"key":{"a":{"policy":"deny"},"a":{"policy":"write"}}}`, parse + `1:31: key "a" is already set at 1:9`},
		{"a JSON label written with an escape", `{"key":{"a":{"policy":"deny"},"\u0061":{"policy":"write"}}}`, parse + `1:31: key "a" is already set at 1:9`},
		{"a JSON attribute", `{"key":{"a":{"policy":"deny","policy":"write"}}}`, parse + `1:30: key "a": policy is already set at 1:14`},
		{"a JSON resource", `{"key":{"a":{"policy":"deny"}},"key":{"b":{"policy":"write"}}}`, parse + `1:32: key is already set at 1:2`},
		{"a label in a JSON list", `{"key":[{"a":{"policy":"deny"}},{"a":{"policy":"write"}}]}`, parse + `1:34: key "a" is already set at 1:10`},
		{"sentinel code", `key "a" { policy = "read" sentinel { code = "" code = "" } }`, parse + `1:48: sentinel: code is already set at 1:38`},
	} {
		t.Run(c.name, func(t *testing.T) { wantInvalid(t, c.text, c.want) })
	}
	r, err := ParseRules(`key "a" { policy = "read" } key_prefix "a" { policy = "read" } service "a" { policy = "read" } key "A" { policy = "read" }`)
	if err != nil || len(r.rules) != 4 {
		t.Errorf("the same label of other kinds is refused: %v", err)
	}
}

func TestAttack_ParseRulesIsBounded(t *testing.T) {
	deepJSON := strings.Repeat(`{"a":`, 10_000)
	var many strings.Builder
	for i := range MaxRules + 1 {
		fmt.Fprintf(&many, "key\"%d\"{policy=\"read\"}", i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"too long", strings.Repeat("#", MaxRulesBytes+1), "Failed to parse ACL rules: the text has 65537 bytes, more than 65536"},
		{"HCL too deep", strings.Repeat("a{", 10_000), "Failed to parse ACL rules: At 1:18: objects are nested deeper than 8"},
		{"JSON too deep", deepJSON, "Failed to parse ACL rules: At 1:41: objects are nested deeper than 8"},
		{"JSON lists too deep", `{"a":` + strings.Repeat("[", 60_000), "Failed to parse ACL rules: At 1:7: lists hold objects only, got: ["},
		{"HCL lists too deep", `a = ` + strings.Repeat("[", 60_000), "Failed to parse ACL rules: At 1:6: lists hold objects only, got: ["},
		{"too many rules", many.String(), "Failed to parse ACL rules: At 1:48043: more than 2048 rules"},
	} {
		t.Run(c.name, func(t *testing.T) { wantInvalid(t, c.text, c.want) })
	}
	if _, err := ParseRules(strings.Repeat("#", MaxRulesBytes)); err != nil {
		t.Errorf("a text of just the size is refused: %v", err)
	}
}
