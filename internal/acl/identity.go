package acl

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// AppliesIn reports whether the policy's rules count in a datacenter.
func (p *Policy) AppliesIn(datacenter string) bool {
	return len(p.Datacenters) == 0 || slices.Contains(p.Datacenters, datacenter)
}

// SynthesizedPolicy returns the policy that the identity amounts to on a token or role
// in s: write on the service and its sidecar proxy, read on services and nodes,
// all inside s (acl.md section 11).
func (i ServiceIdentity) SynthesizedPolicy(s tenancy.Scope) Policy {
	return synthesize(fill(serviceStatements, i.ServiceName), s, i.Datacenters,
		"synthetic policy for service identity "+strconv.Quote(scopedName(s, i.ServiceName)))
}

// SynthesizedPolicy returns the policy that the identity amounts to on a token
// or role in the default namespace of s's partition: write on the node, read on
// the services of all namespaces, in one datacenter.
func (i NodeIdentity) SynthesizedPolicy(s tenancy.Scope) Policy {
	statements := []string{
		labelledRule("node", placeholder, Write),
		nest("namespace_prefix", "", prefixRule("service", Read)),
	}
	return synthesize(fill(statements, i.NodeName), s.PartitionRoot(), []string{i.Datacenter},
		"synthetic policy for node identity "+strconv.Quote(scopedName(s, i.NodeName)))
}

// SynthesizedPolicy returns the policy that the template amounts to on a token
// or role in s. It returns errs.Invalid for a template that does not exist and for
// variables that do not fit it, with the texts of the preview (acl.md section 7).
func (t TemplatedPolicy) SynthesizedPolicy(s tenancy.Scope) (Policy, error) {
	template, ok := FindTemplate(t.TemplateName)
	if !ok {
		return Policy{}, errs.Errorf(errs.Invalid, "templated policy %q does not exist", t.TemplateName)
	}
	if err := template.checkVariables(t.TemplateVariables); err != nil {
		return Policy{}, errs.Errorf(errs.Invalid, "validation error for templated policy: %q: %w", t.TemplateName, err)
	}
	return synthesize(fill(template.statements, t.variable()), s, t.Datacenters,
		"synthetic policy generated from templated policy: "+t.TemplateName), nil
}

// AgentRecoveryRules returns what the recovery token of the agent on node
// grants: write on the agent, read on nodes (acl.md section 9).
func AgentRecoveryRules(node string) (*Rules, error) {
	return ParseRules(strings.Join(fill([]string{labelledRule("agent", placeholder, Write), prefixRule("node", Read)}, node), ""))
}

// scopedName is how descriptions name an identity.
func scopedName(s tenancy.Scope, name string) string {
	if s.IsDefault() {
		return name
	}
	return s.String() + "/" + name
}

// synthesize makes a policy of statements, each of which parses by itself. The
// policy lives in s; outside the default scope its text says so. What a policy
// in s may not say is left out. The ID depends on the rules and datacenters alone.
func synthesize(statements []string, s tenancy.Scope, datacenters []string, description string) Policy {
	if !s.IsDefault() {
		statements = slices.DeleteFunc(statements, func(statement string) bool {
			rules, err := ParseRules(statement)
			return err != nil || rules.Check(s) != nil
		})
	}
	text := strings.Join(statements, "")
	if s.Namespace != tenancy.DefaultName {
		text = nest("namespace", s.Namespace, text)
	}
	if !s.IsDefault() {
		text = nest("partition", s.Partition, text)
	}
	sum := blake2b.Sum256([]byte(text + strings.Join(datacenters, "\n")))
	id := hex.EncodeToString(sum[:])
	p := Policy{
		ID:          id,
		Name:        "synthetic-policy-" + id,
		Description: description,
		Rules:       text,
		Datacenters: datacenters,
		Scope:       s,
	}
	p.SetHash()
	return p
}

// nest puts rules text into a block.
func nest(word, label, text string) string {
	var b strings.Builder
	b.WriteString(word + " \"" + label + "\" {\n")
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String() + "}\n"
}
