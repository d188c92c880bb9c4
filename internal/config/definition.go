package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
)

// A definition is a service, a check or a watch: an object whose keys are those of a Go
// struct's fields, in any case and with or without underscores, so that what the API takes
// and what files are written in are both understood (spec: agent.md section 16.3).

// spelled are the further names of fields, folded, for the structs that have them.
var spelled = map[reflect.Type]map[string]string{
	reflect.TypeFor[check.Definition](): {"id": "checkid", "scriptargs": "args"},
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[logging.Secret]()
	checkType    = reflect.TypeFor[check.Definition]()
)

// defined turns the objects in list, which is named name in messages, into structs of
// f's type and returns pointers to them. What is wrong goes to d.
func (d *decoder) defined(f *field, name string, list []any) []any {
	all := make([]any, len(list))
	for i, v := range list {
		each := name
		if len(list) > 1 {
			each = fmt.Sprintf("%s[%d]", name, i)
		}
		to := reflect.New(f.defines)
		d.assign(to.Elem(), each, v)
		all[i] = to.Interface()
	}
	return all
}

func (d *decoder) assign(to reflect.Value, name string, v any) {
	switch {
	case v == nil: // JSON null: as if it were not there
	case to.Type() == durationType:
		d.duration(to, name, v)
	case to.Kind() == reflect.Pointer:
		if to.IsNil() {
			to.Set(reflect.New(to.Type().Elem()))
		}
		d.assign(to.Elem(), name, v)
	case to.Kind() == reflect.Struct:
		if o, ok := d.single(name, v); ok {
			d.assignStruct(to, name, o.(*object))
		}
	case to.Kind() == reflect.Slice:
		d.assignSlice(to, name, v)
	case to.Kind() == reflect.Map:
		d.assignMap(to, name, v)
	case to.Kind() == reflect.Interface:
		to.Set(reflect.ValueOf(plain(v)))
	default:
		d.assignScalar(to, name, v)
	}
}

func (d *decoder) assignStruct(to reflect.Value, name string, o *object) {
	fields := fieldsOf(to)
	seen := map[string]bool{}
	for _, key := range o.keys {
		folded := foldKey(key)
		if other, ok := spelled[to.Type()][folded]; ok {
			folded = other
		}
		field, known := fields[folded]
		switch inner := join(name, key); {
		case !known:
			d.unknown.add("invalid config key %s", inner)
		case seen[folded]:
			d.unknown.add("duplicate config key %s", inner)
		default:
			seen[folded] = true
			d.assign(field, inner, o.at[key])
		}
	}
	if to.Type() == checkType && seen["h2ping"] && !seen["h2pingusetls"] {
		fields["h2pingusetls"].SetBool(true) // spec: catalog.md section 4
	}
}

// fieldsOf returns the fields of a struct by their folded names, those of embedded structs too.
func fieldsOf(s reflect.Value) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	for _, f := range reflect.VisibleFields(s.Type()) {
		if !f.Anonymous && f.IsExported() {
			all[foldKey(f.Name)] = s.FieldByIndex(f.Index)
		}
	}
	return all
}

// foldKey makes CamelCase and snake_case the same.
func foldKey(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

func (d *decoder) assignSlice(to reflect.Value, name string, v any) {
	items, ok := v.([]any)
	if elem := to.Type().Elem().Kind(); elem == reflect.Struct || elem == reflect.Map || elem == reflect.Pointer {
		var list any
		if list, ok = d.objects(name, v); !ok {
			return
		}
		items = list.([]any)
	} else if !ok {
		d.wrong("'%s': source data must be an array or slice, got %s", name, typeName(v))
		return
	}
	list := reflect.MakeSlice(to.Type(), len(items), len(items))
	for i, item := range items {
		d.assign(list.Index(i), fmt.Sprintf("%s[%d]", name, i), item)
	}
	to.Set(list)
}

func (d *decoder) assignMap(to reflect.Value, name string, v any) {
	single, ok := d.single(name, v)
	if !ok {
		return
	}
	o := single.(*object)
	m := reflect.MakeMap(to.Type())
	for _, key := range slices.Sorted(slices.Values(o.keys)) {
		if o.at[key] == nil {
			continue
		}
		value := reflect.New(to.Type().Elem()).Elem()
		d.assign(value, fmt.Sprintf("%s[%s]", name, key), o.at[key])
		m.SetMapIndex(reflect.ValueOf(key), value)
	}
	to.Set(m)
}

func (d *decoder) assignScalar(to reflect.Value, name string, v any) {
	f := &field{key: name}
	if to.Type() == secretType {
		f.key = "token" // its value is not shown
	}
	switch to.Kind() {
	case reflect.String:
		if s, ok := scalar[string](d, f, name, "string", v); ok {
			to.SetString(s.(string))
		}
	case reflect.Bool:
		if b, ok := scalar[bool](d, f, name, "bool", v); ok {
			to.SetBool(b.(bool))
		}
	case reflect.Int, reflect.Int64:
		if x, ok := v.(float64); ok && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			v = int64(x)
		}
		if n, ok := scalar[int64](d, f, name, "int", v); ok {
			to.SetInt(n.(int64))
		}
	default:
		panic(fmt.Sprintf("%s: a definition has a field of type %s", name, to.Type()))
	}
}

func (d *decoder) duration(to reflect.Value, name string, v any) {
	s, ok := scalar[string](d, &field{key: name}, name, "string", v)
	if !ok || s == "" {
		return
	}
	got, err := time.ParseDuration(s.(string))
	if err != nil {
		d.unknown.add("%s: invalid duration: %q: %v", name, s, err)
		return
	}
	to.SetInt(int64(got))
}

// plain returns v as encoding/json would have read it, for what is passed on as it is. A
// block that HCL repeats is a list.
func plain(v any) any {
	switch v := v.(type) {
	case *object:
		m := make(map[string]any, len(v.keys))
		for _, key := range v.keys {
			m[key] = plain(v.at[key])
		}
		return m
	case blocks:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case int64:
		return float64(v)
	case float64, string, bool:
		return v
	}
	return nil
}
