package config

import (
	"maps"
	"slices"
)

// merge lays the later values over v: scalars are replaced, lists appended, maps merged
// key by key (spec: agent.md section 2). It changes neither later nor what v shared with
// its sources.
func (v values) merge(later values) {
	for key, s := range later {
		if old, ok := v[key]; ok {
			s.value = combine(s.field.kind, old.value, s.value)
		}
		v[key] = s
	}
}

func combine(k kind, old, later any) any {
	switch k {
	case list:
		return slices.Concat(old.([]string), later.([]string))
	case objects:
		return slices.Concat(old.([]any), later.([]any))
	case table:
		m := maps.Clone(old.(map[string]string))
		maps.Copy(m, later.(map[string]string))
		return m
	case opaque:
		m := newObject()
		for _, o := range []*object{old.(*object), later.(*object)} {
			for _, key := range o.keys {
				m.set(key, o.at[key])
			}
		}
		return m
	}
	return later
}

// split parts the values that are appended or merged from those that replace.
func (v values) split() (lists, rest values) {
	lists, rest = values{}, values{}
	for key, s := range v {
		if s.field.kind == list {
			lists[key] = s
		} else {
			rest[key] = s
		}
	}
	return lists, rest
}
