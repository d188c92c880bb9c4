package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// values are settings by their dotted key, labels filled in: acl.enabled,
// audit.sink[stdout].type.
type values map[string]setting

// setting is a value of a field, of the Go type that the field's kind has: string for text
// and duration, bool, int64, float64, []string, map[string]string, []any, *object.
type setting struct {
	field *field
	value any
}

// schema is the table of fields as a tree of levels.
type schema struct {
	field *field
	child map[string]*schema
	each  *schema // what every label holds, for a level of labelled blocks
}

// newSchema builds the tree. A key that ends in * admits every name that begins so.
func newSchema(fields []field) *schema {
	root := &schema{}
	for i := range fields {
		at := root
		for _, part := range splitKey(fields[i].key) {
			name, labelled := strings.CutSuffix(part, "[*]")
			at = at.descend(name)
			if labelled {
				if at.each == nil {
					at.each = &schema{}
				}
				at = at.each
			}
		}
		at.field = &fields[i]
	}
	return root
}

// splitKey splits a dotted key; a dot before a digit belongs to the name (disable_compat_1.9).
func splitKey(key string) []string {
	var parts []string
	start := 0
	for i := range len(key) - 1 {
		if key[i] == '.' && (key[i+1] < '0' || key[i+1] > '9') {
			parts = append(parts, key[start:i])
			start = i + 1
		}
	}
	return append(parts, key[start:])
}

func (s *schema) descend(name string) *schema {
	if s.child == nil {
		s.child = map[string]*schema{}
	}
	if s.child[name] == nil {
		s.child[name] = &schema{}
	}
	return s.child[name]
}

func (s *schema) find(name string) *schema {
	if c, ok := s.child[name]; ok {
		return c
	}
	for pattern, c := range s.child {
		if p, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(name, p) {
			return c
		}
	}
	return nil
}

// decoder turns one parsed file into values, and collects what is wrong with it.
type decoder struct {
	out        values
	old        values   // of deprecated keys, under their new names
	warnings   []string // about deprecated keys
	unknown    problems // keys that are unknown or repeated
	wrongTypes wrongTypes
}

// decode checks obj against the schema. It returns wrongTypes or problems as its error.
func (s *schema) decode(obj *object) (values, []string, error) {
	d := &decoder{out: values{}, old: values{}}
	d.level(s, "", obj)
	if len(d.wrongTypes) > 0 {
		return nil, nil, d.wrongTypes
	}
	if err := d.unknown.err(); err != nil {
		return nil, nil, err
	}
	for key, v := range d.old {
		if _, ok := d.out[key]; !ok {
			d.out[key] = v
		}
	}
	return d.out, d.warnings, nil
}

func (d *decoder) level(s *schema, prefix string, obj *object) {
	for _, key := range obj.keys {
		v := obj.at[key]
		name := join(prefix, key)
		c := s.find(key)
		switch {
		case c == nil:
			d.unknown.add("invalid config key %s", name)
		case v == nil: // JSON null: as if it were not there
		case c.field != nil:
			d.leaf(c.field, name, v)
		case c.each != nil:
			d.labelled(c.each, name, v)
		default:
			d.object(c, name, v)
		}
	}
}

// object descends into v, which must be a single object.
func (d *decoder) object(s *schema, name string, v any) {
	if o, ok := d.single(name, v); ok {
		d.level(s, name, o.(*object))
	}
}

// labelled descends into each of the objects in v by its label.
func (d *decoder) labelled(s *schema, name string, v any) {
	all, ok := v.(blocks)
	if o, single := v.(*object); single {
		all, ok = blocks{o}, true
	}
	if !ok {
		d.wrong("'%s' expected a map, got '%s'", name, typeName(v))
		return
	}
	seen := map[string]bool{}
	for _, o := range all {
		for _, label := range o.keys {
			inner := fmt.Sprintf("%s[%s]", name, label)
			if seen[label] {
				d.unknown.add("duplicate config key %s", inner)
				continue
			}
			seen[label] = true
			d.object(s, inner, o.at[label])
		}
	}
}

func (d *decoder) leaf(f *field, name string, v any) {
	got, ok := d.value(f, name, v)
	if !ok {
		return
	}
	switch {
	case f.now == "":
		d.out[name] = setting{f, got}
	case f.now == "-":
		d.warnings = append(d.warnings, fmt.Sprintf("config key %q is deprecated and should be removed", name))
	default:
		d.warnings = append(d.warnings, fmt.Sprintf("The '%s' field is deprecated. Use the '%s' field instead.", name, f.now))
		if s, isText := got.(string); isText && f.convert != nil {
			got = f.convert(s)
		}
		d.old[f.now] = setting{byKey[f.now], got}
	}
}

// value checks that v is what f holds.
func (d *decoder) value(f *field, name string, v any) (any, bool) {
	switch f.kind {
	case text, duration:
		return scalar[string](d, f, name, "string", v)
	case boolean:
		return scalar[bool](d, f, name, "bool", v)
	case integer:
		if x, ok := v.(float64); ok && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			v = int64(x)
		}
		return scalar[int64](d, f, name, "int", v)
	case number:
		if x, ok := v.(int64); ok {
			v = float64(x)
		}
		return scalar[float64](d, f, name, "float64", v)
	case list:
		return d.strings(f, name, v)
	case table:
		return d.table(f, name, v)
	case objects:
		list, ok := d.objects(name, v)
		if ok && f.defines != nil {
			return d.defined(f, name, list.([]any)), true
		}
		return list, ok
	}
	return d.single(name, v)
}

// single is one object: a block that is not repeated, or a map.
func (d *decoder) single(name string, v any) (any, bool) {
	switch v := v.(type) {
	case *object:
		return v, true
	case blocks:
		d.unknown.add("duplicate config key %s", name)
	default:
		d.wrong("'%s' expected a map, got '%s'", name, typeName(v))
	}
	return nil, false
}

// objects is a list of objects, or the blocks of one key.
func (d *decoder) objects(name string, v any) (any, bool) {
	switch v := v.(type) {
	case *object:
		return []any{v}, true
	case blocks:
		all := make([]any, len(v))
		for i := range v {
			all[i] = v[i]
		}
		return all, true
	case []any:
		for i, e := range v {
			if _, ok := e.(*object); !ok {
				d.wrong("'%s[%d]' expected a map, got '%s'", name, i, typeName(e))
				return nil, false
			}
		}
		return v, true
	}
	d.wrong("'%s': source data must be an array or slice, got %s", name, typeName(v))
	return nil, false
}

func (d *decoder) wrong(format string, args ...any) {
	d.wrongTypes = append(d.wrongTypes, fmt.Sprintf(format, args...))
}

func scalar[T any](d *decoder, f *field, name, want string, v any) (any, bool) {
	if x, ok := v.(T); ok {
		return x, true
	}
	shown := "…"
	switch v.(type) {
	case string, bool, int64, float64:
		if shown = fmt.Sprint(v); f.secret() {
			shown = "<hidden>"
		}
	}
	d.wrong("'%s' expected type '%s', got unconvertible type '%s', value: '%s'", name, want, typeName(v), shown)
	return nil, false
}

func (d *decoder) strings(f *field, name string, v any) (any, bool) {
	items, ok := v.([]any)
	if !ok {
		d.wrong("'%s': source data must be an array or slice, got %s", name, typeName(v))
		return nil, false
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		s, ok := scalar[string](d, f, fmt.Sprintf("%s[%d]", name, i), "string", item)
		if !ok {
			return nil, false
		}
		out = append(out, s.(string))
	}
	return out, true
}

func (d *decoder) table(f *field, name string, v any) (any, bool) {
	single, ok := d.single(name, v)
	if !ok {
		return nil, false
	}
	o := single.(*object)
	out := make(map[string]string, len(o.keys))
	for _, key := range slices.Sorted(slices.Values(o.keys)) {
		s, ok := scalar[string](d, f, fmt.Sprintf("%s[%s]", name, key), "string", o.at[key])
		if !ok {
			return nil, false
		}
		out[key] = s.(string)
	}
	return out, true
}

// typeName names the type of a parsed value as the messages of section 2 do.
func typeName(v any) string {
	switch v.(type) {
	case *object, blocks:
		return "map[string]interface {}"
	case []any:
		return "[]interface {}"
	case int64:
		return "int"
	case nil:
		return "nil"
	}
	return fmt.Sprintf("%T", v)
}
