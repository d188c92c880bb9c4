package filter

import (
	"reflect"
	"strings"
)

// step leads from a value to a part of it.
type step struct {
	field []int  // of a struct, as of reflect.Value.FieldByIndex
	key   string // of a map
	each  bool   // to every element of a list
}

// resolve returns the steps along path from a value like example, and the type
// at their end: a text, a number, a truth value, a map, or a list.
func resolve(example reflect.Value, path []string) (steps []step, t reflect.Type, ok bool) {
	if len(path) == 0 || !example.IsValid() {
		return nil, nil, false
	}
	if attributes, dynamic := example.Interface().(map[string]any); dynamic {
		sample, known := attributes[path[0]]
		if !known || sample == nil {
			return nil, nil, false
		}
		steps, path, t = []step{{key: path[0]}}, path[1:], reflect.TypeOf(sample)
	} else {
		t = example.Type()
	}
	for {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if len(path) == 0 {
			return steps, t, selectable(t)
		}
		var next step
		switch {
		case t.Kind() == reflect.Struct:
			f, found := fieldByName(t, path[0])
			if !found {
				return nil, nil, false
			}
			next, t, path = step{field: f.Index}, f.Type, path[1:]
		case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && t.Elem().Kind() != reflect.Interface:
			next, t, path = step{key: path[0]}, t.Elem(), path[1:]
		case t.Kind() == reflect.Slice && isStruct(t.Elem()):
			next, t = step{each: true}, t.Elem()
		default:
			return nil, nil, false
		}
		steps = append(steps, next)
	}
}

// selectable reports whether questions can be asked of a value of type t. They
// cannot of free-form data, and of indexes, which are no part of what is filtered.
func selectable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int:
		return true
	case reflect.Map:
		return t.Key().Kind() == reflect.String && t.Elem().Kind() != reflect.Interface
	case reflect.Slice:
		return t.Elem().Kind() == reflect.String || isStruct(t.Elem())
	}
	return false
}

func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// fieldByName returns the field of a struct that its JSON gives a name.
func fieldByName(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous && tag == "" || tag == "-" {
			continue
		}
		if tag == name || tag == "" && f.Name == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// walk calls verdict with the value at the end of steps from v, with each of
// several until it returns true, and with the zero Value where something on the way is missing.
func walk(v reflect.Value, steps []step, verdict func(reflect.Value) bool) bool {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if len(steps) == 0 || !v.IsValid() {
		return verdict(v)
	}
	s, rest := steps[0], steps[1:]
	switch {
	case s.each && v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if walk(v.Index(i), rest, verdict) {
				return true
			}
		}
		return false
	case s.field != nil && v.Kind() == reflect.Struct:
		f, err := v.FieldByIndexErr(s.field)
		if err != nil { // an embedded pointer is nil
			return verdict(reflect.Value{})
		}
		return walk(f, rest, verdict)
	case s.field == nil && !s.each && v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return walk(v.MapIndex(keyOf(v, s.key)), rest, verdict)
	}
	return verdict(reflect.Value{})
}
