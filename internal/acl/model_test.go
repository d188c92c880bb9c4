package acl

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/tenancy"
)

// modelRule is a rule as the model sees it: in a layer (0 the token's own, 1
// the namespace's defaults), for a partition and a namespace, for a label; each an
// exact word or, with a final "*", a prefix.
type modelRule struct {
	layer                       int
	partition, namespace, label string
	word                        string
	access, intentions          Access
}

// model decides by the words of acl.md section 10.3 and tenancy.md section 7.2,
// looking at every rule for every question.
type model struct {
	rules []modelRule
	allow bool
}

func modelMatches(pattern, s string) bool {
	prefix, isPrefix := strings.CutSuffix(pattern, "*")
	return pattern == s || isPrefix && strings.HasPrefix(s, prefix)
}

// rank orders patterns by how specific they are.
func rank(pattern string) int {
	if strings.HasSuffix(pattern, "*") {
		return len(pattern)
	}
	return 1000
}

// rule returns what the rules of one layer say about a resource word, Unset if nothing.
// An empty segment with onlyAll asks the rules for every label.
func (m model) rule(layer int, s tenancy.Scope, word, segment string, intentions, onlyAll bool) Access {
	var best []int
	access, explicit := Unset, Unset
	for _, r := range m.rules {
		if r.layer != layer || r.word != word || !modelMatches(r.partition, s.Partition) || !modelMatches(r.namespace, s.Namespace) {
			continue
		}
		if onlyAll && r.label != "*" || !modelMatches(r.label, segment) {
			continue
		}
		specific := []int{rank(r.partition), rank(r.namespace), rank(r.label)}
		switch slices.Compare(specific, best) {
		case 1:
			best, access, explicit = specific, r.access, r.intentions
		case 0:
			access, explicit = modelMerge(access, r.access), modelMerge(explicit, r.intentions)
		}
	}
	switch {
	case !intentions:
		return access
	case explicit != Unset:
		return explicit
	case access == Write:
		return Read
	}
	return access
}

func modelMerge(a, b Access) Access {
	for _, winner := range []Access{Deny, Write, List, Read} {
		if a == winner || b == winner {
			return winner
		}
	}
	return Unset
}

// ruled returns what the rules of both layers say, and whether they do.
func (m model) ruled(s tenancy.Scope, p Permission, segment string, onlyAll bool) (Access, bool) {
	root := tenancy.Scope{Partition: s.Partition, Namespace: "default"}
	for layer := range 2 {
		ask := func(s tenancy.Scope, word string) Access {
			return m.rule(layer, s, word, segment, p.Resource == Intention, onlyAll)
		}
		var got Access
		switch p.Resource {
		case Intention:
			got = ask(s, "service")
		case Node:
			if p.Access == Read {
				got = ask(s, "node")
			}
			if got == Unset {
				got = ask(root, "node")
			}
		case Mesh:
			if got = ask(root, "mesh"); got == Unset && s.Partition == "default" {
				got = ask(root, "operator")
			}
		case Operator:
			got = ask(tenancy.Default, "operator")
		default:
			got = ask(s, p.Resource.String())
		}
		if got != Unset {
			return got, true
		}
	}
	return Unset, false
}

func includes(rule, want Access) bool {
	switch rule {
	case Write:
		return true
	case List:
		return want != Write
	case Read:
		return want == Read
	}
	return false
}

func (m model) allowed(s tenancy.Scope, p Permission, segment string) bool {
	byDefault := m.allow && p.Resource != ACL
	switch {
	case p.WritePrefix:
		for _, name := range append([]string{segment, segment + "z"}, universe...) {
			if strings.HasPrefix(name, segment) && !m.allowed(s, Permission{Resource: p.Resource, Access: Write}, name) {
				return false
			}
		}
		return true
	case p.Resource == Intention && segment == "*":
		for _, name := range universe {
			if got, ok := m.ruled(s, p, name, false); ok && p.Access == Read && includes(got, Read) {
				return true
			}
		}
		segment = ""
		if got, ok := m.ruled(s, p, segment, true); ok {
			return includes(got, p.Access)
		}
		return byDefault
	}
	if got, ok := m.ruled(s, p, segment, false); ok {
		return includes(got, p.Access)
	}
	return byDefault
}

// universe is the names that questions are about. No rule has a label with a z,
// so that each prefix has a name that no longer rule reaches.
var universe = func() []string {
	names := []string{""}
	for i := 0; i < len(names); i++ {
		if len(names[i]) < 4 {
			names = append(names, names[i]+"a", names[i]+"b", names[i]+"z")
		}
	}
	return names
}()

func drawRule(t *rapid.T) modelRule {
	word := rapid.SampledFrom([]string{"key", "key", "service", "service", "node", "acl", "mesh", "operator"}).Draw(t, "word")
	r := modelRule{
		layer:     rapid.IntRange(0, 1).Draw(t, "layer"),
		partition: rapid.SampledFrom([]string{"default", "default", "p", "*", "p*", "pq"}).Draw(t, "partition"),
		namespace: rapid.SampledFrom([]string{"default", "default", "n", "*", "n*", "nm"}).Draw(t, "namespace"),
		label:     "*",
		word:      word,
	}
	accesses := []Access{Deny, Read, Write}
	switch word {
	case "operator":
		r.partition, r.namespace = "default", "default"
	case "mesh":
		r.namespace = "default"
	case "node":
		if r.namespace != "default" {
			accesses = accesses[:2]
		}
	case "key":
		accesses = append(accesses, List)
	}
	if word == "key" || word == "service" || word == "node" {
		r.label = rapid.SampledFrom([]string{"", "a", "ab", "b", "aba"}).Draw(t, "label") + rapid.SampledFrom([]string{"", "*"}).Draw(t, "how")
	}
	r.access = rapid.SampledFrom(accesses).Draw(t, "access")
	if word == "service" {
		r.intentions = rapid.SampledFrom([]Access{Unset, Unset, Deny, Read, Write}).Draw(t, "intentions")
	}
	return r
}

// text writes the rule as a document of its own. In the default scope, blocks
// that say default may be left out.
func (r modelRule) text(plain bool) string {
	body := fmt.Sprintf("%s = %q\n", r.word, r.access)
	if r.word != "acl" && r.word != "mesh" && r.word != "operator" {
		body = blockText(r.word, r.label, fmt.Sprintf("policy = %q\n", r.access))
		if r.intentions != Unset {
			body = blockText(r.word, r.label, fmt.Sprintf("policy = %q\nintentions = %q\n", r.access, r.intentions))
		}
	}
	if r.namespace != "default" || !plain && r.word != "mesh" {
		body = blockText("namespace", r.namespace, body)
	}
	if r.partition != "default" || !plain {
		body = blockText("partition", r.partition, body)
	}
	return body
}

func blockText(word, pattern, body string) string {
	label, isPrefix := strings.CutSuffix(pattern, "*")
	if isPrefix {
		word += "_prefix"
	}
	return fmt.Sprintf("%s %q {\n%s}\n", word, label, body)
}

// drawModel draws up to 12 rules and a default policy.
func drawModel(t *rapid.T) model {
	return model{
		rules: rapid.SliceOfN(rapid.Custom(drawRule), 0, 12).Draw(t, "rules"),
		allow: rapid.Bool().Draw(t, "allow"),
	}
}

// grants returns the model's rules as the policies of a token and of its namespace's defaults.
func (m model) grants(t *rapid.T) (own, defaults []Grant) {
	var layers [2][]Grant
	for _, r := range m.rules {
		text := r.text(rapid.Bool().Draw(t, "plain"))
		rules, err := ParseRules(text)
		if err == nil {
			err = rules.Check(tenancy.Default)
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		layers[r.layer] = append(layers[r.layer], Grant{Rules: rules, Scope: tenancy.Default})
	}
	return layers[0], layers[1]
}

// asked is a question that the authorizer and the model are both asked.
type asked struct {
	scope      tenancy.Scope
	permission Permission
	segment    string
}

func (q asked) String() string {
	return fmt.Sprintf("%s (below: %v) on %q in %s", q.permission, q.permission.WritePrefix, q.segment, q.scope)
}

// questions are all that the rules of a model may make a difference to.
var questions = func() []asked {
	var permissions []Permission
	for _, r := range []Resource{ACL, Intention, Key, Mesh, Node, Operator, Service} {
		permissions = append(permissions, Permission{Resource: r, Access: Read}, Permission{Resource: r, Access: Write})
	}
	permissions = append(permissions, Permission{Resource: Key, Access: List}, Permission{Resource: Key, Access: Write, WritePrefix: true})
	var all []asked
	for _, s := range []tenancy.Scope{{Partition: "default", Namespace: "default"}, {Partition: "default", Namespace: "n"},
		{Partition: "p", Namespace: "default"}, {Partition: "p", Namespace: "nm"}, {Partition: "pq", Namespace: "n"}, {Partition: "x", Namespace: "y"}} {
		for _, p := range permissions {
			for _, segment := range []string{"", "a", "ab", "aba", "abz", "b", "bz", "z", "*"} {
				if labelled := p.Resource != ACL && p.Resource != Mesh && p.Resource != Operator; labelled || segment == "" {
					all = append(all, asked{s, p, segment})
				}
			}
		}
	}
	return all
}()

func drawQuestion(t *rapid.T) asked { return rapid.SampledFrom(questions).Draw(t, "question") }

// CVE-2019-12291 was a prefix rule that reached too far: the authorizer answers
// every question as the model does. LICTOR_LONG=1 asks ten million.
func TestCVE_2019_12291_AuthorizerDecidesAsTheModelDoes(t *testing.T) {
	wanted, decisions := 100_000, 0
	if os.Getenv("LICTOR_LONG") != "" {
		wanted = 10_000_000
	}
	for decisions < wanted && !t.Failed() {
		rapid.Check(t, func(t *rapid.T) {
			m := drawModel(t)
			own, defaults := m.grants(t)
			a := Compile(own, defaults, Defaults{Allow: m.allow})
			for _, q := range questions {
				if got, want := a.Allowed(q.scope, q.permission, q.segment), m.allowed(q.scope, q.permission, q.segment); got != want {
					t.Fatalf("%v: %v, the model says %v", q, got, want)
				}
			}
			decisions += len(questions)
		})
	}
	t.Logf("%d decisions, no difference", decisions)
}
