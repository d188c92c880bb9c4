package acl

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// Template is a built-in policy template, in the form of the API's answer
// (acl.md section 7).
type Template struct {
	ID           string `json:"-"`
	TemplateName string
	Schema       string // JSON schema of the variables; empty without variables
	Template     string // rules text; {{.Name}} stands for the variable
	Description  string
	statements   []string
	checkName    func(string) error // nil without variables
}

const (
	// placeholder is what the variable replaces. It stands inside quotes only.
	placeholder = "{{.Name}}"

	nameSchema = `{
  "type": "object",
  "properties": {
    "name": { "type": "string", "minLength": 1, "description": "What the rules are about" }
  },
  "required": ["name"]
}`
)

var templates = []Template{
	{
		ID: ReservedUUIDPrefix + "08", TemplateName: "builtin/api-gateway",
		Description: "What an API gateway of this name needs: to be registered, and to read the mesh, services and nodes",
		statements: []string{unlabelledRule("mesh", Read), prefixRule("node", Read), prefixRule("service", Read),
			labelledRule("service", placeholder, Write)},
		checkName: checkServiceName,
	},
	{
		ID: ReservedUUIDPrefix + "05", TemplateName: "builtin/dns",
		Description: "What answering DNS questions needs: to read nodes, services and prepared queries",
		statements:  []string{prefixRule("node", Read), prefixRule("service", Read), prefixRule("query", Read)},
	},
	{
		ID: ReservedUUIDPrefix + "04", TemplateName: "builtin/node",
		Description: "What the agent of the node of this name needs: to register the node, and to read services",
		statements:  []string{labelledRule("node", placeholder, Write), prefixRule("service", Read)},
		checkName:   checkNodeName,
	},
	{
		ID: ReservedUUIDPrefix + "09", TemplateName: "builtin/nomad-client",
		Description: "What a Nomad client needs: to register services, and to read agents, nodes and keys",
		statements: []string{prefixRule("agent", Read), prefixRule("node", Read), prefixRule("service", Write),
			prefixRule("key", Read)},
	},
	{
		ID: ReservedUUIDPrefix + "06", TemplateName: "builtin/nomad-server",
		Description: "What a Nomad server needs: to make tokens, to register services, and to read agents and nodes",
		statements: []string{unlabelledRule("acl", Write), prefixRule("agent", Read), prefixRule("node", Read),
			prefixRule("service", Write)},
	},
	{
		ID: ReservedUUIDPrefix + "03", TemplateName: "builtin/service",
		Description: "What the service of this name and its sidecar proxy need: to be registered, and to read services and nodes",
		statements:  serviceStatements,
		checkName:   checkServiceName,
	},
	{
		ID: ReservedUUIDPrefix + "07", TemplateName: "builtin/workload-identity",
		Description: "What a workload of this identity needs: to act under it",
		statements:  []string{labelledRule("identity", placeholder, Write)},
		checkName: func(name string) error {
			if name == "" {
				return errs.New(errs.Invalid, "1 error occurred:\n\t* name is required")
			}
			if len(name) > maxIdentityName {
				return errs.Errorf(errs.Invalid, "1 error occurred:\n\t* name is longer than %d", maxIdentityName)
			}
			return nil
		},
	},
}

// serviceStatements are what a service identity grants.
var serviceStatements = []string{
	labelledRule("service", placeholder, Write),
	labelledRule("service", placeholder+"-sidecar-proxy", Write),
	prefixRule("service", Read),
	prefixRule("node", Read),
}

func unlabelledRule(word string, a Access) string { return word + " = \"" + a.String() + "\"\n" }

func prefixRule(word string, a Access) string { return labelledRule(word+"_prefix", "", a) }

func labelledRule(word, label string, a Access) string {
	return word + " \"" + label + "\" {\n  policy = \"" + a.String() + "\"\n}\n"
}

func checkServiceName(name string) error {
	if !ValidServiceName(name) {
		return errs.Errorf(errs.Invalid, "service identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", name)
	}
	return nil
}

func checkNodeName(name string) error {
	if !ValidNodeName(name) {
		return errs.Errorf(errs.Invalid, "node identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", name)
	}
	return nil
}

// Templates returns the built-in templates, sorted by name.
func Templates() []Template {
	all := slices.Clone(templates)
	for i := range all {
		all[i].complete()
	}
	return all
}

// FindTemplate returns the template of a name such as "builtin/service".
func FindTemplate(name string) (Template, bool) {
	i := slices.IndexFunc(templates, func(t Template) bool { return t.TemplateName == name })
	if i < 0 {
		return Template{}, false
	}
	t := templates[i]
	t.complete()
	return t, true
}

func (t *Template) complete() {
	t.Template = strings.Join(t.statements, "")
	if t.checkName != nil {
		t.Schema = nameSchema
	}
}

// checkVariables returns errs.Invalid if the variables do not fit. Those that a
// template does not use are let through.
func (t *Template) checkVariables(v *TemplateVariables) error {
	if t.checkName == nil {
		return nil
	}
	if v == nil {
		v = &TemplateVariables{}
	}
	return t.checkName(v.Name)
}

// fill puts name into statements, escaped so that it stays inside its quotes
// and is taken literally.
func fill(statements []string, name string) []string {
	quoted := strconv.Quote(name)
	escaped := strings.ReplaceAll(quoted[1:len(quoted)-1], "$", `\x24`)
	filled := make([]string, len(statements))
	for i, s := range statements {
		filled[i] = strings.ReplaceAll(s, placeholder, escaped)
	}
	return filled
}

// variable returns the value of the only variable that templates know.
func (t *TemplatedPolicy) variable() string {
	if t.TemplateVariables == nil {
		return ""
	}
	return t.TemplateVariables.Name
}
