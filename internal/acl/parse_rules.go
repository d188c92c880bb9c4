package acl

import (
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// place is where in the nesting of blocks a rule stands.
type place struct {
	level
	partition selector
	namespace selector
}

type level uint8

const (
	atTop level = 1 << iota
	inPartition
	inNamespace
)

func (p place) String() string {
	switch p.level {
	case inPartition:
		return p.partition.describe("partition")
	case inNamespace:
		return p.namespace.describe("namespace")
	}
	return "the top level"
}

// grammar is what a keyword means: its resource, whether it takes a label and
// may take _prefix, and where it may stand.
type grammar struct {
	resource Resource
	labelled bool
	allowed  level
}

const anywhere = atTop | inPartition | inNamespace

// keywords are the words without _prefix (acl.md section 10.1, tenancy.md section 7.1).
var keywords = map[string]grammar{
	"acl":       {ACL, false, anywhere},
	"agent":     {Agent, true, anywhere},
	"event":     {Event, true, anywhere},
	"identity":  {Identity, true, anywhere},
	"key":       {Key, true, anywhere},
	"keyring":   {Keyring, false, anywhere},
	"mesh":      {Mesh, false, atTop | inPartition},
	"namespace": {namespaceObject, true, atTop | inPartition},
	"node":      {Node, true, anywhere},
	"operator":  {Operator, false, anywhere},
	"partition": {partitionObject, true, atTop},
	"peering":   {Peering, false, atTop | inPartition},
	"query":     {Query, true, anywhere},
	"service":   {Service, true, anywhere},
	"session":   {Session, true, anywhere},
}

// reader turns the entries of a document into rules.
type reader struct{ rules []rule }

// said remembers the keys of one object, to refuse what is said twice.
type said map[[2]string]position

// once returns an error if word, with label if it has one, was said before.
func (s said) once(at position, word, label, shown string) error {
	k := [2]string{word, label}
	if first, ok := s[k]; ok {
		return syntaxError(at, "%s is already set at %d:%d", shown, first.line, first.col)
	}
	s[k] = at
	return nil
}

// body reads the entries of the document or of a partition or namespace block.
func (r *reader) body(items []item, in place) error {
	seen := said{}
	for _, it := range items {
		word := strings.ToLower(it.keys[0].text)
		if word == "policy" && in.level != atTop {
			continue // attributes reads it
		}
		name, prefixed := strings.CutSuffix(word, "_prefix")
		g, known := keywords[name]
		if !known || prefixed && !g.labelled {
			return syntaxError(it.keys[0].at, "unknown resource %q in %s", it.keys[0].text, in)
		}
		if g.allowed&in.level == 0 {
			return errs.Errorf(errs.Invalid, "Invalid Policy rules: At %d:%d: %s rules are not allowed in %s",
				it.keys[0].at.line, it.keys[0].at.col, word, in)
		}
		if it.assigned || !g.labelled {
			if err := seen.once(it.keys[0].at, word, "=", word); err != nil {
				return err
			}
		}
		base := rule{at: it.keys[0].at, keyword: word, partition: in.partition, namespace: in.namespace, resource: g.resource, prefix: prefixed || !g.labelled}
		if !g.labelled {
			if err := r.unlabelled(it, base); err != nil {
				return err
			}
			continue
		}
		if err := r.labelled(it, base, in, seen); err != nil {
			return err
		}
	}
	return nil
}

// unlabelled reads word = "disposition". An empty disposition says nothing.
func (r *reader) unlabelled(it item, base rule) error {
	if len(it.keys) > 1 {
		return syntaxError(it.keys[1].at, "%s takes no label", base.keyword)
	}
	text, err := it.value.str("root." + base.keyword)
	if err != nil || text == "" {
		return err
	}
	if base.access = disposition(text, false); base.access == Unset {
		return errs.Errorf(errs.Invalid, "Invalid %s policy: %q (at %d:%d)", base.keyword, text, base.at.line, base.at.col)
	}
	return r.add(base)
}

// labelled reads word "label" {…} and word = { "label" = {…} … }.
func (r *reader) labelled(it item, base rule, in place, seen said) error {
	entries := []item{{keys: it.keys[1:], value: it.value}}
	if len(it.keys) == 1 {
		entries = it.value.items
	}
	if len(it.keys) == 1 && it.value.kind != objectValue {
		return syntaxError(it.value.at, "%s needs a label and a block: %s \"…\" { … }", base.keyword, base.keyword)
	}
	for _, e := range entries {
		if len(e.keys) != 1 {
			return syntaxError(e.keys[1].at, "%s takes one label", base.keyword)
		}
		if e.value.kind != objectValue {
			return syntaxError(e.keys[0].at, "%s needs a label and a block: %s \"…\" { … }", base.keyword, base.keyword)
		}
		one := base
		one.label = e.keys[0].text
		if len(it.keys) == 1 {
			one.at = e.keys[0].at
		}
		if one.resource == partitionObject || one.resource == namespaceObject {
			one.label = strings.ToLower(one.label)
		}
		if err := seen.once(one.at, one.keyword, "/"+one.label, one.title()); err != nil {
			return err
		}
		if err := r.block(e.value.items, one, in); err != nil {
			return err
		}
	}
	return nil
}

// title names a labelled rule in errors.
func (r *rule) title() string { return r.keyword + ` "` + r.label + `"` }

// block reads what stands inside the braces of a labelled rule.
func (r *reader) block(items []item, one rule, in place) error {
	switch one.resource {
	case partitionObject:
		in.level, in.partition = inPartition, selector{exactly, one.label}
		switch {
		case one.prefix:
			in.partition.how = withPrefix
		case one.label == "": // as everywhere, no name is the one at hand
			in.partition = selector{how: own}
		}
		one.partition = in.partition
	case namespaceObject:
		in.level, in.namespace = inNamespace, selector{exactly, one.label}
		if one.prefix {
			in.namespace.how = withPrefix
		}
		one.namespace = in.namespace
	default:
		if err := one.attributes(items); err != nil {
			return err
		}
		return r.add(one)
	}
	if err := one.checkTenant(); err != nil {
		return err
	}
	if err := one.attributes(items); err != nil {
		return err
	}
	// The block's own policy speaks about the partition or namespace as a whole.
	one.label, one.prefix = "", true
	if err := r.add(one); err != nil {
		return err
	}
	return r.body(items, in)
}

// checkTenant refuses a label that no partition or namespace can have.
func (r *rule) checkTenant() error {
	name := r.label
	if name == "" && r.resource == partitionObject {
		return nil
	}
	if r.prefix {
		name += "x" // a prefix is good if some name begins with it
		if r.label == "" {
			return nil
		}
	}
	check := tenancy.ValidateNamespace
	if r.resource == partitionObject {
		check = tenancy.ValidatePartition
	}
	if check(name) != nil {
		return syntaxError(r.at, "%s is no valid name; %s_prefix \"\" stands for all", r.title(), strings.TrimSuffix(r.keyword, "_prefix"))
	}
	return nil
}

// attributes reads policy, intentions and sentinel. In the block of a partition
// or namespace, what else stands there is left to body.
func (r *rule) attributes(items []item) error {
	container := r.resource == partitionObject || r.resource == namespaceObject
	seen := said{}
	for _, it := range items {
		word, at := strings.ToLower(it.keys[0].text), it.keys[0].at
		isPolicy := word == "policy"
		isIntentions := word == "intentions" && (r.resource == Service || r.resource == Identity)
		isSentinel := word == "sentinel" && (r.resource == Key || r.resource == Node || r.resource == Service)
		if container && !isPolicy {
			continue
		}
		if !isPolicy && !isIntentions && !isSentinel {
			return syntaxError(at, "unknown attribute %q in %s", it.keys[0].text, r.title())
		}
		if err := seen.once(at, word, "", r.title()+": "+word); err != nil {
			return err
		}
		if len(it.keys) > 1 {
			return syntaxError(it.keys[1].at, "%s takes no label", word)
		}
		var err error
		switch {
		case isPolicy:
			r.access, err = r.disposition(it, r.keyword)
		case isIntentions:
			r.intentions, err = r.disposition(it, r.keyword+" intentions")
		default:
			err = checkSentinel(it.value)
		}
		if err != nil {
			return err
		}
	}
	if r.access == Unset && !container {
		return errs.Errorf(errs.Invalid, "Invalid %s policy: %s has no policy (at %d:%d)", r.keyword, r.title(), r.at.line, r.at.col)
	}
	return nil
}

// disposition reads the access that an attribute of a labelled rule gives.
func (r *rule) disposition(it item, kind string) (Access, error) {
	text, err := it.value.str(r.title() + "." + it.keys[0].text)
	if err != nil {
		return Unset, err
	}
	a := disposition(text, r.resource == Key && kind == r.keyword)
	if a == Unset {
		return Unset, errs.Errorf(errs.Invalid, "Invalid %s policy: %s has %q (at %d:%d)", kind, r.title(), text, it.value.at.line, it.value.at.col)
	}
	return a, nil
}

// disposition returns the access of a word in any case, Unset if it is none.
func disposition(word string, list bool) Access {
	switch strings.ToLower(word) {
	case "deny":
		return Deny
	case "read":
		return Read
	case "list":
		if list {
			return List
		}
	case "write":
		return Write
	}
	return Unset
}

// checkSentinel accepts a sentinel block, which has no effect here.
func checkSentinel(v value) error {
	if v.kind != objectValue {
		return syntaxError(v.at, "sentinel needs a block: sentinel { … }")
	}
	seen := said{}
	for _, it := range v.items {
		word, at := strings.ToLower(it.keys[0].text), it.keys[0].at
		if word != "code" && word != "enforcementlevel" {
			return syntaxError(at, "unknown attribute %q in sentinel", it.keys[0].text)
		}
		if err := seen.once(at, word, "", "sentinel: "+word); err != nil {
			return err
		}
		if _, err := it.value.str("sentinel." + word); err != nil || len(it.keys) > 1 {
			return syntaxError(at, "sentinel: %s takes a string", word)
		}
	}
	return nil
}

// str returns the string that v is; path names it in the error.
func (v value) str(path string) (string, error) {
	switch {
	case v.kind == stringValue:
		return v.text, nil
	case v.kind == objectValue && len(v.items) > 0:
		return "", syntaxError(v.items[0].keys[0].at, "%s: unknown type for string *ast.ObjectList", path)
	case v.kind == objectValue:
		return "", syntaxError(v.at, "%s: unknown type for string *ast.ObjectList", path)
	}
	return "", syntaxError(v.at, "%s: expected a string got: %s", path, v.text)
}

func (r *reader) add(one rule) error {
	if len(r.rules) >= MaxRules {
		return errs.Errorf(errs.Invalid, "Failed to parse ACL rules: At %d:%d: more than %d rules", one.at.line, one.at.col, MaxRules)
	}
	r.rules = append(r.rules, one)
	return nil
}
